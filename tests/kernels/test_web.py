"""The engine in WebAssembly, in Node: the bits and the refusals of Python, in both modules."""

from base64 import b64decode, b64encode
from typing import Any

import numpy as np
import pytest
from kernels.building import require, vectors
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import ChunkError, PlanError, SnapshotError
from tools.web import MODULES, engine, in_node

pytestmark = pytest.mark.slow  # the first of these tests builds the engine

PIECES = (1_000_000, 1, 7, 17)  # frames per push
HALF = 12
DAMAGES = 40  # of each plan and of each snapshot
NO_PLAN = "this is no plan; `tidegate compile model.onnx -o model.tide` writes one"


@pytest.fixture(params=MODULES)
def variant(request: pytest.FixtureRequest) -> str:
    require("node")
    name: str = request.param
    return name


def test_row_150_every_golden_vector_gives_its_bits_in_pieces_of_any_size(variant: str) -> None:
    jobs = [{"kind": "replay", "stem": str(stem), "pieces": PIECES} for stem in vectors()]
    for stem, result in zip(vectors(), in_node(jobs, engine(variant)), strict=True):
        assert result["isa"] == variant
        wanted = stem.with_suffix(".answers").read_bytes()
        assert [b64decode(answers) == wanted for answers in result["answers"]] == [True] * len(PIECES), stem.name


def test_damaged_plans_are_refused_with_the_words_of_python(variant: str) -> None:
    rng = np.random.default_rng(22)
    plans = {stem: stem.with_suffix(".tide").read_bytes() for stem in vectors()}
    changes = {stem: _changes(rng, len(plan)) for stem, plan in plans.items()}
    jobs = [{"kind": "damage", "stem": str(stem), "changes": pairs} for stem, pairs in changes.items()]
    for (stem, pairs), said in zip(changes.items(), in_node(jobs, engine(variant)), strict=True):
        assert said == [_refusal(_damaged(plans[stem], *pair)) for pair in pairs], stem.name


def _changes(rng: np.random.Generator, size: int) -> list[tuple[int, int]]:
    """Return places in a plan and what flips there (0: the plan ends there); a third of them in its header."""
    places = [*rng.integers(0, 128, DAMAGES // 3), *rng.integers(0, size, DAMAGES - DAMAGES // 3)]
    return [(int(place), int(rng.integers(0, 256))) for place in places]


def _damaged(plan: bytes, at: int, flip: int) -> bytes:
    return plan[:at] + bytes([plan[at] ^ flip]) + plan[at + 1 :] if flip else plan[:at]


def _refusal(plan: bytes) -> str | None:
    """Return the words of Python, which are given a file by its kind: a page takes any file."""
    try:
        NativeModel(plan)
    except PlanError as error:
        no_plan = str(error).startswith("plan: magic is ")
        return f"PlanError: {NO_PLAN if no_plan else error}"
    return None


def test_snapshots_go_on_from_python_to_webassembly_and_back(variant: str) -> None:
    jobs: list[dict[str, Any]] = []
    wanted = []
    for stem in vectors():
        model = NativeModel(stem.with_suffix(".tide").read_bytes())
        frames: Array = np.fromfile(stem.with_suffix(".frames"), "<f4").reshape(24, -1)
        frames = frames[:, 0].astype(np.int64) if stem.name == "tables" else frames  # it takes ids
        stream = model.stream()
        stream.push(frames[:HALF])
        snapshot = stream.snapshot()
        jobs.append({"kind": "snapshot", "stem": str(stem), "half": HALF, "given": b64encode(snapshot).decode()})
        stream.push(frames[HALF:])
        wanted.append((snapshot, b"".join(values.tobytes() for values in stream.states())))
    for (snapshot, states), result in zip(wanted, in_node(jobs, engine(variant)), strict=True):
        assert b64decode(result["taken"]) == snapshot
        assert [b64decode(answer) for answer in result["answers"]] == [states, states]
        assert result["frames"] == 24


def test_damaged_snapshots_are_refused_with_the_words_of_python(variant: str) -> None:
    rng = np.random.default_rng(23)
    stem = next(stem for stem in vectors() if stem.name == "stack")
    stream = NativeModel(stem.with_suffix(".tide").read_bytes()).stream()
    stream.push(np.fromfile(stem.with_suffix(".frames"), "<f4").reshape(24, -1))
    snapshot = stream.snapshot()
    given = [_damaged(snapshot, *pair) for pair in _changes(rng, len(snapshot))]
    wanted: list[str | None] = []
    for damaged in given:
        try:
            stream.restore(damaged)
            wanted.append(None)
        except SnapshotError as error:
            wanted.append(f"SnapshotError: {error}")
    assert sum(text is not None for text in wanted) > DAMAGES // 2
    job = {"kind": "restore", "stem": str(stem), "given": [b64encode(damaged).decode() for damaged in given]}
    assert in_node([job], engine(variant)) == [wanted]


def test_the_only_signal_may_be_given_by_its_name(variant: str) -> None:
    stem = next(stem for stem in vectors() if stem.name == "lstm_16_bits")
    model = NativeModel(stem.with_suffix(".tide").read_bytes())
    frames = np.fromfile(stem.with_suffix(".frames"), "<f4").reshape(24, -1)
    (name,) = model.contract.signals
    (result,) = in_node([{"kind": "named", "stem": str(stem), "names": [name, "other"]}], engine(variant))
    wanted = np.asarray(model.stream().push({name: frames})).tobytes()
    assert [b64decode(answers) for answers in result["answers"]] == [wanted] * 3
    refusals: list[dict[str, Array]] = [{"other": frames}, {}]
    for chunk, said in zip(refusals, result["said"], strict=True):
        with pytest.raises(ChunkError) as refused:
            model.stream().push(chunk)
        assert said == f"ChunkError: {refused.value}"


def test_row_170_memory_that_grows_between_two_pushes_changes_no_answer(variant: str) -> None:
    stem = next(stem for stem in vectors() if stem.name == "lstm_16_bits")
    (result,) = in_node([{"kind": "grown", "stem": str(stem), "half": HALF}], engine(variant))
    assert result["others"] > 0
    assert b64decode(result["answers"]) == stem.with_suffix(".answers").read_bytes()
