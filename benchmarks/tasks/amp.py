"""Guitar amplifiers: small LSTMs and a GRU that map each sample at 44.1 kHz."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from ...runtime.arrays import Floats
from .task import Answers, Goal, Task, recording, tensors

CALIBRATION, TEST = "guit_e_fifths", ("guit_e_slide", "guit_em9", "guit_harmonics")
KNOB = 0.5  # the setting of every knob: the middle
GOALS = {
    "ht1_lstm32": (0.0015, 0.0005, 1e-5, 7e-6),
    "ht1_lstm64": (0.0012, 0.0004, 1e-5, 7e-6),
    "muff_lstm64": (0.0003, 0.00003, 2e-6, 1e-6),
    "bluesjr_lstm20": (0.001, 0.0004, 2e-6, 1e-6),
    "ht1_gru64": (0.001, 0.0004, 1e-5, 7e-6),
    "ht40_lstm20_cond": (0.0025, 0.001, 2e-6, 1e-6),
}


class Amplifier(nn.Module):
    """An amplifier: the sample plus the output of the recurrent net."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU], inputs: int, hidden: int) -> None:
        super().__init__()
        self.rec = cell(inputs, hidden, batch_first=True)
        self.lin = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map samples and knobs `[batch, frames, inputs]` to samples `[batch, frames, 1]`."""
        y: Tensor = self.lin(self.rec(x)[0]) + x[:, :, :1]
        return y


def task(data: Path, name: str) -> Task:
    """Return the task of one amplifier: the error-to-signal ratio on three recordings; a fourth is for calibration."""
    weights = tensors(data / "amp" / f"{name}.safetensors")
    rows, inputs = weights["rec.weight_ih_l0"].shape
    hidden = weights["rec.weight_hh_l0"].shape[1]
    module = Amplifier(nn.LSTM if rows == 4 * hidden else nn.GRU, inputs, hidden)
    module.load_state_dict(weights)
    must, stretch, must_16, stretch_16 = GOALS[name]

    def streams(*files: str) -> list[Floats]:
        return [played(recording(data / "amp" / "audio" / f"{file}.flac"), inputs) for file in files]

    return Task(
        name,
        module,
        inputs,
        streams(CALIBRATION),
        streams(*TEST),
        figures,
        goals={"ESR": Goal(must, stretch)},
        goals_16_bits={"ESR": Goal(must_16, stretch_16)},
        chunk=64,
    )


def played(samples: Floats, inputs: int) -> Floats:
    """Return frames `[frames, inputs]`: a sample each, and KNOB for the other inputs."""
    frames = np.full((len(samples), inputs), KNOB, np.float32)
    frames[:, 0] = samples
    return frames


def figures(answers: Answers, exact: Answers) -> dict[str, float]:
    """Return the error-to-signal ratio over all recordings: energy of the error / energy of the float output."""
    y, wanted = (np.concatenate(side).astype(np.float64) for side in (answers, exact))
    return {"ESR": float(np.sum((y - wanted) ** 2) / np.sum(wanted**2))}
