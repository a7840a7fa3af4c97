"""What runs a model: the native engine and onnxruntime, behind one face."""
