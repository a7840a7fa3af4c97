"""Fine-tune the exercise recognizer for 4-bit weights, to regain most of what rounding lost, in a minute or two.

Run it as `python examples/watch/tune.py [FOLDER]`; its files stay in FOLDER, `build/tune` by default. The float model
teaches a copy with 4-bit weights, one scale per output channel, on subjects 1 to 6. Subject 7 chooses among the
checkpoints. Subjects 8 to 10 are streamed once, at the end, on the engine, sample by sample.
"""

import copy
import sys
import time
from pathlib import Path

import numpy as np
import recordings
import tidegate as tg
import torch
from demo import WEIGHTS, Decided, decide
from model import ExerciseRecognizer, recognizer
from recordings import Recording
from safetensors.torch import load_file
from scoring import score
from tidegate.benchmarks.tables import Table, show
from tidegate.export import example_from_shape
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from train import WARM_UP, batch

PRECISION = "W4A16"
SEED, STEPS, CHECK_EVERY = 1, 100, 10
LEARNING_RATE = 5e-5  # at 1e-3 the codes jump about, and the result is worse than the start
EXAMPLE = "1x20x6"


def main(folder: Path) -> None:
    """Tune the model, stream it, and print the results."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    parts = recordings.split(recordings.load())
    teacher = recognizer().eval()
    teacher.load_state_dict(load_file(WEIGHTS))
    started = time.process_time()
    tuned = tune(teacher, parts.train, parts.calibrate)
    seconds = time.process_time() - started
    contenders: dict[str, tuple[torch.nn.Module, str]] = {
        "float32": (teacher, "float32"),
        f"{PRECISION}, rounded to nearest": (teacher, PRECISION),
        f"{PRECISION}, tuned": (tuned, PRECISION),
    }
    decided = {}
    for place, (name, (module, precision)) in enumerate(contenders.items()):
        source, target = folder / f"{place}.float.onnx", folder / f"{place}.onnx"
        tg.export_model(module, example_from_shape(EXAMPLE), source)
        tg.quantize(source, target, precision=precision)
        decided[name] = decide(tg.load(target), parts.test)
    check_bits(tuned, folder / "2.onnx", parts.test[0])
    remark = f"Tuned in {seconds:.0f} s of processor time; the engine gives the same bits as the module."
    show(table(parts.test, decided), remark)


def tune(teacher: ExerciseRecognizer, training: list[Recording], choosing: list[Recording]) -> ExerciseRecognizer:
    """Return the copy whose logits are closest to the teacher's on the recordings `choosing`."""
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    tuned = tg.tunable(teacher, example_from_shape(EXAMPLE), PRECISION)
    tuned.eval()  # dropout would only add noise here
    optimizer = torch.optim.Adam(tuned.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    padded = pad_sequence([torch.from_numpy(recording.frames) for recording in choosing], batch_first=True)
    wanted = logits(teacher, padded)
    least, best = distance(logits(tuned, padded), wanted), copy.deepcopy(tuned.state_dict())
    for step in range(1, STEPS + 1):
        frames, _ = batch(training, rng)
        learn(tuned, optimizer, frames, logits(teacher, frames))
        schedule.step()
        if step % CHECK_EVERY == 0:
            error = distance(logits(tuned, padded), wanted)
            print(f"step {step}: distance from the teacher {error:.4f}", file=sys.stderr)
            if error < least:
                least, best = error, copy.deepcopy(tuned.state_dict())
    tuned.load_state_dict(best)
    return tuned


def learn(tuned: ExerciseRecognizer, optimizer: torch.optim.Optimizer, frames: Tensor, wanted: Tensor) -> None:
    """Take one step towards the teacher's logits."""
    loss = (tuned.every_frame(frames) - wanted)[:, WARM_UP:].square().mean()
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


@torch.no_grad()
def logits(model: ExerciseRecognizer, frames: Tensor) -> Tensor:
    """Return the logits of every frame."""
    return model.every_frame(frames)


def distance(seen: Tensor, wanted: Tensor) -> float:
    """Return the root mean square of the difference."""
    return float((seen - wanted).square().mean().sqrt())


@torch.no_grad()
def check_bits(tuned: ExerciseRecognizer, path: Path, recording: Recording) -> None:
    """Raise AssertionError if the engine does not give the same bits as the module."""
    frames = recording.frames[:500]
    wanted = tuned(torch.from_numpy(frames)[None])[0].numpy()
    if not np.array_equal(np.asarray(tg.load(path).stream().push(frames)), wanted):
        raise AssertionError("the engine and the tuned module differ")


def table(test: list[Recording], decided: dict[str, Decided]) -> Table:
    """Return the table of streaming accuracy."""
    exact, *_ = decided.values()
    labels, rows = [recording.label for recording in test], []
    for name, made in decided.items():
        changed = sum(int(np.count_nonzero(a != b)) for a, b in zip(exact, made, strict=True))
        result = score(made, labels)
        rows.append([name, f"{result.accuracy:.4f}", str(changed), f"{100 * changed / result.decisions:.2f}%"])
    return Table("Streaming accuracy on subjects 8 to 10", ["weights|", "accuracy", "changed", "of all"], rows)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/tune"))
    except (recordings.RecordingsError, tg.TidegateError) as error:
        sys.exit(f"error: {error}")
