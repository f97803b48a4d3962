"""Q/DQ -> integer operators: the passes that turn a graph of quantise/dequantise pairs into one that stays integer.

expand_qlinear -> signed -> propagate -> layers; each leaves a valid graph, so what one cannot match stays in float.
"""
