"""ONNX models as graphs."""

from pyruntime.onnx_import.importer import import_onnx

__all__ = ["import_onnx"]
