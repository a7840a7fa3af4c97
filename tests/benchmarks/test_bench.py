"""`bench`: which loop and rate each job gets, what is passed on, and how a file is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tidegate
from onnx import TensorProto, helper
from tidegate.benchmarks import bench as module
from tidegate.benchmarks.bench import CELLS, bench, bench_file, cell_jobs
from tidegate.benchmarks.measuring.records import Settings
from tidegate.benchmarks.measuring.results import Row
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers.job import Job
from tidegate.benchmarks.progress import Progress
from tidegate.runtime.errors import ChunkError, ModelError

SMALL = stacks.Case("small", 3, 4, 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Job, Settings]]:
    """Measure nothing: note each job and its settings, and return one row per job."""
    found: list[tuple[Job, Settings]] = []

    def run_jobs(
        jobs: Sequence[Job], _peers: object, settings: Settings, progress: Progress, _variants: object
    ) -> list[Row]:
        found.extend((job, settings) for job in jobs)
        progress(0.5, "half")
        return [Row("x", "float32", "run", job.case, job.steps, settings.loop, unsteady=0.9) for job in jobs]

    monkeypatch.setattr(module, "run_jobs", run_jobs)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A float file with 50 frames per second."""
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "m.onnx", sample_rate=50)
    return tmp_path / "m.onnx"


@pytest.mark.parametrize(
    ("settings", "options", "wanted"),
    [
        (Settings(), {}, 50),
        (Settings(), {"steps": 5}, 10),
        (Settings(rate=7), {}, 7),
        (Settings(rate=7), {"closed": True}, 0),
    ],
)
def test_a_file_is_measured_at_its_own_rate_unless_another_is_given(
    path: Path, asked: list[tuple[Job, Settings]], settings: Settings, options: dict[str, Any], wanted: float
) -> None:
    bench_file(path, ["by_hand"], settings, **options)

    ((job, used),) = asked
    assert used.rate == pytest.approx(wanted)
    assert (job.case, job.steps) == ("m.onnx", options.get("steps", 1))


def test_stacks_have_no_rate_and_are_measured_in_a_closed_loop(asked: list[tuple[Job, Settings]]) -> None:
    shown: list[list[Row]] = []
    fractions: list[float] = []

    result = bench(
        cell_jobs([SMALL, stacks.Case("other", 2, 4, 1)], (1, 4)),
        ["by_hand"],
        Settings(),
        progress=lambda fraction, _text=None: fractions.append(fraction),
        shown=lambda rows: shown.append(list(rows)),
    )

    assert [(job.case, job.steps) for job, _ in asked] == [("small", 1), ("small", 4), ("other", 1), ("other", 4)]
    assert {settings.loop for _, settings in asked} == {"closed"}
    assert [len(rows) for rows in shown] == [2, 2]
    assert fractions == [0.25, 0.75]
    assert len(result.rows) == 4
    assert any("run again on a quieter machine" in warning for warning in result.warnings)


def test_each_case_of_the_suite_has_its_own_name() -> None:
    assert [case.name for case in CELLS.values()] == list(CELLS)
    assert {case.cell for case in CELLS.values()} == {"LSTM", "GRU", "RNN"}


def test_a_file_without_a_rate_needs_one_in_an_open_loop(tmp_path: Path, asked: list[tuple[Job, Settings]]) -> None:
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "m.onnx")

    with pytest.raises(ModelError, match="its contract states no rate; give --rate 100/s, --hop 10ms or --closed"):
        bench_file(tmp_path / "m.onnx", [], Settings())
    bench_file(tmp_path / "m.onnx", [], Settings(), closed=True)
    assert len(asked) == 1


def test_a_file_without_a_contract_is_refused(tmp_path: Path) -> None:
    tensor = helper.make_tensor_value_info
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)
    shapes = {"x": [5, 1, 3], "w": [1, 8, 3], "r": [1, 8, 2]}
    inputs = [tensor(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([node], "g", inputs, [tensor("y", TensorProto.FLOAT, [5, 1, 1, 2])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")

    with pytest.raises(ModelError, match=r"m\.onnx: it has no streaming contract; export or lift it with tidegate"):
        bench_file(tmp_path / "m.onnx", [], Settings())


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros((20, 7), np.float32), r"signal has shape \(20, 7\), wanted \(frames, 3\)"),
        (np.zeros(20, np.float32), r"signal has shape \(20,\), wanted \(frames, 3\)"),
        (np.full((20, 3), np.nan, np.float32), "holds nan"),
        (np.zeros((1, 3), np.float32), "signal has 1 frames, wanted at least two chunks of 1 frames"),
    ],
)
def test_a_signal_that_does_not_fit_is_refused(path: Path, signal: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(ChunkError, match=message):
        bench_file(path, [], Settings(), signal=signal)


@pytest.fixture
def ids_path(tmp_path: Path) -> Path:
    """A file that reads ids from 0 to 5."""
    torch = pytest.importorskip("torch")

    class Reader(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.table, self.cell = torch.nn.Embedding(6, 3), torch.nn.GRU(3, 4, batch_first=True)

        def forward(self, ids: Any) -> Any:  # noqa: ANN401  torch is imported in here
            return self.cell(self.table(ids))[0]

    tidegate.export_model(Reader(), torch.zeros((1, 5), dtype=torch.int64), tmp_path / "ids.onnx")
    return tmp_path / "ids.onnx"


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Measure nothing: note the signal of each job."""
    found: list[Any] = []

    def run_jobs(jobs: Sequence[Job], *_rest: object) -> list[Row]:
        found.extend(np.concatenate(job.chunks()) for job in jobs)
        return []

    monkeypatch.setattr(module, "run_jobs", run_jobs)
    return found


def test_a_model_of_ids_is_measured_on_ids_that_it_knows(ids_path: Path, signals: list[Any]) -> None:
    bench_file(ids_path, [], Settings(), closed=True)
    (signal,) = signals
    assert (signal.ndim, signal.dtype.kind, signal.min(), signal.max()) == (1, "i", 0, 5)


def test_a_plan_of_ids_needs_a_signal(ids_path: Path, signals: list[Any]) -> None:
    plan = ids_path.with_suffix(".tide")
    tidegate.compile_model(ids_path, plan)
    with pytest.raises(ChunkError, match="the plan takes token ids: give some with --input, or the ONNX file"):
        bench_file(plan, [], Settings(), closed=True)
    with pytest.raises(ChunkError, match=r"signal has shape \(4, 1\), wanted \(frames\)"):
        bench_file(plan, [], Settings(), closed=True, signal=np.zeros((4, 1), np.float32))
    bench_file(plan, [], Settings(), closed=True, signal=np.arange(4))
    np.testing.assert_array_equal(signals, [np.arange(4)])


def test_a_plan_is_measured_too(path: Path, asked: list[tuple[Job, Settings]]) -> None:
    tidegate.quantize(path, path.with_suffix(".int8.onnx"))
    tidegate.compile_model(path.with_suffix(".int8.onnx"), path.with_suffix(".tide"))

    bench_file(path.with_suffix(".tide"), [], Settings())

    assert asked[0][1].rate == 50
