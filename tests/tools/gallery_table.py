"""The text of a table of the gallery with one model."""

HASH = "0" * 64
LINK = f"https://github.com/owner/net/raw/{'a' * 40}/net.onnx"
FILE = f"""
[[model.file]]
name = "net.onnx"
link = "{LINK}"
sha256 = "{HASH}"
"""
ENTRY = f"""
[[model]]
name = "net"
title = "Net"
task = "voice activity"
about = "An LSTM."
frame = "A frame is a sample."
owner = "Somebody"
licence = "MIT"
licence_link = "{LINK}"
take = "lift files/net.onnx"
reference = "third_party:frame_by_frame"
answers = "those of the file"
"""
