"""The form of a signal: what a model file takes, and the arrays and recordings that fit it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tidegate import ModelError, compile_model
from tidegate.commands._signal_form import SignalForm
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Contract, Port, State
from tidegate.runtime.errors import ChunkError
from tools.onnx_files import write_ids, write_lstm

CONTRACT = Contract((Port("x", 0, 1),), (Port("y", None, 0),), (State("h", "g", "h", (1, "batch", 8)),), 0, 16000.0, 1)
IDS = SignalForm(CONTRACT, (), ids=True)
ONE = SignalForm(CONTRACT, (1,), ids=False)
TWO = SignalForm(CONTRACT, (2,), ids=False)


def test_a_file_and_its_plan_take_the_same_form(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    compile_model(path, tmp_path / "m.tide")

    for model in (path, tmp_path / "m.tide"):
        form = SignalForm.of(model)
        assert (form.sizes, form.ids, form.contract.sample_rate) == ((6,), False, 50.0)


def test_a_file_of_ids_takes_the_ids_of_its_table(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "m.onnx")
    compile_model(path, tmp_path / "m.tide")

    form, plan = SignalForm.of(path), SignalForm.of(tmp_path / "m.tide")
    assert (form.ids, form.sizes, form.known) == (True, (), 9)
    assert (plan.ids, plan.sizes, plan.known) == (True, (), 0)


@pytest.mark.parametrize("wrong", [-1, 9, 2**40])
def test_an_id_that_is_in_no_table_is_named(wrong: int) -> None:
    form = replace(IDS, known=9)

    form.check(np.arange(9), "x")
    with pytest.raises(ChunkError, match=r"x, frame 1: holds .*, wanted ids from 0 to 8"):
        form.check(np.array([8, wrong]), "x")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 2e19])
def test_a_number_that_no_stream_takes_is_named(wrong: float) -> None:
    TWO.check(np.array([[2.0**64, -(2.0**64)]], np.float32), "x")
    with pytest.raises(ChunkError, match=r"x, frame 1: holds .*, wanted finite numbers up to 2\^64"):
        TWO.check(np.array([[0, 0], [0, wrong]], np.float32), "x")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"garbage")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        SignalForm.of(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "values", [np.arange(4), np.arange(4)[:, None], np.arange(4.0), np.arange(4, dtype=">u2"), np.arange(4, dtype="f4")]
)
def test_ids_may_have_a_second_axis_and_may_be_whole_floats(values: Array) -> None:
    found = IDS.fit(values, "x")

    assert (found.tolist(), found.dtype.name) == ([0, 1, 2, 3], "int64")


@pytest.mark.parametrize(
    "values", [np.ones(4), np.ones((4, 1), np.float16), np.ones(4, np.int16), np.ones((4, 1), ">f8")]
)
def test_one_feature_may_have_one_axis(values: Array) -> None:
    found = ONE.fit(values, "x")

    assert (found.shape, found.dtype.name) == ((4, 1), "float32")


@pytest.mark.parametrize(
    ("form", "values", "message"),
    [
        (TWO, np.ones(3), r"x: has shape \(3,\), wanted \(frames, 2\)"),
        (TWO, np.ones((3, 3)), r"x: has shape \(3, 3\), wanted \(frames, 2\)"),
        (TWO, np.ones((1, 3, 2)), r"x: has shape \(1, 3, 2\), wanted \(frames, 2\)"),
        (TWO, np.array(1.0), r"x: has shape \(\), wanted"),
        (TWO, np.ones((3, 2), np.complex64), "x: holds complex64, wanted float32"),
        (IDS, np.ones((3, 2)), r"x: has shape \(3, 2\), wanted token ids \(frames,\), one per line in a text"),
        (IDS, np.array([1, 2.5]), "x: holds 2.5 at frame 1, wanted token ids"),
        (IDS, np.array([1, np.nan]), "x: holds nan at frame 1, wanted token ids"),
        (IDS, np.array([True]), "x: holds bool, wanted token ids"),
    ],
)
def test_another_shape_or_type_is_refused(form: SignalForm, values: Array, message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        form.fit(values, "x")


def test_numbers_beyond_float32_become_infinite_and_not_wrong() -> None:
    assert np.isinf(ONE.fit(np.array([1e39]), "x")).all()


def test_a_size_that_the_file_does_not_fix_is_any() -> None:
    assert replace(TWO, sizes=(0,)).fit(np.ones((3, 5)), "x").shape == (3, 5)


def test_a_recording_has_one_feature_per_channel() -> None:
    samples = np.ones((5, 2), np.float32)

    assert TWO.fit_recording(samples, 16000, "x.wav") is samples
    assert (
        replace(TWO, contract=replace(CONTRACT, sample_rate=None, hop=None)).fit_recording(samples, 44100, "x")
        is samples
    )


def test_a_recording_is_cut_into_the_hops_of_a_front_end() -> None:
    """The 3 samples after the last hop make no frame."""
    form = SignalForm(replace(CONTRACT, hop=4, samples=True), (4,), ids=False)
    samples = np.arange(11, dtype=np.float32)
    np.testing.assert_array_equal(form.fit_recording(samples[:, None], 16000, "x.wav"), samples[:8].reshape(2, 4))
    with pytest.raises(ChunkError, match=r"has 2 channels, the front end of the model hears 1; give one of them"):
        form.fit_recording(np.ones((5, 2), np.float32), 16000, "x.wav")
    assert len(form.fit_recording(np.ones((5, 2), np.float32)[:, :1], 16000, "x.wav")) == 1


@pytest.mark.parametrize(
    ("form", "rate", "message"),
    [
        (TWO, 44100, "has 44100 samples per second, the model takes 16000; resample it"),
        (ONE, 16000, r"has 2 channels, wanted \(frames, 1\): a channel is a feature"),
        (IDS, 16000, "is a recording, the model takes token ids"),
        (
            replace(TWO, contract=replace(CONTRACT, hop=160)),
            16000,
            "the model takes a frame every 160 samples; give its",
        ),
    ],
)
def test_row_48_recording_of_another_form_is_refused(form: SignalForm, rate: int, message: str) -> None:
    with pytest.raises(ChunkError, match=f"x.wav: .*{message}"):
        form.fit_recording(np.ones((5, 2), np.float32), rate, "x.wav")
