"""Answers that a Loop collects in a value that it carries: a sequence, a tensor that grows, or one that it fills."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ....runtime.graph.nodes import attributes, label
from ...graph.editing import unused, value_names
from ...graph.recurrent_nodes import operand
from .counters import Place
from .step import Answers, Carried, Step


@dataclass(frozen=True)
class _Written:
    """What a step writes into a carried value.

    Attributes:
        value: The written value, in the body.
        axis: The axis of time in the value; it has one entry there.
        alone: Whether the value has no axis of time yet: then it gets one at `axis`.
    """

    value: str
    axis: int
    alone: bool = False


def written_answers(model: onnx.ModelProto, step: Step, places: Mapping[str, Place]) -> Step:
    """Return a step whose collected values are answers.

    Args:
        model: The outer graph; nodes that join a sequence of answers are replaced, in place.
        step: The step of a Loop.
        places: The counters among its values.

    Raises:
        UnsupportedError: A sequence of answers is read in another form than joined.
    """
    collected = {each: written for each in step.carried if (written := _written(step, each, places)) is not None}
    for each, written in collected.items():
        step = _as_answers(model, step, each, written)
    return step


def _written(step: Step, each: Carried, places: Mapping[str, Place]) -> _Written | None:
    """Return what a step writes into a carried value; None if it does anything else with the value."""
    readers = [node for node in step.nodes if each.inside in node.input]
    if len(readers) != 1 or readers[0].output[0] != each.next or readers[0].input[0] != each.inside:
        return None
    (node,) = readers
    given = attributes(node)
    if node.op_type == "SequenceInsert":
        at = places.get(operand(node, 2))
        return _Written(node.input[1], 0, alone=True) if not operand(node, 2) or (at and at.counts_up) else None
    if node.op_type == "Concat" and len(node.input) == 2:
        return _Written(node.input[1], given["axis"])
    place = places.get(operand(node, 1))
    if node.op_type in ("ScatterND", "ScatterElements") and place is not None and place.counts_up:
        return _Written(node.input[2], given.get("axis", 0))
    return None


def _as_answers(model: onnx.ModelProto, step: Step, each: Carried, written: _Written) -> Step:
    """Return a step with one collected value as answers."""
    rest = replace(
        step,
        nodes=tuple(node for node in step.nodes if each.next not in node.output),
        carried=tuple(other for other in step.carried if other != each),
    )
    if not each.final:
        return rest
    if not written.alone:
        return _joined(model, rest, written.value, each.final, written.axis)
    for node in Graph(model).consumers(each.final):
        if node.op_type != "ConcatFromSequence":
            raise UnsupportedError(
                f"{label(node)}: reads the sequence of answers of {step.label}, wanted ConcatFromSequence; join the "
                "answers after the loop: torch.stack(answers, dim=1)"
            )
        axis, given = attributes(node)["axis"], attributes(node)
        rest = (
            replace(rest, answers=(*rest.answers, Answers(written.value, node.output[0], axis)))
            if given.get("new_axis", 0)
            else _joined(model, rest, written.value, node.output[0], axis)
        )
        model.graph.node.remove(node)
    return rest


def _joined(model: onnx.ModelProto, step: Step, value: str, outer: str, axis: int) -> Step:
    """Return a step with answers of one entry along an axis, which becomes the axis of time."""
    taken = value_names(model) | {name for node in step.nodes for name in node.output}
    inside = unused(f"{value}/entry", taken)
    return replace(
        step,
        nodes=(*step.nodes, *_squeeze(value, axis, inside)),
        answers=(*step.answers, Answers(inside, outer, axis)),
    )


def _squeeze(value: str, axis: int, inside: str) -> Iterator[onnx.NodeProto]:
    axes = f"{inside}/axis"
    yield helper.make_node("Constant", [], [axes], axes, value=numpy_helper.from_array(np.array([axis], np.int64)))
    yield helper.make_node("Squeeze", [value, axes], [inside], f"{inside}/Squeeze")
