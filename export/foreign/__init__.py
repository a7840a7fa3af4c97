"""ONNX files that another tool made: opened, their inputs and states identified, their operators converted."""
