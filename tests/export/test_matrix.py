"""All cases of the matrix, from PyTorch to both backends: whole, in chunks, at other lengths and batches."""

from pathlib import Path

import pytest
from tidegate.export import export_model
from tools import matrix, support

CASES = matrix.cases()


def test_the_matrix_has_at_least_two_hundred_shapes() -> None:
    print(f"{len(CASES)} shapes, each at 6 lengths and 3 batches")
    assert len({case.name for case in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_streams_on_both_backends_what_pytorch_computes(case: matrix.Case, tmp_path: Path) -> None:
    module = case.module()
    report = export_model(module, case.example(9, 2), tmp_path / "m.onnx")
    assert report.error < 1e-5
    matrix.assert_streams(report.path, module, case)


def test_the_table_in_the_readme_is_that_of_the_matrix() -> None:
    assert support.written(support.EXPORT_MARKS) == support.exports(), "run `make support`"
