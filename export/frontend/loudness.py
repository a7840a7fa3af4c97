"""Logarithms of powers and magnitudes."""

from math import log10

import torch
from torch import Tensor, nn

from ...runtime.errors import ExportError

_FACTORS = {"power": 10.0, "magnitude": 20.0}


class Log(nn.Module):
    """The natural logarithm of x + offset, of each value; torchaudio's MFCC with `log_mels=True` adds 1e-6.

    Args:
        offset: What is added, so that silence has a logarithm.

    Raises:
        ExportError: It is not above 0.
    """

    def __init__(self, offset: float = 1e-6) -> None:
        super().__init__()
        self.offset = _positive("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms."""
        return torch.log(x + self.offset)

    def extra_repr(self) -> str:
        """Return the offset, for print(module)."""
        return f"offset={self.offset}"


class AmplitudeToDB(nn.Module):
    """Decibels of each value: 10 log10(max(x, amin) / max(ref, amin)), and 20 of magnitudes.

    As torchaudio.transforms.AmplitudeToDB, librosa.power_to_db and librosa.amplitude_to_db with `top_db=None`.

    Args:
        stype: `power` or `magnitude`.
        top_db: Only None: the loudest value of a whole signal is not known while it streams.
        ref: What has 0 dB.
        amin: Smaller values count as this one. (librosa's default for magnitudes is 1e-5.)

    Raises:
        ExportError: An option is not allowed.
    """

    def __init__(
        self, stype: str = "power", top_db: float | None = None, ref: float = 1.0, amin: float = 1e-10
    ) -> None:
        super().__init__()
        if stype not in _FACTORS:
            raise ExportError(f"front end: stype is {stype!r}, wanted 'power' or 'magnitude'")
        if top_db is not None:
            raise ExportError(
                f"front end: top_db is {top_db}, wanted None: it cuts below the loudest value of the whole signal, "
                "which a stream does not have yet; amin is a floor that it has"
            )
        self.factor, self.amin = _FACTORS[stype], _positive("amin", amin)
        self.zero = self.factor * log10(max(_positive("ref", ref), self.amin))

    def forward(self, x: Tensor) -> Tensor:
        """Return the decibels."""
        return self.factor * torch.log10(x.clamp(min=self.amin)) - self.zero

    def extra_repr(self) -> str:
        """Return the options, for print(module)."""
        return f"factor={self.factor:g}, amin={self.amin}"


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ExportError(f"front end: {name} is {value}, wanted a number above 0")
    return float(value)
