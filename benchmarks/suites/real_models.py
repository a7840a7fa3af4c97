"""The suite of real models, each at the rate of its source: speech detection, speaker verification, a smartwatch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...export import export_model, lift
from ...runtime.arrays import Array
from ..measuring.jobs import file_job
from ..peers.job import Job
from ..tasks import speaker, vad, watch
from ..tasks.task import Task

FRAMES = 1000  # frames of a signal, which is used over and over


@dataclass(frozen=True)
class RealModel:
    """A task and the rate of its frames.

    Attributes:
        task: Makes the task from the folder of weights and recordings.
        sample_rate: Samples per second of the signal.
        hop: Samples from one frame to the next.
    """

    task: Callable[[Path], Task]
    sample_rate: float
    hop: int


REAL_MODELS = (RealModel(watch.task, 50, 1), RealModel(speaker.task, 16000, 160))
VOICE = RealModel(vad.task, 16000, 512)


def real_jobs(data: Path) -> Iterator[Callable[[Path], Sequence[Job]]]:
    """Give, for each real model, a function that makes its job in a folder, with one frame per chunk.

    If the package silero_vad is installed, the whole Silero net is run on samples. If not, its LSTM and the layers
    after it are run on features.

    Args:
        data: The folder of weights and recordings.

    Raises:
        FileNotFoundError: The folder does not exist.
    """
    if not data.is_dir():
        raise FileNotFoundError(2, "there is no such folder of real models and recordings", str(data))
    yield from (lambda folder, source=source: [_exported(folder, source, data)] for source in REAL_MODELS)
    whole = find_spec("silero_vad") is not None
    yield lambda folder: [_silero(folder, data) if whole else _exported(folder, VOICE, data)]


def _exported(folder: Path, source: RealModel, data: Path) -> Job:
    task = source.task(data)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    export_model(
        task.module,
        np.zeros((1, 20, task.width), np.float32) + 0.1,
        path,
        sample_rate=source.sample_rate,
        hop=source.hop,
    )
    signal = np.concatenate(task.streams[:20])[:FRAMES]
    return file_job(folder, task.name, path, signal, 1)


def _silero(folder: Path, data: Path) -> Job:
    """Make the job of the whole Silero net, lifted from the ONNX file in its package: samples in, probability out."""
    import silero_vad

    folder.mkdir(parents=True, exist_ok=True)
    source, path = Path(silero_vad.__file__).parent / "data" / "silero_vad.onnx", folder / "silero.onnx"
    lift(source, path, values={"sr": 16000}, frame=512, context=64, sample_rate=16000, hop=512)
    return file_job(folder, "Silero VAD", path, _samples(data), 1)


def _samples(data: Path) -> Array:
    from ..tasks.task import recording

    samples = recording(data / "vad" / "mix00_noisy.flac")
    return samples[: len(samples) // 512 * 512].reshape(-1, 512)[:FRAMES]
