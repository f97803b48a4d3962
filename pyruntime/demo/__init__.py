"""Small trained networks and held-out images, and what `pyruntime demo` measures with them.

Replaying needs numpy alone. `rebuild.py` makes `data/` from the ONNX files of benchmarks/demo,
whose README says where networks and images come from.
"""
