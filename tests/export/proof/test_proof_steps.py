"""Each step of a proof: which signals it runs, what it is called, and what it says when it fails.

A filter in NumPy stands for the file, the original and the loaded models, so a fault is put into one place of one run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from tidegate.export.proof.comparison import Check, RoundingError, UnfiniteError
from tidegate.export.proof.loaded import Loaded
from tidegate.export.proof.proof import Proof, _runs, _spoil
from tidegate.export.proof.signals import chunkings
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Blocks, Contract, Port, State
from tidegate.runtime.errors import ExportError
from tools.filters import AHEAD, BATCHED, EXAMPLE, GRID, SINGLE, Answers, Model, Runner, filtered, named, proof


def names(checks: Sequence[Check]) -> list[str]:
    return [check.name for check in checks]


def cuts_of(length: int, how: str) -> list[str]:
    """Return the names of the checks of all cuts of a signal."""
    found = [f"{how} in chunks of 1 ({length} chunks)".strip()]
    for chunks in list(chunkings(length))[1:]:
        listed = ", ".join(str(size) for size in chunks[:5])
        found.append(f"{how} in chunks of {listed}{f', ... ({len(chunks)} chunks)' if len(chunks) > 5 else ''}".strip())
    return found


FRAME_BY_FRAME = ["streamed frame by frame on native", "streamed frame by frame on onnxruntime"]
SPOILT = ["f.h_in zeroed in layer 0"]


def test_a_good_file_passes_these_checks_in_this_order() -> None:
    whole = "whole, at length {}, batch {} (example: length 14, batch 2)"
    checks = proof().run()
    assert names(checks) == [
        "whole, at the example",
        *(whole.format(*size) for size in ((1, 2), (8, 2), (21, 2), (14, 1), (14, 3))),
        *cuts_of(14, ""),
        *FRAME_BY_FRAME,
        *SPOILT,
    ]
    assert all(check.passed for check in checks)
    assert [check.error for check in checks[:-1]] == [0.0] * (len(checks) - 1)
    assert (checks[-1].must_differ, checks[-1].tolerance) == (True, 1e-7)
    assert checks[-1].error > 0.01


def test_the_original_is_asked_for_these_signals() -> None:
    asked: list[tuple[int, ...]] = []
    good = proof()

    def original(x: Array) -> Mapping[str, Array]:
        asked.append(x.shape)
        return good.original(x)

    proof(original=original).run()
    sizes = [(14, 2, 2), (1, 2, 2), (8, 2, 2), (21, 2, 2), (14, 1, 2), (14, 3, 2)]
    assert asked == [*sizes, (14, 1, 2), *((n, 1, 2) for n in range(1, 14))]
    asked.clear()
    three = np.concatenate([EXAMPLE, EXAMPLE[:, :1]], 1)
    proof(original=original, example=three, loaded=Loaded()).run()
    assert asked == [(14, 3, 2), (1, 3, 2), (8, 3, 2), (21, 3, 2), (14, 1, 2), (17, 2, 2)]


@pytest.mark.parametrize(
    ("lengths", "batches", "sizes"),
    [
        (True, False, [(1, 3), (8, 3), (21, 3)]),
        (False, True, [(14, 1)]),
        (False, False, []),
    ],
)
def test_an_original_of_fixed_sizes_is_asked_for_no_others(
    lengths: bool, batches: bool, sizes: list[tuple[int, int]]
) -> None:
    three = np.concatenate([EXAMPLE, EXAMPLE[:, :1]], 1)
    runner = Runner(BATCHED)
    made = proof(runner=runner, example=three, lengths=lengths, batches=batches)
    found = [name for name in names(made.run()) if name.startswith("whole")]
    assert found == [
        "whole, at the example",
        *(f"whole, at length {n}, batch {m} (example: length 14, batch 3)" for n, m in sizes),
    ]
    streams = 8 if batches else 3
    assert max(shape[1] for shape in runner.runs) == streams
    assert (24, streams, 2) in runner.runs  # half of the signal whose states are spoilt


def test_one_stream_without_a_batch_axis_has_no_batches() -> None:
    checks = proof(SINGLE).run()
    whole = [f"whole, at length {n} (example: length 14)" for n in (1, 8, 21)]
    assert names(checks) == ["whole, at the example", *whole, *cuts_of(14, ""), *FRAME_BY_FRAME, *SPOILT]


@pytest.mark.parametrize(("length", "streamed"), [(1, 12), (5, 12), (60, 48)])
def test_short_and_long_examples_are_cut_at_other_lengths(length: int, streamed: int) -> None:
    example = np.random.default_rng(1).normal(size=(length, 2)).astype(np.float32)
    cuts = [name for name in names(proof(SINGLE, example=example).run()) if name.startswith("in chunks")]
    assert cuts == cuts_of(streamed, "")


# ---- faults, and where they are seen ----


def failure(made: Proof) -> str:
    with pytest.raises(ExportError) as caught:
        made.run()
    return str(caught.value)


FAULT = "the module may answer at random or keep data between calls; else report this as a fault of tidegate"
SIZES = "the forward may turn a size into a Python number: use x.shape as it is, no int(), len() or item()"
CHUNKS = (
    "an answer may need more frames than its chunk has (mean, pooling, norm or attention over time); such a layer "
    "cannot be streamed"
)


def wrong_when(wrong: Callable[[Array, Answers | None], bool], by: float = 1.0) -> Callable[..., Answers]:
    """Return a fault: some runs have `by` more in the last frame of y."""

    def fault(x: Array, states: Answers | None, answers: Answers) -> Answers:
        if wrong(x, states):
            answers["y"] = answers["y"].copy()
            answers["y"][-1] += by
        return answers

    return fault


def test_a_fault_at_the_example_and_at_another_size_have_hints_of_their_own() -> None:
    said = failure(proof(runner=Runner(BATCHED, wrong_when(lambda x, _: len(x) == 14))))
    assert said.startswith("whole, at the example: output 'y' at [13, ")
    assert "frame 13: seen " in said
    assert said.endswith(
        "; the module may answer at random, keep data between calls, or turn a size into a Python number: use x.shape "
        "as it is, no int(), len() or item(); else report this as a fault of tidegate"
    )
    said = failure(proof(runner=Runner(BATCHED, wrong_when(lambda x, _: len(x) == 21))))
    assert said.startswith("whole, at length 21, batch 2 (example: length 14, batch 2): output 'y' at [20, ")
    assert said.endswith(f"; {SIZES}")


def test_a_fault_in_chunks_is_seen_in_y_in_the_last_answer_and_in_the_state() -> None:
    runner = Runner(BATCHED, wrong_when(lambda x, states: bool(states) and len(x) == 1))
    said = failure(proof(runner=runner))
    assert said.startswith("in chunks of 1 (14 chunks): output 'y' at [1, 0, 0], frame 1: seen ")
    assert said.endswith(f"; {CHUNKS}")
    for name in ("last", "f.h_out"):

        def fault(_: Array, states: Answers | None, answers: Answers, name: str = name) -> Answers:
            return answers | {name: answers[name] + (0.1 if states else 0)}

        said = failure(proof(runner=Runner(BATCHED, fault)))
        assert said.startswith(f"in chunks of 1 (14 chunks): output '{name}' at ")

    def unlike(x: Array, _: Answers | None, answers: Answers) -> Answers:  # only the state after two frames, never read
        return answers | {"f.h_out": answers["f.h_out"] + (1 if len(x) == 12 else 0)}

    short = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    assert failure(proof(SINGLE, example=short, runner=Runner(SINGLE, unlike))).startswith(
        "in chunks of 1 (12 chunks): output 'f.h_out' at [0, 0, 0], frame 11: seen "
    )


@pytest.mark.parametrize("at", range(1, 15))
@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_a_fault_of_a_loaded_model_is_seen_in_the_frame_of_its_push(backend: str, at: int) -> None:
    models = {name: Model(BATCHED) for name in ("native", "onnxruntime")}
    models[backend].error = lambda pushes, _: 1.0 if pushes == at else 0.0
    said = failure(proof(loaded=Loaded(models)))  # type: ignore[arg-type]
    assert said.startswith(f"streamed frame by frame on {backend}: output 'y' at [{at - 1}, 0, ")
    assert f"], frame {at - 1}: seen " in said
    assert said.endswith(("allowed", FAULT))


def test_a_fault_of_the_last_answer_on_the_way_is_seen_unless_the_original_takes_one_length() -> None:
    contract = replace(BATCHED, outputs=(Port("last", None, 0),))
    for at in (3, 14):

        def error(pushes: int, _: int, at: int = at) -> float:
            return 1.0 if pushes == at else 0.0

        models = {"native": Model(contract, error)}
        for lengths in (True, False):
            made = proof(contract, loaded=Loaded(models), lengths=lengths)  # type: ignore[arg-type]
            if lengths or at == 14:
                said = failure(made)
                assert said.startswith("streamed frame by frame on native: output 'last' at [0, ")
                assert f", frame {at - 1}: seen " in said
            else:
                assert FRAME_BY_FRAME[0] in names(made.run())


def test_an_engine_with_activations_in_codes_may_err_by_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loaded, "quantized", property(lambda _: True))
    contract = replace(BATCHED, outputs=(Port("y", 0, 1),))
    largest = float(np.abs(filtered(contract, EXAMPLE)["y"]).max())

    def made(backend: str, error: float) -> Proof:
        return proof(contract, loaded=Loaded({backend: Model(contract, lambda *_: error * largest)}))  # type: ignore[dict-item]

    checks = made("native", 5e-4).run()
    assert next(check for check in checks if check.name == FRAME_BY_FRAME[0]).tolerance == pytest.approx(1e-3)
    assert "error " in failure(made("native", 5e-3))
    assert "at most 1e-05 allowed" in failure(made("onnxruntime", 5e-4))
    monkeypatch.setattr(Loaded, "quantized", property(lambda _: False))
    assert "at most 1e-05 allowed" in failure(made("native", 5e-4))


@pytest.mark.parametrize("kind", [RoundingError, UnfiniteError])
def test_what_proves_nothing_stays_of_its_kind_and_has_no_other_hint(kind: type[ExportError]) -> None:
    def original(_: Array) -> Answers:
        raise kind("the answers say nothing")

    with pytest.raises(kind) as caught:
        proof(original=original).run()
    assert str(caught.value) == "whole, at the example: the answers say nothing"


def test_a_state_that_changes_nothing_is_named() -> None:
    """The file takes another state in place of zeros."""

    class Deaf(Runner):
        def run(self, x: Array, states: Answers | None = None) -> Answers:
            if states and states["f.h_in"].any():
                self.last = states["f.h_in"]
            elif states:
                states = {"f.h_in": self.last}
            return super().run(x, states)

    assert failure(proof(runner=Deaf(BATCHED))) == (
        "f.h_in zeroed in layer 0: the answer changes by 0, wanted more than 1e-07; the answer does not depend on this "
        "state, or too little to prove it; check that the state is used, and if the module decides (argmax, a "
        "comparison), answer what it decides on: decide on what the stream returns"
    )


def test_a_spoilt_state_must_change_ten_times_more_than_cuts_do() -> None:
    runner = Runner(BATCHED, wrong_when(lambda x, states: states is not None and len(x) == 1, 1e-6))
    (spoilt,) = [check for check in proof(runner=runner).run() if check.must_differ]
    cuts = [check.error for check in proof(runner=runner).run() if check.name.startswith("in chunks")]
    assert max(cuts) > 1e-7
    assert spoilt.tolerance == 10 * max(cuts)


# ---- its own state, data, and models that look ahead ----


def own(contract: Contract, wrong: int = -1, name: str = "y") -> Callable[[Sequence[Array]], Iterator[Answers]]:
    """Return the original with its own state; one output of one chunk is wrong."""

    def answers(chunks: Sequence[Array]) -> Iterator[Answers]:
        h = None
        for at, chunk in enumerate(chunks):
            found = filtered(contract, chunk, h)
            h = found["f.h_out"]
            kept = named(contract, found)
            yield kept | ({name: kept[name] + 1} if at == wrong else {})

    return answers


def test_the_original_with_its_own_state_is_compared_in_three_chunks() -> None:
    sizes: list[list[int]] = []

    def noted(chunks: Sequence[Array]) -> Iterator[Answers]:
        sizes.append([len(chunk) for chunk in chunks])
        return own(BATCHED)(chunks)

    checks = proof(own=noted).run()
    assert names(checks)[11] == "in chunks, against the module with its own state"
    assert sizes == [[1, 3, 10]]
    contract = replace(BATCHED, outputs=(Port("last", None, 0),))
    for wrong, frame in enumerate((0, 3, 13)):
        assert f", frame {frame}: seen " in failure(proof(contract, own=own(contract, wrong, "last"), loaded=Loaded()))
    for wrong, frame in enumerate((0, 1, 4)):
        said = failure(proof(own=own(BATCHED, wrong)))
        assert said.startswith("in chunks, against the module with its own state: output 'y' at [0, 0, ")
        assert f"], frame {frame}: seen " in said
        assert said.endswith(("allowed", FAULT))


def test_data_is_compared_on_the_whole_and_as_loaded_at_its_end() -> None:
    data = [
        np.random.default_rng(seed).normal(size=(length, 1, 2)).astype(np.float32) for seed, length in ((3, 9), (4, 5))
    ]
    checks = names(proof(data=data).run())
    at = checks.index("whole, on the data")
    assert checks[at : at + 4] == [
        "whole, on the data",
        *(f"{name}, on the data" for name in FRAME_BY_FRAME),
        "in chunks of 1 (14 chunks)",
    ]
    said = failure(proof(data=data, runner=Runner(BATCHED, wrong_when(lambda x, _: len(x) == 5))))
    assert said.startswith("whole, on the data: output 'y' at [4, 0, ")
    assert said.endswith(("allowed", FAULT))
    contract = replace(BATCHED, outputs=(Port("last", None, 0),))
    on_the_way = Loaded({"native": Model(contract, lambda pushes, _: 1.0 if pushes == 5 else 0.0)})  # type: ignore[dict-item]
    said = failure(proof(contract, data=data, loaded=on_the_way))
    assert said.startswith("streamed frame by frame on native, on the data: output 'last' at [0, ")
    assert ", frame 4: seen " in said  # the end of the second signal; in the first it is on the way
    assert failure(proof(contract, data=data[:1], loaded=on_the_way)).startswith("streamed frame by frame on native: ")


@pytest.mark.parametrize("contract", [AHEAD, GRID, replace(GRID, lookahead=None, blocks=Blocks(None, 0, 99))])
def test_a_model_that_looks_ahead_is_streamed_in_the_same_cuts(contract: Contract) -> None:
    model = Model(contract)
    runner = Runner(contract, given={"s": np.ones(1)})
    checks = names(proof(contract, runner=runner, loaded=Loaded({"onnxruntime": model})).run())  # type: ignore[dict-item]
    start = checks.index("streamed in chunks of 1 (14 chunks)")
    assert checks[start : start + 5] == cuts_of(14, "streamed")
    assert checks[start + 5 :] == [FRAME_BY_FRAME[1], *SPOILT]
    assert all(state == runner.given for state in model.states)


@pytest.mark.parametrize("contract", [AHEAD, GRID])
def test_a_fault_of_a_stream_that_looks_ahead_is_seen_in_its_frame(contract: Contract) -> None:
    push, frame = (9, 6) if contract is AHEAD else (8, 4)
    model = Model(contract, lambda pushes, size: 1.0 if (pushes, size) == (push, 1) else 0.0)
    said = failure(proof(contract, loaded=Loaded({"onnxruntime": model})))  # type: ignore[dict-item]
    assert said.startswith(f"streamed in chunks of 1 (14 chunks): output 'y' at [{frame}, ")
    assert f"], frame {frame}: seen " in said
    assert said.endswith(("allowed", CHUNKS))


def test_a_grid_is_compared_with_one_push_also_before_its_end() -> None:
    """If one push completes several blocks, their answers must be those of the blocks alone."""

    def error(pushes: int, size: int) -> float:
        return 1.0 if pushes == 1 and size == 14 else 0.0

    said = failure(proof(GRID, loaded=Loaded({"onnxruntime": Model(GRID, error)})))  # type: ignore[dict-item]
    assert said.startswith("streamed in chunks of 1 (14 chunks): output 'y' at [0, ")


# ---- names, and states to spoil ----


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([3], "3 (1 chunks)"),
        ([1, 1, 1], "1 (3 chunks)"),
        ([1, 2], "1, 2"),
        ([1, 2, 3, 4, 5], "1, 2, 3, 4, 5"),
        ([1, 2, 3, 4, 5, 6], "1, 2, 3, 4, 5, ... (6 chunks)"),
    ],
)
def test_chunks_are_listed_up_to_the_fifth(chunks: list[int], said: str) -> None:
    assert _runs(chunks) == said


def test_every_state_is_spoilt_by_its_kind() -> None:
    kinds = [
        ("a.h", "h"),
        ("a.c", "c"),
        ("b.h", "h"),
        ("c.tail", "tail"),
        ("s", "static"),
        ("t.h", "h"),
        ("t.s", "static"),
    ]
    states = [State(name, f"{name}_out", kind, (2, 1, 3)) for name, kind in kinds]
    values = {name: np.full((2, 1, 3), at + 1.0) for at, (name, _) in enumerate(kinds)}
    values["t.h"] = np.ones((1, 1, 3))
    kept = {name: value.copy() for name, value in values.items()}
    found = dict(_spoil(states, values))
    assert list(found) == [
        *(f"{name} zeroed in layer {layer}" for name in ("a.h", "a.c", "b.h") for layer in (0, 1)),
        *("c.tail zeroed", "s zeroed", "t.h zeroed in layer 0", "t.s zeroed", "a.h and a.c swapped"),
    ]
    np.testing.assert_array_equal(found["a.c zeroed in layer 1"]["a.c"], [np.full((1, 3), 2.0), np.zeros((1, 3))])
    np.testing.assert_array_equal(found["s zeroed"]["s"], np.zeros((2, 1, 3)))
    swapped = found["a.h and a.c swapped"]
    assert (swapped["a.h"], swapped["a.c"]) == (values["a.c"], values["a.h"])
    for name, value in kept.items():
        np.testing.assert_array_equal(values[name], value)
    unequal = dict(_spoil(states[:2], values | {"a.c": np.ones((2, 1, 4))}))
    assert "a.h and a.c swapped" not in unequal
