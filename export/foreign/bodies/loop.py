"""The body of a Loop as a step: which frame it reads and where it writes follow from its counters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ....runtime.graph.nodes import attributes, label
from ...graph.editing import unused, value_names
from ...graph.recurrent_nodes import operand
from .counters import Place, find_places, whole_number
from .step import Answers, Carried, Frames, Step, own_body
from .written import written_answers

_WAY_OUT = "let it run once per frame: `for t in range(x.shape[1])`, without a condition"


def loop_step(model: onnx.ModelProto, node: onnx.NodeProto) -> Step:
    """Return the step of a Loop; nodes of the outer graph that only join its answers change, in place.

    Raises:
        UnsupportedError: Its condition is not only the number of steps, or its steps read other frames than one each.
    """
    body = own_body(model, node)
    inside, made = [item.name for item in body.input], [item.name for item in body.output]
    starts = node.input[2:]
    finals = [*node.output, *[""] * (len(made) - 1 - len(node.output))]
    carried = [Carried(*each) for each in zip(starts, inside[2:], made[1:], finals, strict=False)]
    step = Step(
        node,
        tuple(body.node),
        (),
        tuple(carried),
        tuple(Answers(*each) for each in zip(made[1 + len(starts) :], finals[len(starts) :], strict=True) if each[1]),
        tuple(body.input),
    )
    counted = _Counted.of(model, step, inside[0])
    _check_condition(counted, made[0], inside[1])
    step = _reading_frames(counted)
    return written_answers(model, step, counted.places)


@dataclass(frozen=True)
class _Counted:
    """A step whose counters are known.

    Attributes:
        graph: The outer graph.
        step: The step.
        places: The counters among its values.
        taken: The names of all values.
    """

    graph: Graph
    step: Step
    places: Mapping[str, Place]
    taken: set[str]

    @classmethod
    def of(cls, model: onnx.ModelProto, step: Step, iteration: str) -> "_Counted":
        """Find the counters: start with all carried integers, and drop those that are none."""
        graph = Graph(model)
        started = {each: whole_number(graph, each.start) for each in step.carried}
        assumed = {each.inside: Place(1, start) for each, start in started.items() if start is not None}
        while True:
            places = find_places(graph, step.nodes, {iteration: Place(1), **assumed})
            wrong = [
                each.inside
                for each in step.carried
                if each.inside in assumed
                and places.get(each.next) != replace(assumed[each.inside], offset=assumed[each.inside].offset + 1)
            ]
            if not wrong:
                return cls(graph, step, places, value_names(model) | set(places))
            for name in wrong:
                del assumed[name]

    @property
    def outer(self) -> set[str]:
        """The values of the outer graph that the body may read."""
        own = {name for node in self.step.nodes for name in node.output}
        return self.taken - own - {each.inside for each in self.step.carried}


# ---- the condition ----


def _check_condition(counted: _Counted, name: str, given: str) -> None:
    """Refuse a loop that may end at other times than after a number of steps.

    Raises:
        UnsupportedError: It is such a loop.
    """
    makers = {made: node for node in counted.step.nodes for made in node.output}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        node, value = makers.get(name), counted.graph.constant(name)
        if name == given or (value is not None and bool(np.all(value))):
            continue
        if node is not None and node.op_type in ("And", "Identity", "Cast", "Squeeze", "Reshape"):
            waiting += node.input if node.op_type == "And" else node.input[:1]
        elif node is None or not _compares_steps(counted, node, makers):
            what = label(node) if node is not None else f"{name!r}"
            raise UnsupportedError(
                f"{counted.step.label}: its condition comes from {what}, wanted the number of steps only; {_WAY_OUT}"
            )


def _compares_steps(counted: _Counted, node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> bool:
    """Return whether a node compares a counter with a number of the outer graph."""
    if node.op_type == "Not":
        inner = makers.get(node.input[0])
        return inner is not None and _compares_steps(counted, inner, makers)
    bounds = [_uncast(name, makers) for name in node.input if name not in counted.places]
    compares = node.op_type in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual")
    changing = {each.inside for each in counted.step.carried if each.next != each.inside}
    return compares and len(bounds) == 1 and bounds[0] not in makers and bounds[0] not in changing


def _uncast(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """Return the value that Casts make a value of: TensorFlow compares numbers of steps as floats."""
    node = makers.get(name)
    return _uncast(node.input[0], makers) if node is not None and node.op_type == "Cast" else name


# ---- the frames ----


def _reading_frames(counted: _Counted) -> Step:
    """Return the step with its reads of sequences as frames.

    Raises:
        UnsupportedError: Some are read forward and others backward.
    """
    frames, nodes, ways = list[Frames](), list[onnx.NodeProto](), dict[bool, onnx.NodeProto]()
    constants = {each.inside: each.start for each in counted.step.carried if each.inside == each.next}
    for node in counted.step.nodes:
        read = _read(counted, node, constants)
        if read is None:
            nodes.append(node)
            continue
        made, place, keeps = read
        ways[place.counts_down] = node
        frames.append(made)
        nodes += _with_axis(counted, node, made) if keeps else []
    if len(ways) > 1:
        raise UnsupportedError(
            f"{counted.step.label}: {label(ways[True])} reads the frames from the last to the first, "
            f"{label(ways[False])} from the first to the last, wanted the same: a step reads the frames of one time; "
            "write one Loop for each direction"
        )
    return replace(counted.step, nodes=tuple(nodes), frames=tuple(frames), backward=True in ways)


def _read(counted: _Counted, node: onnx.NodeProto, constants: Mapping[str, str]) -> tuple[Frames, Place, bool] | None:
    """Return the frames that a node reads, which of them, and whether it keeps their axis of time."""
    source = constants.get(operand(node, 0), operand(node, 0))
    place = counted.places.get(operand(node, 1))
    if place is None or source not in counted.outer or not (place.counts_up or place.counts_down):
        return None
    name, given = node.output[0], attributes(node)
    if node.op_type == "Gather":
        keeps = _rank(counted, node.input[1]) == 1
        return Frames(source, f"{name}/frame" if keeps else name, given.get("axis", 0)), place, keeps
    if node.op_type == "SequenceAt":
        return _of_sequence(counted.graph, source, name, place)
    if node.op_type == "Slice":
        axes, steps = (counted.graph.constant(operand(node, at)) for at in (3, 4))
        last = counted.places.get(operand(node, 2))
        one = last == replace(place, offset=place.offset + 1) and (steps is None or steps.tolist() == [1])
        return (Frames(source, f"{name}/frame", 0 if axes is None else int(axes[0])), place, True) if one else None
    return None


def _of_sequence(graph: Graph, source: str, name: str, place: Place) -> tuple[Frames, Place, bool] | None:
    """Return the frames of a sequence that SplitToSequence made of a value."""
    maker = graph.producer(source)
    if maker is None or maker.op_type != "SplitToSequence":
        return None
    given = attributes(maker)
    keeps = bool(operand(maker, 1)) or given.get("keepdims", 1) == 1
    return Frames(maker.input[0], f"{name}/frame" if keeps else name, given.get("axis", 0)), place, keeps


def _rank(counted: _Counted, name: str) -> int:
    """Return the number of axes of a counter: those that an Unsqueeze or Reshape gave it."""
    makers = {made: node for node in counted.step.nodes for made in node.output}
    declared = {item.name: item for item in counted.step.declared}
    node = makers.get(name)
    if node is None:
        return len(declared[name].type.tensor_type.shape.dim) if name in declared else 0
    if node.op_type == "Reshape":
        shape = counted.graph.constant(node.input[1])
        return 0 if shape is None else int(shape.size)
    inner = _rank(counted, node.input[0]) if node.input[0] in counted.places else 0
    if node.op_type in ("Add", "Sub"):
        others = [counted.graph.constant(read) for read in node.input if read not in counted.places]
        return max(
            [
                *(_rank(counted, read) for read in node.input if read in counted.places),
                *(value.ndim for value in others if value is not None),
            ]
        )
    return inner + {"Unsqueeze": 1, "Squeeze": -1}.get(node.op_type, 0)


def _with_axis(counted: _Counted, node: onnx.NodeProto, frames: Frames) -> Sequence[onnx.NodeProto]:
    """Return nodes that give a frame its axis of time again, as the body reads it."""
    axis = unused(f"{node.output[0]}/time", counted.taken)
    constant = helper.make_node(
        "Constant", [], [axis], axis, value=numpy_helper.from_array(np.array([frames.axis], np.int64))
    )
    return [
        constant,
        helper.make_node("Unsqueeze", [frames.inside, axis], [node.output[0]], f"{node.output[0]}/Unsqueeze"),
    ]
