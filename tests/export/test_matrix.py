"""Every case of the matrix, from PyTorch to both backends: whole, in chunks, at other lengths and batches."""

from pathlib import Path

import matrix
import numpy as np
import pytest
import support
import torch
from tidegate.export import export_model
from tidegate.runtime.arrays import Array
from tidegate.runtime.model import Model, load

CASES = matrix.cases()
LENGTHS, CUTS = (1, 13, 40), [1, 4, 21]


def test_the_matrix_has_at_least_two_hundred_shapes() -> None:
    print(f"{len(CASES)} shapes, each at 6 lengths and 3 batches")
    assert len({case.name for case in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_streams_on_both_backends_what_pytorch_computes(case: matrix.Case, tmp_path: Path) -> None:
    module = case.module()
    report = export_model(module, case.example(9, 2), tmp_path / "m.onnx")
    assert report.error < 1e-5
    for backend in ("native", "onnxruntime"):
        model = load(report.path, backend)
        assert model.backend.startswith(backend)
        for length in LENGTHS:
            wanted = answers(module, case, length)
            frames = case.signal(length, 1, seed=2).squeeze(0 if case.batch_first else 1).numpy()
            seen = streamed(model, frames, case)
            np.testing.assert_allclose(seen, wanted, rtol=0, atol=1e-5 * max(1.0, float(np.abs(wanted).max())))


def answers(module: torch.nn.Module, case: matrix.Case, length: int) -> Array:
    """Return PyTorch's answer to one stream."""
    x = case.signal(length, 1, seed=2)
    example = case.example(length, 1)
    rest = example[1:] if isinstance(example, tuple) else ()
    with torch.no_grad():
        found = module(x, *rest)
    answer: Array = (found[0] if case.extra == "state in and out" else found).numpy()
    return answer.squeeze(0 if case.batch_first or case.head != "each frame" else 1)


def streamed(model: Model, frames: Array, case: matrix.Case) -> Array:
    """Return the answer to one stream in chunks."""
    stream = model.stream()
    pieces = [stream.push(chunk) for chunk in np.split(frames, [cut for cut in CUTS if cut < len(frames)])]
    named = [next(iter(piece.values())) if isinstance(piece, dict) else piece for piece in pieces]
    return np.concatenate(named) if case.head == "each frame" else named[-1]


def test_the_table_in_the_readme_is_that_of_the_matrix() -> None:
    assert support.written(support.EXPORT_MARKS) == support.exports(), "run `make support`"
