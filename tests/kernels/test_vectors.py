"""The golden vectors: the specification still gives the stored answers, and the engine gives them too."""

from pathlib import Path

import numpy as np
import pytest
from kernels.building import VECTORS
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tools.streams import push_cut
from vectors import coverage
from vectors.generate import answers, programs

NAMES = sorted(path.stem for path in VECTORS.glob("*.tide"))


def read(path: Path) -> Floats:
    return np.fromfile(path, "<f4").astype(np.float32)


def test_each_case_of_the_generator_has_a_vector() -> None:
    assert sorted(programs(np.random.default_rng(2026))) == NAMES


def test_every_operator_has_a_vector() -> None:
    assert not coverage.missing()


@pytest.mark.parametrize("name", NAMES)
def test_specification_gives_the_stored_answers(name: str) -> None:
    program = programs(np.random.default_rng(2026))[name]
    frames = read(VECTORS / f"{name}.frames").reshape(-1, program.input_width)
    np.testing.assert_array_equal(answers(program, frames), read(VECTORS / f"{name}.answers"), strict=True)


@pytest.mark.parametrize("isa", _kernels.variants())
@pytest.mark.parametrize("name", NAMES)
def test_row_11_engine_gives_the_stored_answers_from_python(name: str, isa: str) -> None:
    model = NativeModel((VECTORS / f"{name}.tide").read_bytes(), isa)
    expected = read(VECTORS / f"{name}.answers")
    frames = read(VECTORS / f"{name}.frames").reshape(24, -1)
    stream = model.stream()
    program = programs(np.random.default_rng(2026))[name]
    found = push_cut(program, stream, frames, [0, 1, 8, 24])
    seen = np.concatenate([*(found[name].ravel() for name, _ in program.outputs), *stream.states()])
    np.testing.assert_array_equal(seen, expected, strict=True)
