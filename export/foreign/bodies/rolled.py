"""A step whose cells are recurrent nodes of one frame, for all frames: its values get a leading axis of time.

The nodes between a carried value and a cell only move values. So they are written twice more: from the value before the
first step to the cell's initial state, and from the cell's final state to the value after the last step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ....runtime.cells import CELLS, STANDARD
from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ....runtime.graph.nodes import label
from ...graph.editing import copied
from ...graph.recurrent_nodes import MOVES, operand, signal_of
from ...rewrites.loop_body import FRAMES, rolled_node
from .step import Answers, Frames, Step

WAY_OUT = "use nn.LSTM, nn.GRU or nn.RNN, in Keras LSTM, GRU or SimpleRNN"

_MOVES = MOVES | {"Concat"}
_START, _FINAL = "/start", "/final"  # end the names of values before the first and after the last step
_BEGIN = -(2**63)  # as the bound of a Slice that runs back: down to the first


@dataclass
class Rolled:
    """The nodes of a step for all frames, under construction.

    Attributes:
        step: The step.
        graph: Its graph; constants are added to it.
        ranks: The number of axes of each sequence that the step reads, and of the values of one step.
        nodes: The nodes made so far.
    """

    step: Step
    graph: Graph
    ranks: Mapping[str, int]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    _frames: dict[str, str] = field(default_factory=dict)
    _moves: dict[tuple[str, str], str] = field(default_factory=dict)
    _states: set[str] = field(default_factory=set)

    def run(self) -> list[onnx.NodeProto]:
        """Return the nodes that make the final values and the answers of all steps.

        Raises:
            UnsupportedError: A node reads a state and is no cell, or cannot act on all frames at once.
        """
        self._states = {each.inside for each in self.step.carried}
        self._moves = {(_START, each.inside): each.start for each in self.step.carried}
        for frames in self.step.frames:
            self._take(frames)
        for node in self.graph.nodes:
            self._roll(node)
        for answers in self.step.answers:
            self._answer(answers)
        for each in self.step.carried:
            if each.final:
                self._add("Identity", [self._moved(each.next, _FINAL)], each.final)
        return self.nodes

    # ---- each frame ----

    def _take(self, frames: Frames) -> None:
        """Put the time of a sequence in front."""
        axis = frames.axis % self._rank(frames.outer) if frames.axis else 0
        name = f"{frames.inside}{FRAMES}" if axis else frames.outer
        self._frames[frames.inside] = name
        if axis:
            order = [axis, *(place for place in range(self._rank(frames.outer)) if place != axis)]
            self._add("Transpose", [frames.outer], name, perm=order)

    def _rank(self, name: str) -> int:
        if name not in self.ranks:
            raise UnsupportedError(
                f"{self.step.label}: the number of axes of {name!r} is not known, wanted a known one; declare the "
                "shape of the file's input"
            )
        return self.ranks[name]

    def _roll(self, node: onnx.NodeProto) -> None:
        if node.op_type in CELLS:
            self._cell(node)
            return
        read = self._states.intersection(node.input)
        if read and node.op_type in _MOVES:
            self._states.update(node.output)
            return
        if read:
            raise UnsupportedError(
                f"{self.step.label}: {label(node)} computes with {min(read)!r}, which is carried from frame to frame, "
                f"and is no part of the step of an LSTM, GRU or RNN; {WAY_OUT}"
            )
        parts = [self._frames.get(name) for name in node.input]
        if any(parts):
            self.nodes += rolled_node(self.graph, node, parts)
            self._frames.update({name: f"{name}{FRAMES}" for name in node.output if name})
        else:
            self.nodes.append(node)

    def _cell(self, node: onnx.NodeProto) -> None:
        """Add a recurrent node of one frame as one for all frames."""
        kind, made = CELLS[node.op_type], onnx.NodeProto()
        made.CopyFrom(node)
        count = 1 + max(_y(node), *(slot.output for slot in kind.states))
        made.output[:] = [f"{node.name}/{place}{_FINAL}" for place in range(count)]
        signal = signal_of(node)
        made.input[kind.signal] = f"{node.name}/sequence"
        self._add("Squeeze", [self._read(node, signal), self._number("axis1", 1)], made.input[kind.signal])
        for slot in kind.states:
            if operand(node, slot.input):
                made.input[slot.input] = self._moved(node.input[slot.input], _START)
        if self.step.backward:
            self._run_backward(made)
        self.nodes.append(made)
        self._answers_of_cell(node, made)

    def _run_backward(self, made: onnx.NodeProto) -> None:
        """Let a recurrent node start at the last frame, in place.

        Raises:
            UnsupportedError: It is an LSTM with projection, which runs forward only.
        """
        if made.op_type not in STANDARD:
            raise UnsupportedError(
                f"{self.step.label}: an LSTM with projection starts at the last frame, wanted one that starts at the "
                "first; train it forward, or without the projection"
            )
        made.attribute.append(helper.make_attribute("direction", "reverse"))

    def _answers_of_cell(self, node: onnx.NodeProto, made: onnx.NodeProto) -> None:
        """Name the answers of a cell, for each frame and after the last: h has both, c only the last."""
        h, y = CELLS[node.op_type].states[0].output, _y(node)
        for place, name in enumerate(node.output):
            if name and place == y:
                self._frames[name], self._moves[_FINAL, name] = f"{name}{FRAMES}", f"{name}{_FINAL}"
                self._add("Unsqueeze", [made.output[y], self._number("axis1", 1)], f"{name}{FRAMES}")
                self._add("Unsqueeze", [made.output[h], self._number("axis0", 0)], f"{name}{_FINAL}")
            elif name:
                self._moves[_FINAL, name] = made.output[place]
                self._frames.update({name: made.output[y]} if place == h else {})

    def _read(self, node: onnx.NodeProto, name: str) -> str:
        """Return a value for all frames.

        Raises:
            UnsupportedError: It is the same for each frame, or the cell state of each frame.
        """
        if name not in self._frames:
            raise UnsupportedError(
                f"{self.step.label}: {label(node)} reads {name!r}, wanted a value of the frame or the hidden state of "
                "a cell; a cell state leaves a loop only after the last frame"
            )
        return self._frames[name]

    # ---- before the first and after the last step ----

    def _moved(self, name: str, suffix: str) -> str:
        """Return the name of a value that is only moved, as it is before the first or after the last step.

        Raises:
            UnsupportedError: Anything else takes part in it.
        """
        node = self.graph.producer(name)
        if (suffix, name) in self._moves:
            return self._moves[suffix, name]
        if self.graph.constant(name) is not None or (node is None and name not in self._frames):
            return name
        if node is None or node.op_type not in _MOVES:
            made_by = f"{label(node)} makes" if node is not None else "a frame holds"
            raise UnsupportedError(
                f"{self.step.label}: {made_by} {name!r}, which is carried to the next frame, and is no part of the "
                f"step of an LSTM, GRU or RNN; {WAY_OUT}"
            )
        reads = [self._moved(read, suffix) if read else "" for read in node.input]
        made = copied(node, reads, [f"{each}{suffix}" if each else "" for each in node.output])
        made.name = f"{node.name or name}{suffix}"
        self._moves.update({(suffix, each): f"{each}{suffix}" for each in node.output if each})
        self.nodes.append(made)
        return self._moves[suffix, name]

    # ---- answers ----

    def _answer(self, answers: Answers) -> None:
        """Put the time of the answers where the outer graph reads it."""
        frames = self._frames.get(answers.inside)
        if frames is None:
            raise UnsupportedError(
                f"{self.step.label}: its answer {answers.inside!r} is the same for each frame or a cell state, wanted "
                "one that follows from the frame; a cell state leaves a loop only after the last frame"
            )
        if answers.turned != self.step.backward:
            frames = self._turned(frames)
        rank = 1 + self._rank(answers.inside) if answers.axis else 1
        axis = answers.axis % rank
        order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        self._add(*(("Transpose", [frames], answers.outer, order) if axis else ("Identity", [frames], answers.outer)))

    def _turned(self, frames: str) -> str:
        """Return frames from the last to the first."""
        bounds = [("last", -1), ("begin", _BEGIN), ("axis0", 0), ("back", -1)]
        self._add("Slice", [frames, *(self._number(*bound) for bound in bounds)], f"{frames}/turned")
        return f"{frames}/turned"

    # ---- nodes ----

    def _add(self, operator: str, inputs: list[str], output: str, perm: list[int] | None = None) -> None:
        node = helper.make_node(operator, inputs, [output], f"{output}/{operator}")
        node.attribute.extend([] if perm is None else [helper.make_attribute("perm", perm)])
        self.nodes.append(node)

    def _number(self, what: str, value: int) -> str:
        """Return the name of a constant that holds one number."""
        name, tensors = f"{self.step.name}/{what}", self.graph.model.graph.initializer
        if all(tensor.name != name for tensor in tensors):
            tensors.append(numpy_helper.from_array(np.array([value], np.int64), name))
        return name


def _y(node: onnx.NodeProto) -> int:
    """Return the position of Y among a recurrent node's outputs."""
    return 2 if node.op_type == "Scan" else 0
