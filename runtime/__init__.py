"""The runtime: it opens streaming ONNX files and plans, and runs their streams."""
