"""Real models on real recordings, one module per model: its weights, its calibration data, its test data.

Weights and recordings have their own licences. They are in a folder outside the checkout; see the READMEs there.
"""

from importlib import import_module
from pathlib import Path

from .task import Task

AMPS = ("ht1_lstm32", "ht1_lstm64", "muff_lstm64", "bluesjr_lstm20", "ht1_gru64", "ht40_lstm20_cond")
NAMES = ("speaker", "vad", "watch", *AMPS)


def find(name: str, data: Path) -> Task:
    """Return a task by its name. It needs torch, safetensors and soundfile.

    Args:
        name: One of NAMES.
        data: The folder of weights and recordings.
    """
    if name in AMPS:
        from . import amp

        return amp.task(data, name)
    task: Task = import_module(f".{name}", __package__).task(data)
    return task
