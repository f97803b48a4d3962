"""Q/DQ -> integer operators: a graph of quantise/dequantise pairs becomes one that stays integer.

expand_qlinear -> signed -> propagate -> layers; each leaves a valid graph, so what one cannot match
stays in float.
"""
