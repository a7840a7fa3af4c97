"""The ground floor: looking at an ONNX graph and editing it."""
