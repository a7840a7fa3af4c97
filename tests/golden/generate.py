"""Write the files of this version that later versions must read.

    python tests/golden/generate.py

They are written once, before a release, into a folder of the version's name, and never change:

- NAME.tide, a plan of each cell in each precision, and one that looks ahead; NAME.snapshot, its stream after the
  first frames;
- NAME.onnx with its contract, and NAME.onnxruntime.snapshot, of the other backend;
- NAME.tide.sig and maker.pub, a signature and its key;
- frames.npy, what was streamed; answers.json, for each plan the hashes of all answers and of those after the snapshot;
  NAME.npy, the answers of onnxruntime, which keeps its bits only nearly.
"""

import json
import shutil
import sys
from hashlib import blake2b
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import tidegate  # noqa: E402
from tidegate.runtime.arrays import Answer, Array  # noqa: E402
from tidegate.runtime.streams import Model  # noqa: E402
from tools.keys import write_keys  # noqa: E402
from tools.nets import Net  # noqa: E402

CELLS = ("LSTM", "GRU", "RNN")
PRECISIONS = ("W8A16", "W8A8", "W4A16", "W4A8g8", "W16A16", "W16A8g32", "float32")
FEATURES, HIDDEN, FRAMES, SAVED = 6, 8, 60, 25  # SAVED frames are before the snapshot
SIGNED, RELEASE = "LSTM-W8A16", 7


def frames_for(model: Model, frames: Array) -> Array:
    """Return the frames with as many features as a model reads."""
    width = int(np.prod(model.frame_shape or (1,)))
    return np.tile(frames, (1, -(-width // FEATURES)))[:, :width]


def parts(answer: Answer | None) -> list[Array]:
    """Return the outputs of an answer, in order."""
    return [] if answer is None else list(answer.values()) if isinstance(answer, dict) else [answer]


def hash_of(*answers: Answer | None) -> str:
    """Return the BLAKE2b of the bits of answers."""
    digest = blake2b(digest_size=16)
    for answer in answers:
        for part in parts(answer):
            digest.update(np.ascontiguousarray(part, "<f4").tobytes())
    return digest.hexdigest()


def main() -> None:
    """Write the folder of this version."""
    folder = HERE / tidegate.__version__
    folder.mkdir()
    frames = np.random.default_rng(2026).normal(0, 1, (FRAMES, FEATURES)).astype(np.float32)
    np.save(folder / "frames.npy", frames)
    for cell in CELLS:
        write_cell(folder, cell, frames)
    shutil.copy(HERE.parent / "vectors" / "blocks.tide", folder)
    sign(folder)
    answers = {path.stem: write_snapshot(path, frames) for path in sorted(folder.glob("*.tide"))}
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")


def write_cell(folder: Path, cell: str, frames: Array) -> None:
    """Write a net of one cell in each precision as plans, and in the first as an ONNX file and in integers too."""
    net = Net(np.random.default_rng(list(cell.encode())), FEATURES)
    net.cell(cell, HIDDEN)
    net.matmul(3)
    float_file, file = folder / "float.onnx", folder / f"{cell}-W8A16.onnx"
    net.save(float_file, 21, last=False)
    for precision in PRECISIONS:
        tidegate.quantize(float_file, folder / "quantized.onnx", precision=precision)
        tidegate.compile_model(folder / "quantized.onnx", folder / f"{cell}-{precision}.tide")
    tidegate.quantize(float_file, file)
    write_onnxruntime(file, frames)
    tidegate.quantize(float_file, folder / "quantized.onnx", calibration=[frames] * 4, arithmetic="integer")
    tidegate.compile_model(folder / "quantized.onnx", folder / f"{cell}-integer.tide")
    for name in ("float.onnx", "quantized.onnx"):
        (folder / name).unlink()


def write_onnxruntime(path: Path, frames: Array) -> None:
    """Write the snapshot of a stream on onnxruntime, and all its answers."""
    stream = tidegate.load(path, backend="onnxruntime").stream()
    before = stream.push(frames[:SAVED])
    path.with_suffix(".onnxruntime.snapshot").write_bytes(stream.snapshot())
    np.save(path.with_suffix(".npy"), np.concatenate([*parts(before), *parts(stream.push(frames[SAVED:]))]))


def write_snapshot(path: Path, frames: Array) -> dict[str, str]:
    """Write the snapshot of a stream of a plan; return the hashes of its answers."""
    model = tidegate.load(path)
    given, stream = frames_for(model, frames), model.stream()
    before = stream.push(given[:SAVED])
    path.with_suffix(".snapshot").write_bytes(stream.snapshot())
    after = stream.push(given[SAVED:]), stream.finish()
    return {"all": hash_of(before, *after), "after": hash_of(*after)}


def sign(folder: Path) -> None:
    """Sign a plan with a key of which only the public half stays."""
    private, public = write_keys(folder, "maker")
    tidegate.sign(folder / f"{SIGNED}.tide", private, release=RELEASE)
    private.unlink()
    assert public.is_file()


if __name__ == "__main__":
    main()
