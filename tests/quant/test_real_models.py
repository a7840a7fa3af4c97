"""The figures that quantized real models must reach; `make accuracy` prints all of them.

Trained modules are exported, quantized and streamed on the engine. Weights and recordings are in a folder next to the
checkout.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from tidegate.benchmarks.accuracy import export, float_answers, streamed
from tidegate.benchmarks.tasks import find
from tidegate.benchmarks.tasks.task import Goal, Task
from tidegate.quant import QuantizationReport, quantize
from tools.shared import DATA, shared_folder

pytestmark = pytest.mark.slow  # trained nets on real recordings

FOLDERS = {"speaker": "speaker_encoder", "vad": "silero_vad", "watch": "watch_imu"}
TYPES = {4: onnx.TensorProto.INT4, 8: onnx.TensorProto.INT8, 16: onnx.TensorProto.INT16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def exported(name: str, folder: Path) -> tuple[Task, Path]:
    """Return a task and its float file, exported once."""
    shared_folder(FOLDERS.get(name, "amp"))
    task, path = found(name), folder / f"{name}.onnx"
    return task, path if path.exists() else export(task, path)


@cache
def found(name: str) -> Task:
    """Return a task; of an amplifier's three recordings the last, for torch needs a minute for all of them."""
    task = find(name, DATA)
    return task if name in FOLDERS else replace(task, streams=task.streams[2:])


@cache
def exact_answers(name: str) -> list[np.ndarray]:
    """Return the module's answers, computed once."""
    return float_answers(found(name))


def assert_quantized(path: Path, report: QuantizationReport) -> None:
    """Assert that every weight is stored in the integers that the report gives."""
    types = {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert report.coverage == 1
    for row in report.weights:
        assert types[f"{row.name}.int{row.bits}"] == TYPES[row.bits]


def assert_reached(name: str, path: Path, report: QuantizationReport, goals: dict[str, Goal]) -> None:
    assert_quantized(path, report)
    task, exact = found(name), exact_answers(name)
    made = streamed(path, task.streams)
    assert any(np.any(a != b) for a, b in zip(made, exact, strict=True))
    figures = task.figures(made, exact)
    print(task.name, {figure: f"{value:.5g}" for figure, value in figures.items()}, report.calibration)
    for figure, goal in goals.items():
        assert goal.met(figures[figure]) != "missed", f"{figure} is {figures[figure]:.5g}, wanted {goal.must:g}"


@pytest.mark.parametrize("name", ["ht1_lstm32", "ht1_gru64", "bluesjr_lstm20", "ht40_lstm20_cond", "watch", "vad"])
def test_int8_with_the_defaults(name: str, folder: Path) -> None:
    task, source = exported(name, folder)
    report = quantize(source, folder / "q.onnx", calibration=task.calibration)
    assert_reached(name, folder / "q.onnx", report, task.goals)
    asked = sum(w.options[0].bytes for w in report.weights)
    assert sum(w.bytes for w in report.weights) <= 1.05 * asked


@pytest.mark.parametrize("name", ["ht1_lstm32", "ht1_gru64", "bluesjr_lstm20", "ht40_lstm20_cond"])
def test_sixteen_bits(name: str, folder: Path) -> None:
    task, source = exported(name, folder)
    report = quantize(source, folder / "q.onnx", precision="W16A16")
    assert_reached(name, folder / "q.onnx", report, task.goals_16_bits)


@pytest.mark.parametrize(
    ("precision", "way_out"),
    [
        ("W4A16", "choose precision rec.weight_hh_l0=W16A16, lin.weight=W16A16: then they err by 0.32%"),
        ("W8A8", "choose 16-bit activations (A16 in place of A8) and choose precision rec.weight_hh_l0=W16A16"),
        ("W16A16", ""),
    ],
)
def test_answers_far_from_float_are_a_warning(precision: str, way_out: str, folder: Path) -> None:
    """Error to signal on the recordings: 1.27, 0.55 and 7e-6. The report finds the same without any recording."""
    _, source = exported("ht1_lstm32", folder)
    report = quantize(source, folder / "q.onnx", precision=precision)
    assert report.answers is not None
    assert (report.answers.error > 0.5) == bool(way_out)
    assert way_out in " ".join(report.warnings)
    assert len(report.warnings) == bool(way_out)


def test_calibrated_answers_far_from_float_are_a_warning(folder: Path) -> None:
    """The recording becomes quiet, and 8-bit activations are too few for quiet frames."""
    task, source = exported("ht1_lstm32", folder)
    report = quantize(source, folder / "q.onnx", calibration=task.calibration, precision="W8A8", method="nearest")
    (warning,) = report.warnings
    assert "on calibration frames held out, above 10%; choose 16-bit activations (A16 in place of A8)" in warning


@pytest.mark.parametrize(
    ("name", "goals"),
    [
        ("watch", {"accuracy": Goal(0.005, 0.001, about=0.80609)}),
        ("vad", {"AUC clean": Goal(0.0005, 0.0001, about=0.988371), "AUC noisy": Goal(0.0005, 0.0001, about=0.956568)}),
    ],
)
def test_integer_arithmetic(name: str, goals: dict[str, Goal], folder: Path) -> None:
    """Rounded to nearest, no operation of either net computes in floats."""
    task, source = exported(name, folder)
    report = quantize(source, folder / "q.onnx", calibration=task.calibration, method="nearest", arithmetic="integer")
    assert report.float_operators == ()
    assert_reached(name, folder / "q.onnx", report, goals)


@pytest.mark.parametrize("name", ["watch", "vad"])
def test_four_bits(name: str, folder: Path) -> None:
    task, source = exported(name, folder)
    report = quantize(source, folder / "q.onnx", calibration=task.calibration, precision="W4A16g32")
    assert_reached(name, folder / "q.onnx", report, task.goals_4_bits)


def test_the_first_weight_of_the_speaker_encoder_gets_sixteen_bits(folder: Path) -> None:
    """A quarter of the windows is enough for cosines; `make accuracy` gives the equal error rate over all pairs."""
    task, source = exported("speaker", folder)
    report = quantize(source, folder / "q.onnx", calibration=task.calibration)
    assert_quantized(folder / "q.onnx", report)
    assert report.moved[0].precision == "W16A16"
    assert report.moved[0].shape == (1024, 40)
    few = replace(task, streams=task.streams[::4])
    exact, made = (np.stack(answers) for answers in (float_answers(few), streamed(folder / "q.onnx", few.streams)))
    cosines = np.sum(exact * made, 1)
    print(f"cosine {cosines.mean():.5f}, least {cosines.min():.5f}")
    assert cosines.mean() >= task.goals["mean cos"].must
    assert cosines.min() >= task.goals["min cos"].must
