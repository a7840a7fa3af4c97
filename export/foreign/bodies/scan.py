"""The body of a Scan as a step: its states and sequences are given by position."""

import onnx

from ....runtime.errors import UnsupportedError
from ....runtime.graph.nodes import attributes, label
from .step import Answers, Carried, Frames, Step, own_body


def scan_step(model: onnx.ModelProto, node: onnx.NodeProto) -> Step:
    """Return the step of a Scan.

    Raises:
        UnsupportedError: Some of its sequences run forward and others backward.
    """
    given = attributes(node)
    body = own_body(model, node)
    scanned = given["num_scan_inputs"]
    states = len(node.input) - scanned
    inside, made = [item.name for item in body.input], [item.name for item in body.output]
    finals = [*node.output, *[""] * (len(made) - len(node.output))]
    carried = zip(node.input, inside, made, finals[:states], strict=False)
    axes = given.get("scan_input_axes", [0] * scanned)
    backward = _backward(node, given.get("scan_input_directions", [0] * scanned))
    answer_axes = given.get("scan_output_axes", [0] * (len(made) - states))
    turned = given.get("scan_output_directions", [0] * (len(made) - states))
    return Step(
        node,
        tuple(body.node),
        tuple(Frames(*each) for each in zip(node.input[states:], inside[states:], axes, strict=True)),
        tuple(Carried(*each) for each in carried),
        tuple(
            Answers(name, outer, axis, bool(turn))
            for name, outer, axis, turn in zip(made[states:], finals[states:], answer_axes, turned, strict=True)
            if outer
        ),
        tuple(body.input),
        backward,
    )


def _backward(node: onnx.NodeProto, directions: list[int]) -> bool:
    """Return whether a Scan starts at the last frame."""
    if len(set(directions)) > 1:
        raise UnsupportedError(
            f"{label(node)}: scan_input_directions = {list(directions)}, wanted the same for all: a step reads the "
            "frames of one time; write one Scan for each direction"
        )
    return directions[0] == 1
