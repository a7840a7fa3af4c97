"""Lowering: from ONNX operators to operations of the engine, one module per family."""
