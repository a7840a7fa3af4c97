"""Front ends: torch modules that turn samples into features, and stream inside an exported file.

A user imports them as `tidegate.frontend`. Their parameters have the names of torchaudio's.
"""

from .cepstrum import MFCC
from .framing import Framing, Preemphasis
from .loudness import AmplitudeToDB, Log
from .mel import MelScale, MelSpectrogram
from .over_time import ComputeDeltas, RunningNorm
from .spectrum import Spectrogram

__all__ = [
    "MFCC",
    "AmplitudeToDB",
    "ComputeDeltas",
    "Framing",
    "Log",
    "MelScale",
    "MelSpectrogram",
    "Preemphasis",
    "RunningNorm",
    "Spectrogram",
]
