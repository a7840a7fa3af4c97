"""What a microphone-to-answer chain costs, in processor time per second of signal: `python cost.py [SECONDS [CHUNK]]`.

A program of its own sends samples at the speed of time, 16 bits at 48 kHz, over a socket. This process resamples them
to 16 kHz, makes a mel spectrum every 10 ms, runs the speaker encoder (LSTM of three layers with 256 units, W8A16) and
takes its answer: 100 frames a second, CHUNK of them in a push. Nothing is subtracted from the time of the process, all
threads together, from the first answer to the last.
"""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tidegate as tg
import torch
from tidegate.benchmarks.tasks.speaker import Encoder
from tidegate.frontend import MelSpectrogram
from torch import nn

RATE, SENT, HOP = 16000, 48000, 160
SENDER = """
import socket, sys, time
import numpy as np
port, seconds = int(sys.argv[1]), int(sys.argv[2])
blocks = (3000 * np.random.default_rng(0).standard_normal((seconds * 100, 480))).astype("<i2")
with socket.create_connection(("127.0.0.1", port)) as peer:
    start = time.monotonic()
    for number, block in enumerate(blocks):
        time.sleep(max(start + number / 100 - time.monotonic(), 0))
        peer.sendall(block.tobytes())
"""


def speaker(folder: Path) -> tg.Model:
    """Return the speaker encoder with its front end, quantized; its weights are random, which costs the same."""
    torch.manual_seed(0)
    module = nn.Sequential(MelSpectrogram(RATE, n_fft=400, hop_length=HOP, n_mels=40), Encoder())
    tg.export_model(module, torch.randn(1, RATE), folder / "speaker.onnx", sample_rate=RATE)
    tg.quantize(folder / "speaker.onnx", folder / "speaker.int8.onnx")
    return tg.load(folder / "speaker.int8.onnx")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def main(seconds: int = 60, chunk: int = 1) -> None:
    """Stream, and print the cost."""
    with tempfile.TemporaryDirectory() as folder:
        model = speaker(Path(folder))
    port = free_port()
    running = tg.live(model, f"tcp://127.0.0.1:{port}?listen", form="s16le", rate=SENT, chunk=chunk)
    with subprocess.Popen([sys.executable, "-c", SENDER, str(port), str(seconds)]), running:
        next(running)
        began, clock = time.process_time(), time.monotonic()
        count = sum(answer.frames for answer in running)
        spent, passed = time.process_time() - began, time.monotonic() - clock
    share = spent / (count * HOP / RATE)
    print(f"{count} frames in {passed:.1f} s, {chunk} a push; {spent:.3f} s of processor time, {100 * share:.2f} %")
    print(running.counters.as_dict())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
