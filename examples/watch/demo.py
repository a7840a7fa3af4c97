"""The main job on real recordings: export the exercise recognizer, quantize it, stream it, time it.

Run it as `make demo`, or as `python examples/watch/demo.py [FOLDER]`. Its files stay in FOLDER, `build/demo` by
default. Every test recording is streamed sample by sample: once through the float file on onnxruntime, and once
through the int8 file on tidegate's engine.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import recordings
import tidegate as tg
from numpy.typing import NDArray
from recordings import Recording
from rich.console import Console
from rich.progress import track
from scoring import DECISION_INTERVAL, FIRST_DECISION, Score, decisions, score
from tidegate.benchmarks.bench import bench_file
from tidegate.benchmarks.measuring.records import Settings
from tidegate.benchmarks.showing.bench_tables import latency
from tidegate.benchmarks.tables import Table, show
from tidegate.export import example_from_shape, load_module
from tidegate.runtime.streams import Model

WEIGHTS = Path(__file__).with_name("watch.safetensors")
TIMED_SECONDS = 1.0  # for each variant in each process

Decided = list[NDArray[np.int64]]


def main(folder: Path) -> None:
    """Export, quantize, stream and time the model, and print the results."""
    folder.mkdir(parents=True, exist_ok=True)
    exported, quantized, plan = (folder / f"watch{end}" for end in (".onnx", ".int8.onnx", ".tide"))
    export(exported)
    quantize(exported, quantized)
    tg.compile_model(quantized, plan)
    show(sizes(WEIGHTS, exported, quantized, plan))
    test = recordings.split(recordings.load()).test
    exact = decide(tg.load(exported, "onnxruntime"), test)
    rounded = decide(tg.load(quantized), test)
    show(accuracy(test, exact, rounded))
    show_latency(quantized, test)


def export(target: Path) -> None:
    """Export the module as its author wrote it; the export is proved before the file is written."""
    module = load_module("model:recognizer", WEIGHTS)
    report = tg.export_model(module, example_from_shape("1x20x6"), target, sample_rate=recordings.SAMPLE_RATE, hop=1)
    checks = len(report.checks)
    show(f"exported: {checks} checks against PyTorch passed, largest relative error {report.error:.1e}")


def quantize(source: Path, target: Path) -> None:
    """Quantize every weight matrix to int8, with one scale per output channel."""
    report = tg.quantize(source, target)
    rows = [[w.name, "x".join(map(str, w.shape)), w.precision, f"{100 * w.error:.3g}%"] for w in report.weights]
    show(Table("Quantized weights", ["weight|", "shape", "precision", "error"], rows))


def sizes(*files: Path) -> Table:
    """Return the table of file sizes."""
    rows = [[file.name, f"{file.stat().st_size:,}"] for file in files]
    return Table("Sizes in bytes", ["file|", "bytes"], rows)


def decide(model: Model, streamed: Iterable[Recording]) -> Decided:
    """Stream each recording sample by sample from the zero state and return its decisions."""
    bar = track(list(streamed), f"streaming on {model.backend}", console=Console(stderr=True), transient=True)
    return [decisions(answers(model, recording.frames)) for recording in bar]


def answers(model: Model, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits `[frames, 7]` of one recording, one push per sample."""
    push = model.stream().push
    return np.stack([np.asarray(push(frames[i : i + 1])) for i in range(len(frames))])


def accuracy(test: list[Recording], exact: Decided, rounded: Decided) -> Table:
    """Return the table of streaming accuracy, float and int8."""
    labels = [recording.label for recording in test]
    changed = sum(int(np.count_nonzero(a != b)) for a, b in zip(exact, rounded, strict=True))
    rows = [
        score_row("float32, onnxruntime", score(exact, labels), 0),
        score_row("int8, tidegate", score(rounded, labels), changed),
    ]
    frames = sum(len(recording.frames) for recording in test)
    title = (
        f"Streaming accuracy on subjects 8 to 10: {len(test)} recordings, {frames:,} samples pushed one by one, "
        f"a decision at sample {FIRST_DECISION} and every {DECISION_INTERVAL} after that"
    )
    return Table(title, ["|", "accuracy", "right", "majority", "changed"], rows)


def score_row(name: str, result: Score, changed: int) -> list[str]:
    """Return one row of the accuracy table."""
    right = f"{result.right}/{result.decisions}"
    return [name, f"{result.accuracy:.4f}", right, f"{result.recordings_right}/{result.recordings}", str(changed)]


def show_latency(model: Path, test: list[Recording]) -> None:
    """Time one sample per push on the engine and on onnxruntime, both on one recording."""
    settings = Settings(seconds=TIMED_SECONDS, processes=3)
    timed = bench_file(model, ("tidegate", "onnxruntime"), settings, signal=test[0].frames, closed=True)
    show(latency(timed.rows), *timed.warnings)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/demo"))
    except (recordings.RecordingsError, tg.TidegateError) as error:
        sys.exit(f"error: {error}")
