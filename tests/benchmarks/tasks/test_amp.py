"""Guitar amplifiers: their task from weights and recordings, their input frames, their error."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.benchmarks.tasks import amp


@pytest.mark.parametrize(("name", "cell", "inputs"), [("ht1_lstm32", "LSTM", 1), ("ht1_gru64", "GRU", 2)])
def test_the_cell_and_the_knobs_are_found_from_the_weights(tmp_path: Path, name: str, cell: str, inputs: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    save_file = pytest.importorskip("safetensors.torch").save_file
    folder = tmp_path / "amp"
    (folder / "audio").mkdir(parents=True)
    net = amp.Amplifier(getattr(torch.nn, cell), inputs, 5)
    save_file(net.state_dict(), folder / f"{name}.safetensors")
    for file in (amp.CALIBRATION, *amp.TEST):
        soundfile.write(folder / "audio" / f"{file}.flac", np.zeros(100), 44100)

    task = amp.task(tmp_path, name)

    assert (task.name, task.width, task.chunk) == (name, inputs, 64)
    assert [stream.shape for stream in (*task.calibration, *task.streams)] == [(100, inputs)] * 4
    frames = torch.rand(1, 7, inputs)
    assert torch.equal(task.module(frames), net(frames))


def test_a_frame_is_a_sample_and_the_knobs_in_the_middle() -> None:
    assert amp.played(np.array([0.25, -1], np.float32), 3).tolist() == [[0.25, 0.5, 0.5], [-1, 0.5, 0.5]]


def test_the_error_is_relative_to_the_energy_of_all_recordings() -> None:
    exact = [np.array([[3.0]]), np.array([[4.0]])]

    assert amp.figures(exact, exact) == {"ESR": 0}
    assert amp.figures([np.array([[3.0]]), np.array([[5.0]])], exact) == {"ESR": pytest.approx(1 / 25)}
