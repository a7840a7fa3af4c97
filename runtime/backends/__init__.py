"""The backends that run a model: the native engine and onnxruntime, with one interface."""
