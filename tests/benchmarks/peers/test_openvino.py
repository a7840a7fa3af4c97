"""OpenVINO: files of each chunk size, fixed shapes, and models that NNCF left in float."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import openvino
from tidegate.benchmarks.peers.job import CannotRunError


def constant(byte_size: int, *shape: int) -> SimpleNamespace:
    """Return a constant of a model, as OpenVINO describes it."""
    return SimpleNamespace(
        get_type_name=lambda: "Constant",
        get_element_type=lambda: SimpleNamespace(size=byte_size),
        get_output_shape=lambda _: shape,
    )


def test_a_model_that_stayed_mostly_float_is_refused() -> None:
    mixed = SimpleNamespace(get_ops=lambda: [constant(1, 10, 10), constant(4, 10)])
    floats = SimpleNamespace(get_ops=lambda: [constant(1, 10), constant(4, 10, 10)])

    openvino._refuse_floats(mixed)
    with pytest.raises(CannotRunError, match="NNCF left 100 of 110 constants in float32"):
        openvino._refuse_floats(floats)


def test_every_free_axis_gets_the_size_of_the_job(tmp_path: Path) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 4, 1), 5)

    shapes = openvino._shapes(job, job.contract)

    assert shapes == {"x": [5, 1, 3], "lstm0.h_in": [1, 1, 4], "lstm0.c_in": [1, 1, 4]}


def test_a_model_has_two_files(tmp_path: Path) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 4, 1), 5)

    names = [[path.name for path in openvino.files(job, variant)] for variant in openvino.VARIANTS]

    assert names[0] == ["openvino.5.float32.xml", "openvino.5.float32.bin"]
    assert names[2] == ["openvino.5.int8-weights.xml", "openvino.5.int8-weights.bin"]
