"""ONNX graphs: checked, parsed, indexed and cut into stages."""
