"""What each family of ONNX operators becomes in the engine."""
