"""One step of a Loop or Scan in one form: the frames that it reads, the states that it carries, its answers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import onnx
from onnx import helper

from ....runtime.graph.nodes import attributes, label
from ...graph.constants import fold_constants
from ...graph.editing import copied, reads, rename_all, unused, value_names


@dataclass(frozen=True)
class Frames:
    """A sequence of the outer graph; each step reads one frame of it.

    Attributes:
        outer: The sequence.
        inside: One frame of it in the body, without the axis of time.
        axis: The axis of time in the sequence.
    """

    outer: str
    inside: str
    axis: int = 0


@dataclass(frozen=True)
class Carried:
    """A value that each step hands to the next.

    Attributes:
        start: Its value before the first step, in the outer graph.
        inside: Its value before a step, in the body.
        next: Its value after a step, in the body.
        final: Its value after the last step, in the outer graph; empty if nobody reads it.
    """

    start: str
    inside: str
    next: str
    final: str


@dataclass(frozen=True)
class Answers:
    """The answers of all steps, joined in the outer graph.

    Attributes:
        inside: The answer of one step, in the body.
        outer: All answers.
        axis: The axis of time in them.
        turned: Whether the answer of the last step comes first.
    """

    inside: str
    outer: str
    axis: int = 0
    turned: bool = False


@dataclass(frozen=True)
class Step:
    """One step of a loop over time; its names differ from those of the outer graph.

    Attributes:
        node: The Loop or Scan.
        nodes: The nodes of one step; what is the same in each step is in the outer graph.
        frames: The sequences that it reads.
        carried: The values that it carries.
        answers: Its answers.
        declared: The inputs of the body, with their types as the file declares them.
        backward: Whether the first step reads the last frame.
        links: Nodes of the outer graph in place of outputs that need no step.
    """

    node: onnx.NodeProto
    nodes: tuple[onnx.NodeProto, ...]
    frames: tuple[Frames, ...]
    carried: tuple[Carried, ...]
    answers: tuple[Answers, ...]
    declared: tuple[onnx.ValueInfoProto, ...]
    backward: bool = False
    links: tuple[onnx.NodeProto, ...] = field(default=())

    @property
    def label(self) -> str:
        """The node's name and operator, for messages."""
        return label(self.node)

    @property
    def name(self) -> str:
        """A name for values that are made for this node."""
        return name_of(self.node)


def own_body(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.GraphProto:
    """Return the part of a node's body that changes from step to step; the rest goes to the graph around it, in place.

    Its own values have other names than those of the graph around it.
    """
    alone = onnx.ModelProto()
    alone.graph.CopyFrom(attributes(node)["body"])
    body = alone.graph
    rename_all(alone, _names_apart(value_names(model), node, body))
    known = {other.name for other in model.graph.node}
    for each in body.node:
        each.name = unused(each.name, known) if each.name else ""
    varying, kept, same = {item.name for item in body.input}, list[onnx.NodeProto](), list[onnx.NodeProto]()
    for each in body.node:
        changes = bool(varying.intersection(reads(each)))
        varying.update(each.output if changes else ())
        (kept if changes else same).append(each)
    place = next(place for place, other in enumerate(model.graph.node) if other.output == node.output)
    for each in reversed(same):
        model.graph.node.insert(place, each)
    model.graph.initializer.extend(body.initializer)
    del body.initializer[:], body.node[:]
    body.node.extend(kept)
    fold_constants(model)
    return body


def _names_apart(taken: Collection[str], node: onnx.NodeProto, body: onnx.GraphProto) -> dict[str, str]:
    """Return new names for the values of a body that have the name of a value around it, or begin such a name.

    What is made of a value of the body is named after it, and so are the values of loops that were replaced before.
    """
    own = [item.name for item in body.input] + [tensor.name for tensor in body.initializer]
    own += [name for each in body.node for name in each.output if name]
    begun = {name[:end] for name in taken for end in (*(i for i, c in enumerate(name) if c == "/"), len(name))}
    known = begun.union(own)
    names = dict[str, str]()
    for name in own:
        if name in begun:
            names[name] = unused(f"{name_of(node)}/{name}", known)
            known.add(names[name])
    return names


def name_of(node: onnx.NodeProto) -> str:
    """Return a name for values that are made for a node."""
    return str(node.name or next(name for name in node.output if name))


def tidied(step: Step, read: Collection[str]) -> Step:
    """Return a step without Identity nodes, values that never change, and values that nobody needs.

    Args:
        step: A step.
        read: The values that the outer graph reads or answers.
    """
    step = _constants_kept_constant(_without_identities(step))
    carried = tuple(replace(each, final=each.final if each.final in read else "") for each in step.carried)
    return _alive(replace(step, carried=carried, answers=tuple(a for a in step.answers if a.outer in read)))


def renamed(step: Step, names: Mapping[str, str]) -> Step:
    """Return a step in which inner values that are read have other names."""
    nodes = [copied(node, [names.get(name, name) for name in node.input], node.output) for node in step.nodes]
    return replace(
        step,
        nodes=tuple(nodes),
        carried=tuple(replace(each, next=names.get(each.next, each.next)) for each in step.carried),
        answers=tuple(replace(each, inside=names.get(each.inside, each.inside)) for each in step.answers),
    )


def _without_identities(step: Step) -> Step:
    origins = dict[str, str]()
    for node in step.nodes:
        if node.op_type == "Identity":
            origins[node.output[0]] = origins.get(node.input[0], node.input[0])
    kept = tuple(node for node in step.nodes if node.op_type != "Identity")
    return renamed(replace(step, nodes=kept), origins)


def _constants_kept_constant(step: Step) -> Step:
    """Take values that no step changes from the outer graph."""
    same = [each for each in step.carried if each.next == each.inside]
    links = [
        helper.make_node("Identity", [each.start], [each.final], f"{each.final}/Identity")
        for each in same
        if each.final
    ]
    kept = tuple(each for each in step.carried if each.next != each.inside)
    left = replace(step, carried=kept, links=(*step.links, *links))
    return renamed(left, {each.inside: each.start for each in same})


def _alive(step: Step) -> Step:
    """Return a step without the values and nodes that neither an answer nor a final value needs."""
    needed = {each.inside for each in step.answers} | {each.next for each in step.carried if each.final}
    while True:
        nodes = _needed_nodes(step.nodes, needed)
        read = needed.union(*(node.input for node in nodes))
        more = {each.next for each in step.carried if each.inside in read} - needed
        if not more:
            break
        needed |= more
    kept = {name for node in nodes for name in node.input}.union(needed)
    return replace(
        step,
        nodes=tuple(nodes),
        frames=tuple(each for each in step.frames if each.inside in kept),
        carried=tuple(each for each in step.carried if each.final or each.inside in kept),
    )


def _needed_nodes(nodes: Collection[onnx.NodeProto], needed: Collection[str]) -> list[onnx.NodeProto]:
    wanted, kept = set(needed), list[onnx.NodeProto]()
    for node in reversed(list(nodes)):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.insert(0, node)
    return kept
