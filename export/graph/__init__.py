"""Tools of all other rooms: reading an ONNX graph and editing it."""
