"""Train the exercise recognizer and write `watch.safetensors` next to this file.

Run it as `python examples/watch/train.py`; it takes about three minutes on one core. Subjects 1 to
6 train, subject 7 chooses among the checkpoints, and subjects 8 to 10 are scored once, at the end.
"""

import copy
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import recordings
import torch
from model import ExerciseRecognizer, recognizer
from numpy.typing import NDArray
from recordings import Recording
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from scoring import Score, decisions, score
from tidegate.runtime.files import write_atomic
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

WEIGHTS = Path(__file__).with_name("watch.safetensors")

SEED = 1
STEPS = 1300
BATCH = 32
FRAMES = 400
WARM_UP = 50  # one second of motion says little: the first 50 frames have no loss
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.01
LABEL_SMOOTHING = 0.05
AVERAGE_DECAY = 0.98
CHECK_EVERY = 50

# A wrist seen in a mirror: ax changes its sign, and so do the turning rates about the other two axes. Of the 64 choices
# of signs, this one brings the left and right recordings of subjects 1 to 6 closest to each other.
MIRROR = torch.tensor([-1.0, 1.0, 1.0, 1.0, -1.0, -1.0])
SPEED = (0.8, 1.25)
GAIN_STD = 0.05
TILT_STD = 0.1  # radians: each wrist holds the watch at a slightly different angle
NOISE_STD = 0.02


@dataclass
class Best:
    """The best checkpoint so far, judged only by the calibration subject."""

    accuracy: float = -1.0
    step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, accuracy: float, step: int, model: nn.Module) -> None:
        """Keep a copy of the model's weights if its accuracy is higher than the best so far."""
        if accuracy > self.accuracy:
            self.accuracy, self.step = accuracy, step
            self.weights = copy.deepcopy(model.state_dict())


def main() -> None:
    """Train, print the figures, write the weights."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    started = time.perf_counter()
    parts = recordings.split(recordings.load())
    model = recognizer()
    set_statistics(model, parts.train)
    best = train(model, parts.train, parts.calibrate)
    model.load_state_dict(best.weights)
    print(f"trained in {time.perf_counter() - started:.0f} s; chose step {best.step} of {STEPS}")
    print(f"calibrate (7):  {evaluate(model, parts.calibrate)}")
    print(f"test (8 to 10): {evaluate(model, parts.test)}")
    write_atomic(WEIGHTS, save(best.weights))
    print(f"wrote {WEIGHTS.name}, {WEIGHTS.stat().st_size} bytes")


def set_statistics(model: ExerciseRecognizer, training: list[Recording]) -> None:
    """Give the model the mean and standard deviation of each channel of the training recordings."""
    frames = np.concatenate([recording.frames for recording in training]).astype(np.float64)
    model.mean.copy_(torch.from_numpy(frames.mean(axis=0)))
    model.std.copy_(torch.from_numpy(frames.std(axis=0)))


def train(model: ExerciseRecognizer, training: list[Recording], calibration: list[Recording]) -> Best:
    """Train for `STEPS` batches and return the best checkpoint of the averaged weights."""
    rng = np.random.default_rng(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine)
    averaged = copy.deepcopy(model)
    best = Best()
    with progress_bar() as progress:
        task = progress.add_task("training", total=STEPS, best="")
        for step in range(1, STEPS + 1):
            model.train()
            learn(model, optimizer, *batch(training, rng))
            schedule.step()
            average(averaged, model)
            if step % CHECK_EVERY == 0:
                best.offer(evaluate(averaged, calibration).accuracy, step, averaged)
            progress.update(task, advance=1, best=f"calibration {max(best.accuracy, 0):.3f}")
    return best


def cosine(step: int) -> float:
    """Return the factor of the learning rate: it rises for 30 steps, then falls to zero along half a cosine."""
    rise = min(1.0, (step + 1) / 30)
    return rise * 0.5 * (1 + math.cos(math.pi * step / STEPS))


def learn(model: ExerciseRecognizer, optimizer: torch.optim.Optimizer, frames: Tensor, labels: Tensor) -> None:
    """Take one step on the cross-entropy of every frame after the warm-up."""
    logits = model.every_frame(frames)[:, WARM_UP:]
    wanted = labels[:, None].expand(-1, logits.shape[1])
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), label_smoothing=LABEL_SMOOTHING)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@torch.no_grad()
def average(averaged: nn.Module, model: nn.Module) -> None:
    """Move the running average of the weights; it generalizes better than the weights of the last step."""
    for mean, value in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - AVERAGE_DECAY)


def batch(training: list[Recording], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw augmented crops `[BATCH, FRAMES, 6]` and their labels `[BATCH]`."""
    drawn = [training[i] for i in rng.integers(len(training), size=BATCH)]
    crops = np.stack([crop(recording, rng) for recording in drawn])
    labels = torch.tensor([recording.label for recording in drawn])
    return augment(torch.from_numpy(crops)), labels


def crop(recording: Recording, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cut `FRAMES` frames out of a recording and change their speed by linear interpolation."""
    speed = rng.uniform(*SPEED)
    start = rng.uniform(0, len(recording.frames) - 1 - speed * (FRAMES - 1))
    at = start + speed * np.arange(FRAMES)
    low = at.astype(np.int64)
    part = (at - low)[:, None]
    frames = (1 - part) * recording.frames[low] + part * recording.frames[low + 1]
    frames[:, 3:] *= speed  # the same turn in less time is a higher turning rate
    return frames.astype(np.float32)


def augment(frames: Tensor) -> Tensor:
    """Vary crops as wrists, straps and subjects vary: side, tilt, gain, noise."""
    crops = len(frames)
    mirrored = torch.rand(crops, 1, 1) < 0.5
    frames = torch.where(mirrored, frames * MIRROR, frames)
    frames = (frames.reshape(crops, -1, 2, 3) @ tilts(crops)[:, None]).flatten(2)
    frames = frames * (1 + GAIN_STD * torch.randn(crops, 1, 6))
    return frames + NOISE_STD * torch.randn_like(frames)


def tilts(count: int) -> Tensor:
    """Return small random rotations `[count, 3, 3]`; both sensors of a crop share one."""
    generators = torch.zeros(count, 3, 3)
    rows, columns = torch.triu_indices(3, 3, offset=1)
    generators[:, rows, columns] = TILT_STD * torch.randn(count, 3)
    rotations: Tensor = torch.linalg.matrix_exp(generators - generators.mT)
    return rotations


def evaluate(model: ExerciseRecognizer, scored: list[Recording]) -> Score:
    """Score whole recordings; each starts from the zero state and carries its state to the end.

    The recordings run as one padded batch. The padding comes after the last frame, and a unidirectional
    LSTM never looks ahead, so the padding changes no decision.
    """
    model.eval()
    padded = pad_sequence([torch.from_numpy(recording.frames) for recording in scored], batch_first=True)
    with torch.inference_mode():
        logits = model.every_frame(padded).numpy()
    rows = zip(logits, scored, strict=True)
    decided = [decisions(row[: len(recording.frames)]) for row, recording in rows]
    return score(decided, [recording.label for recording in scored])


def progress_bar() -> Progress:
    """Return a progress bar with the best calibration accuracy so far."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[best]}"),
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    try:
        main()
    except recordings.RecordingsError as error:
        sys.exit(f"error: {error}")
