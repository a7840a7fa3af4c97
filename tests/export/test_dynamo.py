"""Files of torch's dynamo exporter, whole: lifted, proven, streamed on both backends against PyTorch.

It takes seconds a model, so here stands one of each kind; tests/export/test_matrix.py has the others.
"""

import logging
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import torch
from tidegate.export import lift
from tidegate.runtime.errors import TidegateError
from tools import matrix

CASES = [
    *(
        matrix.Case(kind, head, layers, batch_first=(i + layers) % 2 == 0)
        for kind, (i, head), layers in product(("nn.LSTM", "nn.GRU"), enumerate(matrix.HEADS), (1, 2))
    ),
    *(matrix.Case("nn.LSTM", "each frame", front=front) for front in ("causal Conv1d", "LayerNorm")),
    matrix.Case("nn.GRU", "last frame", bias=False, batch_first=False),
    matrix.Case("nn.LSTM", "each frame", 2, extra="state in and out"),
    matrix.Case("nn.RNN tanh", "each frame"),  # it writes each of the example's frames out
]


@pytest.fixture(autouse=True)
def _unheard() -> Iterator[None]:
    """Silence torch, which logs each step of this exporter at DEBUG, and pytest records it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def written(case: matrix.Case, path: Path) -> torch.nn.Module:
    """Export a case by the dynamo exporter; return its module."""
    module, example = case.module(), case.example(9, 2)
    given = example if isinstance(example, tuple) else (example,)
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    signal = dict(enumerate((batch, time) if case.batch_first else (time, batch)))
    rest = [({1: batch}, {1: batch}) if isinstance(state, tuple) else {1: batch} for state in given[1:]]
    kinds = ["h", "c"] if "LSTM" in case.kind else ["h"]
    states = kinds if case.extra else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        torch.onnx.export(
            module,
            given,
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=(signal, *rest),
            input_names=["x", *states],
            output_names=["y", *(f"{kind}n" for kind in states)],
        )
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_of_the_dynamo_exporter_is_lifted_and_streams(case: matrix.Case, tmp_path: Path) -> None:
    module = written(case, tmp_path / "own.onnx")
    report = lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    print(f"largest relative error {report.error:.1e}, wanted 1e-5")
    assert report.error < 1e-5
    matrix.assert_streams(report.path, module, case)


def test_there_are_some_twenty_of_them() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 20


def test_a_projection_that_it_writes_wrong_is_refused(tmp_path: Path) -> None:
    written(matrix.Case("nn.LSTM proj_size", "each frame"), tmp_path / "own.onnx")
    with pytest.raises(TidegateError, match=r"onnxruntime cannot run the file.*initial_c"):
        lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
