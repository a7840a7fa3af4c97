"""Helpers for tests of the command line: the outcome of a command, and checks of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.benchmarks.nets import stacks

SMALL = stacks.Case("small", 3, 5, 2)
SIGNAL = stacks.random_frames(SMALL, 20)


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
