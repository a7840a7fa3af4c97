"""Looking at an ONNX graph: checked, parsed, cut into stages."""
