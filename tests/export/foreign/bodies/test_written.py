"""Answers that a Loop carries: the values that its steps write, and the nodes that read them afterwards."""

import pytest
from onnx import helper
from tidegate.export.foreign.bodies.loop import loop_step
from tidegate.export.foreign.bodies.step import Answers
from tidegate.runtime.errors import UnsupportedError
from tools import loop_files


def _answers(writes: str) -> tuple[Answers, ...]:
    model = loop_files.loop(loop_files.rnn, writes=writes)
    step = loop_step(model, next(node for node in model.graph.node if node.op_type == "Loop"))
    assert [each.inside for each in step.carried] == ["counter", "state_0"]
    return step.answers


@pytest.mark.parametrize("writes", ["joined", "filled"])
def test_entries_along_an_axis(writes: str) -> None:
    [answers] = _answers(writes)
    assert (answers.outer, answers.axis) == ("answers", 0)


def test_a_sequence_is_stacked_along_the_axis_that_its_reader_says() -> None:
    [answers] = _answers("sequence")
    assert answers.axis == 1
    assert answers.outer.startswith("concatfromsequence")


def test_a_sequence_that_is_read_otherwise_is_refused() -> None:
    model = loop_files.loop(loop_files.rnn, writes="sequence")
    model.graph.node.append(helper.make_node("SequenceLength", ["answers"], ["length_of_answers"], "count"))
    message = (
        r"SequenceLength 'count': reads the sequence of answers of Loop 'model/layer/while_loop', wanted "
        r"ConcatFromSequence; join the answers after the loop: torch.stack\(answers, dim=1\)"
    )
    with pytest.raises(UnsupportedError, match=message):
        loop_step(model, next(node for node in model.graph.node if node.op_type == "Loop"))
