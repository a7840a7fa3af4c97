"""Helpers for tests of the command line: the outcome of a command, and checks of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tidegate
from tidegate.benchmarks.nets import stacks

SMALL = stacks.Case("small", 3, 5, 2)
SIGNAL = stacks.random_frames(SMALL, 20)


def write_files(folder: Path) -> None:
    """Write what commands read: a float file, an int8 file, a plan and a signal."""
    stacks.save_model(stacks.random_layers(SMALL), folder / "m.onnx", sample_rate=50)
    tidegate.quantize(folder / "m.onnx", folder / "m.int8.onnx")
    tidegate.compile_model(folder / "m.int8.onnx", folder / "m.tide")
    np.save(folder / "x.npy", SIGNAL)


@dataclass(frozen=True)
class Outcome:
    """The exit status of a command, and what it wrote to standard output and standard error."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


def assert_refused(outcome: Outcome, message: str) -> None:
    """Check that a command failed with status 1 and one line on standard error that matches a message."""
    assert outcome.status == 1
    assert outcome.out == ""
    assert re.fullmatch(r"tidegate: error: [^\n]+\n", outcome.err)
    assert re.search(message, outcome.err), outcome.err


def assert_wrong_usage(outcome: Outcome, message: str) -> None:
    """Check that a command refused its options with status 2 and a message."""
    assert outcome.status == 2
    assert outcome.out == ""
    assert message in " ".join(outcome.err.split()), outcome.err
