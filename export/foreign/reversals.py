"""Layers that run backward over a signal that the graph turns around: they become backward layers.

Keras turns the frames around, runs the layer forward, and turns its answers around again. A value that is another one
turned around is written without it, as far back as the reversal, and read in its place.
"""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.cells import STANDARD
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.editing import copied, remove_dead, set_nodes, sort_nodes
from ..graph.recurrent_nodes import name_nodes
from .frame_axes import MOVES, UNARY, FrameAxes

_BACK, _END = "/back", "/end"  # end the names of values that are not turned around, and of those of the last frame


@dataclass(frozen=True)
class _Turned:
    """A value that is another one turned around.

    Attributes:
        source: The other value.
        axis: The axis of frames.
    """

    source: str
    axis: int


def turn_layers(model: onnx.ModelProto, source: str) -> list[str]:
    """Let layers that read frames from the last to the first be backward layers, in place; return their names.

    Args:
        model: A model without loops.
        source: Its signal input.
    """
    if not any(node.op_type in ("Gather", "ReverseSequence", "Slice") for node in model.graph.node):
        return []
    name_nodes(model)
    turning = _Turning.of(model, source)
    for node in list(model.graph.node):
        turning.replace(node)
    if turning.layers:
        kept = [node for node in model.graph.node if not turning.gone.intersection(node.output)]
        set_nodes(model, [*kept, *turning.nodes])
        sort_nodes(model)
        remove_dead(model)
    return turning.layers


@dataclass
class _Turning:
    """Values without their reversals, in the making.

    Attributes:
        graph: The graph.
        axes: What its nodes do along an axis.
        nodes: The nodes made so far.
        gone: Outputs of nodes that others replace.
        layers: The names of the layers that are backward now.
    """

    graph: Graph
    axes: FrameAxes
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    layers: list[str] = field(default_factory=list)
    _known: dict[str, _Turned | None] = field(default_factory=dict)
    _ends: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, model: onnx.ModelProto, source: str) -> "_Turning":
        """Start with a model."""
        return cls(Graph(model), FrameAxes.of(model, source))

    def replace(self, node: onnx.NodeProto) -> None:
        """Replace a node that turns a value around again, or that takes its last frame."""
        if not node.input or not node.output:
            return
        if node.op_type in STANDARD:
            self._layer(node)
            return
        axis, taken = self.axes.turned(node), self.axes.last(node)
        found = self.turned(node.input[0]) if axis is not None or taken is not None else None
        if found is None:
            return
        if axis == found.axis:
            self._put(helper.make_node("Identity", [found.source], node.output, node.name))
        elif taken == found.axis and (end := self._end(node.input[0])) is not None:
            self._put(copied(node, [end, *node.input[1:]], node.output))

    def _put(self, node: onnx.NodeProto) -> None:
        self.nodes.append(node)
        self.gone.update(node.output)

    # ---- values that are turned around ----

    def turned(self, name: str) -> _Turned | None:
        """Return what a value is turned around; None if it is no such value."""
        if name not in self._known:
            node = self.graph.producer(name)
            self._known[name] = None if node is None or not node.input else self._look(name, node)
        return self._known[name]

    def _look(self, name: str, node: onnx.NodeProto) -> _Turned | None:
        axis = self.axes.turned(node)
        if axis is not None:
            return _Turned(node.input[0], axis)
        if node.op_type in STANDARD:
            return self._layer(node) if name == node.output[0] else None
        found = [self.turned(read) for read in node.input]
        sources = [one for one in found if one is not None]
        if not sources or any(one.axis != sources[0].axis for one in sources):
            return None
        after = self.axes.after(node, [one is not None for one in found], sources[0].axis)
        if after is None:
            return None
        reads = [read if one is None else one.source for read, one in zip(node.input, found, strict=True)]
        return _Turned(self._copy(node, reads, name, _BACK), after)

    def _copy(self, node: onnx.NodeProto, reads: list[str], name: str, end: str) -> str:
        made = copied(node, reads, [f"{each}{end}" if each else "" for each in node.output])
        made.name = f"{node.name or name}{end}"
        self.nodes.append(made)
        return f"{name}{end}"

    def _layer(self, node: onnx.NodeProto) -> _Turned | None:
        """Let a layer that reads frames turned around be a backward layer; return what its answers are then."""
        back = f"{node.output[0] or node.name}{_BACK}"
        if node.name in self.layers:
            return _Turned(back, 0)
        given, found = attributes(node), self.turned(node.input[0])
        if found is None or found.axis != 0 or given.get("direction", "forward") != "forward" or given.get("layout"):
            return None
        made = copied(node, [found.source, *node.input[1:]], [back, *node.output[1:]], direction="reverse")
        made.output.extend([f"{back}/h"] if len(made.output) == 1 else [])
        made.output[1] = made.output[1] or f"{back}/h"
        self._put(made)
        self.layers.append(node.name)
        self._ends[node.output[0]] = self._with_axis(made.output[1])
        if node.output[0]:
            self._put(self._reversal(back, node.output[0]))
        return _Turned(back, 0)

    def _with_axis(self, final: str) -> str:
        """Return the final h of a layer as its answer to one frame."""
        self.nodes.append(helper.make_node("Unsqueeze", [final, self._number(0)], [f"{final}/frame"], f"{final}/frame"))
        return f"{final}/frame"

    def _reversal(self, source: str, target: str) -> onnx.NodeProto:
        """Return a node that turns frames around."""
        bounds = [self._number(value) for value in (-1, -(2**63), 0, -1)]
        return helper.make_node("Slice", [source, *bounds], [target], f"{target}/turned")

    def _number(self, value: int) -> str:
        """Return the name of a constant that holds one number."""
        name, tensors = f"reversals/{value}", self.graph.model.graph.initializer
        if all(tensor.name != name for tensor in tensors):
            tensors.append(numpy_helper.from_array(np.array([value], np.int64), name))
        return name

    def _end(self, name: str) -> str | None:
        """Return a value for the last frame of a layer's answers turned around: it follows from the final h."""
        if name not in self._ends:
            node, end = self.graph.producer(name), None
            if node is not None and node.op_type in UNARY | MOVES and (end := self._end(node.input[0])) is not None:
                end = self._copy(node, [end, *node.input[1:]], name, _END)
            self._ends[name] = end
        return self._ends[name]
