"""Bodies of Loop and Scan nodes: one step of a recurrence, written by tf2onnx and Keras, as recurrent nodes."""
