"""Build the live page: a meter trained on the spot, the smartwatch's net, recordings made on the spot, the npm package.

python examples/browser/build.py build/page          # writes static files, which any web server may serve
python examples/browser/build.py build/page --serve  # and serves them on http://localhost:8000
"""

import json
import runpy
import sys
import wave
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import tidegate as tg
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "bindings" / "npm" / "build.py"
RATE, BLOCK = 48_000, 128  # samples per second, samples of a frame
SECONDS, STEPS = 8, 300
FALL = 0.98  # of the level, from frame to frame
WATCH = HERE.parent / "watch"
WATCH_RATE, WATCH_SECONDS = 50, 40
EXERCISES = ("pendulum", "abduction", "forward elevation", "internal rotation", "external rotation", "trapezius", "row")

Samples = NDArray[np.float32]


class Meter(torch.nn.Module):
    """A level meter: it rises with a sound at once, and falls slowly; from 0 (silence) to 1 (full scale)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = torch.nn.LSTM(1, 16, batch_first=True), torch.nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map blocks of samples `[batch, frames, 128]` to levels `[batch, frames, 1]`."""
        level: torch.Tensor = self.out(self.lstm(loudness(x))[0])
        return level


def loudness(x: torch.Tensor) -> torch.Tensor:
    """Return the loudness of each block: 0 at -60 dB, 1 at full scale."""
    return torch.log((x * x).mean(-1, keepdim=True) + 1e-6) / 13.8155 + 1


def wanted(x: torch.Tensor) -> torch.Tensor:
    """Return the levels that the meter must learn."""
    now, levels = torch.zeros(x.shape[0], 1), []
    for frame in loudness(x).unbind(1):
        now = torch.maximum(frame, now * FALL)
        levels.append(now)
    return torch.stack(levels, 1)


def train() -> Meter:
    """Return a meter, trained on bursts of noise.

    In one thread: on a busy machine two that wait for each other took 400 s, one takes 6.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(22)
    meter = Meter()
    optimizer = torch.optim.Adam(meter.parameters(), 0.02)
    for _ in range(STEPS):
        gains = 10 ** (-3 * torch.rand(8, 6, 1).repeat_interleave(10, 1))
        x = gains * torch.randn(8, 60, BLOCK) * (torch.rand(8, 6, 1) > 0.5).repeat_interleave(10, 1)
        optimizer.zero_grad()
        loss: Any = torch.nn.functional.mse_loss(meter(x), wanted(x))
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    return meter.eval()


def record() -> Samples:
    """Return a recording: tones that come and go, one every half a second."""
    t = np.arange(SECONDS * RATE) / RATE
    beat = t % 0.5
    pitch = 220 * 2 ** (np.floor(t / 0.5) % 8 / 12 * 2)
    sound = np.sin(2 * np.pi * pitch * t) * np.exp(-9 * beat) * (0.1 + 0.8 * (np.floor(t / 0.5) % 3 / 2))
    return (np.round(sound * 32767) / 32768).astype(np.float32)


def write_wave(samples: Samples, path: Path) -> None:
    """Write samples as a file of 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32768).astype("<i2").tobytes())


def build(folder: Path, package: Callable[[Path], object]) -> None:
    """Write the page into a folder; `package` writes the npm package."""
    folder.mkdir(parents=True, exist_ok=True)
    package(folder / "tidegate")
    for name in ("index.html", "page.js", "curve.js", "watch.js", "style.css"):
        (folder / name).write_bytes((HERE / name).read_bytes())
    (folder / "python.json").write_text(json.dumps({"meter": write_meter(folder), "watch": write_watch(folder)}))


def write_meter(folder: Path) -> dict[str, str]:
    """Write the meter's plan and recording; return what Python answers."""
    plan = compiled(train(), torch.randn(1, 20, BLOCK), folder / "meter", RATE, BLOCK)
    samples = record()
    write_wave(samples, folder / "recording.wav")
    return {"hash": hash_of(plan, samples.reshape(-1, BLOCK))}


def write_watch(folder: Path) -> dict[str, Any]:
    """Write the plan of the smartwatch's net and motions made here; return what Python answers."""
    module = runpy.run_path(str(WATCH / "model.py"))["recognizer"]().eval()
    module.load_state_dict(load_file(WATCH / "watch.safetensors"))
    plan = compiled(module, torch.randn(1, 20, 6), folder / "watch", WATCH_RATE, 1)
    motions = move(module)
    motions.astype("<f4").tofile(folder / "motions.f32")
    return {"hash": hash_of(plan, motions), "names": EXERCISES, "rate": WATCH_RATE}


def move(module: Any) -> Samples:  # noqa: ANN401  a module with the sensors' mean and spread
    """Return motions, `[frames, 6]`: every five seconds another swing, as far as the sensors usually move."""
    rng = np.random.default_rng(22)
    t = np.arange(WATCH_SECONDS * WATCH_RATE)[:, None] / WATCH_RATE
    swing = (t[:, 0] // 5).astype(int)
    parts = swing.max() + 1
    size, pace, phase = (
        rng.uniform(0.3, 1.5, (parts, 6)),
        rng.uniform(0.2, 0.6, (parts, 1)),
        rng.uniform(0, 6, (parts, 6)),
    )
    waves = size[swing] * np.sin(2 * np.pi * pace[swing] * t + phase[swing])
    moved: Samples = (np.asarray(module.mean) + np.asarray(module.std) * waves).astype(np.float32)
    return moved


def compiled(module: torch.nn.Module, example: torch.Tensor, stem: Path, rate: int, hop: int) -> Path:
    """Export, quantize and compile a module; return the path of the plan."""
    exported, quantized, plan = (stem.with_suffix(end) for end in (".onnx", ".int8.onnx", ".tide"))
    tg.export_model(module, example, exported, sample_rate=rate, hop=hop)
    tg.quantize(exported, quantized)
    tg.compile_model(quantized, plan)
    return plan


def hash_of(plan: Path, frames: Samples) -> str:
    """Return the hash of the answers, one frame a push: a model may answer once a push."""
    push = tg.load(plan).stream().push
    answers = np.concatenate([np.asarray(push(frames[i : i + 1])).ravel() for i in range(len(frames))])
    return blake2b(answers.astype("<f4").tobytes(), digest_size=32).hexdigest()


def main(folder: str, *options: str) -> None:
    """Build the page, and serve it if asked."""
    build(Path(folder), runpy.run_path(str(PACKAGE))["main"])
    print(f"{folder}: open index.html from any web server")
    if "--serve" in options:
        print("serving http://localhost:8000")
        handler = partial(SimpleHTTPRequestHandler, directory=folder)
        ThreadingHTTPServer(("localhost", 8000), handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
