"""When the recognizer decides, and how its decisions are counted.

A recording is streamed from its first frame to its last, with the state carried. At frame 99 (after two seconds) and
every 10 frames after that, the decision is the class with the largest logit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_DECISION = 99
DECISION_INTERVAL = 10


@dataclass(frozen=True)
class Score:
    """Counts over a set of recordings.

    Attributes:
        right: Decisions that named the exercise being done.
        decisions: All decisions.
        recordings_right: Recordings whose majority vote named the exercise.
        recordings: All recordings.
    """

    right: int
    decisions: int
    recordings_right: int
    recordings: int

    @property
    def accuracy(self) -> float:
        """Streaming accuracy: the share of right decisions."""
        return self.right / self.decisions

    def __str__(self) -> str:
        return (
            f"streaming accuracy {self.accuracy:.4f} ({self.right}/{self.decisions} decisions), "
            f"majority vote {self.recordings_right}/{self.recordings} recordings"
        )


def decisions(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class decided on at frames 99, 109, ... of one recording.

    Args:
        logits: `[frames, classes]` of all frames of the recording.
    """
    decided: NDArray[np.int64] = logits[FIRST_DECISION::DECISION_INTERVAL].argmax(axis=1)
    return decided


def majority(decided: NDArray[np.int64]) -> int:
    """Return the most frequent decision of one recording; of equally frequent classes the lowest."""
    return int(np.bincount(decided).argmax())


def score(decided: Iterable[NDArray[np.int64]], labels: Iterable[int]) -> Score:
    """Count the right decisions and the right majority votes of recordings."""
    pairs = list(zip(decided, labels, strict=True))
    return Score(
        right=sum(int(np.count_nonzero(classes == label)) for classes, label in pairs),
        decisions=sum(len(classes) for classes, _ in pairs),
        recordings_right=sum(majority(classes) == label for classes, label in pairs),
        recordings=len(pairs),
    )
