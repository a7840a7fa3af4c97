"""The nets that are measured, with seeded random weights, as ONNX files and plans."""
