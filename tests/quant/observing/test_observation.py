"""Observation: every value of every frame is the one that the engine computes while streaming."""

from dataclasses import replace

import numpy as np
import pytest
from tidegate.quant.observing import observation
from tidegate.quant.observing.calibration_streams import Streams
from tidegate.quant.observing.observation import every_frame, observe
from tidegate.runtime.contract import Blocks
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.operators import Align, Backward, Cell, Concat, Embedding, Last, LastCell
from tidegate.runtime.program import Program
from tidegate.runtime.reference import ReferenceStream
from tools.float_programs import FEATURES, KINDS, layer, layer_and_head, streams
from tools.streams import contract_of


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_starts_are_those_of_the_specification(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "SEGMENT", 16)
    program, found, seen = layer_and_head(kind), streams(40, 10), list[int]()
    segments = observe(program, contract_of(program), found, seen.append)
    assert [len(segment.used) for segment in segments] == seen == [16, 16, 8, 10]
    everything = replace(program, outputs=(("h", 1), ("y", 2)))
    at = {0: (0, 0), 1: (0, 16), 2: (0, 32), 3: (1, 0)}
    for number, segment in enumerate(segments):
        stream, start = at[number]
        reference = ReferenceStream(everything)
        if start:
            reference.push(found.frames[stream][:start])
        for mine, state in zip(segment.starts[0], reference.states(), strict=True):
            np.testing.assert_array_equal(mine, state)
        frames = found.frames[stream][start : start + len(segment.used)]
        answers = reference.push(frames)
        np.testing.assert_array_equal(segment.values[0], frames)
        np.testing.assert_array_equal(segment.values[1], answers["h"])
        np.testing.assert_array_equal(segment.values[2], answers["y"])
        held = found.held[stream][start : start + len(segment.used)]
        np.testing.assert_array_equal(segment.used, 1 - held.astype(np.float32), strict=True)


def test_a_program_that_answers_the_last_frame_answers_every_frame() -> None:
    program = layer_and_head("lstm")
    head = replace(program.ops[1], inputs=(2,))
    last = Program(FEATURES, (program.ops[0], Last((1,)), head), (("y", 3),))
    segments = observe(every_frame(last), contract_of(program), streams(60), lambda _: None)
    expected = observe(program, contract_of(program), streams(60), lambda _: None)
    np.testing.assert_array_equal(segments[0].values[3], expected[0].values[2])


def test_a_program_that_answers_with_a_final_c_is_refused() -> None:
    program = layer_and_head("lstm")
    ops = (program.ops[0], LastCell((1,), program.ops[0].width([])))
    with pytest.raises(QuantizationError, match=r"the final c of a layer, .*; quantize without calibration"):
        every_frame(replace(program, ops=ops, outputs=(("y", 2),)))


def test_a_program_without_a_last_frame_stays_as_it_is() -> None:
    program = layer_and_head("gru")
    assert every_frame(program).ops == program.ops


def test_ids_are_pushed_as_integers_and_a_wrong_one_is_refused() -> None:
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    program = Program(1, (Embedding((0,), table),), (("y", 1),), ids=True)

    def of(*ids: int) -> Streams:
        return Streams((np.array(ids, np.float32)[:, None],), (np.zeros(len(ids), bool),), complete=True)

    (segment,) = observe(program, contract_of(program), of(3, 0, 1), lambda _: None)
    np.testing.assert_array_equal(segment.values[1], table[[3, 0, 1]])
    with pytest.raises(QuantizationError, match="calibration: chunk holds id 4 at frame 1; wanted 0 to 3"):
        observe(program, contract_of(program), of(3, 4), lambda _: None)


def looking_ahead(blocks: Blocks) -> Program:
    """Return a forward layer, and a backward layer that it waits for."""
    cell = layer("gru")
    assert isinstance(cell, Cell)
    ops = (layer("lstm"), Backward((0,), cell, blocks), Align((2, 1)), Concat((3, 2)))
    return Program(FEATURES, ops, (("y", 4),), blocks=blocks)


@pytest.mark.parametrize("blocks", [Blocks(None, 0, 100), Blocks(4, 3)])
def test_values_that_come_late_are_those_of_their_frames(blocks: Blocks) -> None:
    program, found = looking_ahead(blocks), streams(40, 10)
    segments = observe(program, contract_of(program), found, lambda _: None)
    assert [len(segment.used) for segment in segments] == [40, 10]
    for segment, frames in zip(segments, found.frames, strict=True):
        values = [list(frames)]
        for op, state in zip(program.ops, program.initial(), strict=True):
            made, after = op.advance(state, [values[i] for i in op.inputs], closing=False)
            rest, _ = op.advance(after, [[] for _ in op.inputs], closing=True)
            values.append([*made, *rest])
        for seen, wanted in zip(segment.values, values, strict=True):
            np.testing.assert_array_equal(seen, np.stack(wanted))
        assert [len(state) for state in segment.starts] == [2, 0, 0, 0]


def test_outputs_of_a_final_c_are_left_out() -> None:
    program = layer_and_head("lstm")
    width = program.ops[0].width([])
    ops = (*program.ops, LastCell((1,), width), Concat((3, 3)), Last((2,)))
    both = replace(program, ops=ops, outputs=(("y", 2), ("c", 4), ("last", 5)), shapes={"c": (2, width)})
    every = every_frame(both)
    assert (every.outputs, every.shapes) == ((("y", 2), ("last", 5)), {})
    segments = observe(every, contract_of(every), streams(30), lambda _: None)
    np.testing.assert_array_equal(segments[0].values[2], segments[0].values[5])
