"""The runtime: streaming ONNX in, models and streams out."""
