"""Transposed convolutions as convolutions, which stream, quantize and run like any other.

Along an axis of stride 1 a transposed convolution is a convolution with the taps turned around. Along an axis of stride
s, each answer reads every s-th tap. So one convolution makes the s answers of each place, as s times the channels, and
they are put side by side: the taps are multiplied as often as before. Decoders of noise suppression widen the bins of
a frame so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import starmap

import numpy as np
import onnx
from onnx import helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.axes import Dims, trace_dims
from ..graph.editing import END, add_constant, set_nodes, unused, value_names
from ..graph.recurrent_nodes import operand

_FIRST = 2  # the first axis of a kernel in the input, [batch, channels, ...]


@dataclass(frozen=True)
class _Axis:
    """One axis of a transposed convolution: its taps, stride and dilation, and the answers cut off at both ends."""

    kernel: int
    stride: int
    dilation: int
    first: int
    last: int

    @property
    def taps(self) -> int:
        """The taps of the convolution that takes its place."""
        return -(-self.kernel // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """The zeros before and after the input of that convolution."""
        reach = (self.taps - 1) * self.dilation
        if self.stride == 1:
            return reach - self.first, reach - self.last
        more = -(-(self.kernel - self.last - self.taps * self.stride) // self.stride)
        return reach, reach + max(more, 0)

    @property
    def surplus(self) -> int:
        """Answers at the end of an axis with a stride, to be cut off."""
        return (self.pads[1] + 1) * self.stride - self.kernel + self.last


def write_transposed(model: onnx.ModelProto, free: Sequence[int]) -> None:
    """Replace transposed convolutions by convolutions, in place; leave those that widen an axis of free size.

    Args:
        model: An ONNX model.
        free: The axes of its signal whose sizes may vary.
    """
    if not any(node.op_type == "ConvTranspose" for node in model.graph.node):
        return
    dims, graph, nodes, dropped = trace_dims(model, free), Graph(model), list[onnx.NodeProto](), set[str]()
    for node in model.graph.node:
        axes = _axes_of(graph, dims, node) if node.op_type == "ConvTranspose" else None
        if axes is None:
            nodes += [] if node.output[0] in dropped else [node]
            continue
        axes, answer = _with_cut(graph, node, axes)
        dropped |= {answer} - {node.output[0]}
        nodes += _Writer(model, graph, node, axes, answer).nodes()
    set_nodes(model, nodes)


def _axes_of(graph: Graph, dims: dict[str, Dims], node: onnx.NodeProto) -> list[_Axis] | None:
    """Return the axes of a transposed convolution; None if no convolution takes its place here."""
    given, weights = attributes(node), graph.constant(node.input[1])
    if weights is None or given.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in given:
        return None
    rank = weights.ndim - _FIRST
    pads, more = given.get("pads", [0] * 2 * rank), given.get("output_padding", [0] * rank)
    strides, dilations = given.get("strides", [1] * rank), given.get("dilations", [1] * rank)
    lasts = [end - extra for end, extra in zip(pads[rank:], more, strict=True)]
    axes = list(starmap(_Axis, zip(weights.shape[_FIRST:], strides, dilations, pads[:rank], lasts, strict=True)))
    sizes = dims.get(node.input[0], (None,) * (rank + _FIRST))[_FIRST:]
    wide = [axis for axis in axes if axis.stride > 1]
    pairs = zip(axes, sizes, strict=True)
    fits = all(axis.stride == 1 or (axis.dilation == 1 and isinstance(size, int)) for axis, size in pairs)
    return axes if len(wide) <= 1 and fits and all(min(axis.pads) >= 0 for axis in axes) else None


def _with_cut(graph: Graph, node: onnx.NodeProto, axes: list[_Axis]) -> tuple[list[_Axis], str]:
    """Return the axes without what the only reader, a Slice, cuts off its ends; and the value that is left."""
    answer, cut_off = node.output[0], graph.only_reader(node.output[0])
    if cut_off is None or cut_off.op_type != "Slice":
        return axes, answer
    bounds = [graph.constant(operand(cut_off, i)) for i in (1, 2, 3)]
    steps = graph.constant(operand(cut_off, 4)) if operand(cut_off, 4) else np.ones(1)
    if steps is None or np.any(steps != 1) or any(bound is None or bound.size != 1 for bound in bounds):
        return axes, answer
    start, end, at = (int(np.ravel(bound)[0]) for bound in bounds if bound is not None)
    place = at % (len(axes) + _FIRST) - _FIRST
    if place < 0 or start < 0 or end >= 0:
        return axes, answer
    cut = replace(axes[place], first=axes[place].first + start, last=axes[place].last - end)
    if cut.stride > 1 or min(cut.pads) < 0:
        return axes, answer
    return [*axes[:place], cut, *axes[place + 1 :]], cut_off.output[0]


class _Writer:
    """Writes the convolution that takes the place of one transposed convolution."""

    def __init__(
        self, model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, axes: list[_Axis], answer: str
    ) -> None:
        weights = graph.constant(node.input[1])
        bias = graph.constant(operand(node, 2)) if operand(node, 2) else None
        self._model, self._node, self._axes, self._answer = model, node, axes, answer
        self._weights: Array = np.zeros(0) if weights is None else weights
        self._bias, self._given_bias = bias, bool(operand(node, 2))
        self._groups = int(attributes(node).get("group", 1))
        self._wide = next((i for i, axis in enumerate(axes) if axis.stride > 1), None)
        self._phases = 1 if self._wide is None else axes[self._wide].stride
        self._taken = value_names(model)

    def nodes(self) -> list[onnx.NodeProto]:
        """Return the nodes: a Conv, and with a stride those that put its answers side by side."""
        made = self._answer if self._wide is None else self._name("phases")
        inputs = [self._node.input[0], self._constant("weights", self._kernels())]
        if self._given_bias and self._bias is not None:
            inputs.append(self._constant("bias", self._spread(self._bias)))
        begins, ends = zip(*(axis.pads for axis in self._axes), strict=True)
        conv = helper.make_node(
            "Conv",
            inputs,
            [made],
            self._node.name,
            kernel_shape=[axis.taps for axis in self._axes],
            dilations=[axis.dilation for axis in self._axes],
            pads=[*begins, *ends],
            group=self._groups,
        )
        return [conv] if self._wide is None else [conv, *self._side_by_side(made, _FIRST + self._wide)]

    def _kernels(self) -> Array:
        """Return the weights `[groups * phases * outputs, inputs, taps]`, as one Conv has them."""
        each = self._weights.reshape(self._groups, -1, *self._weights.shape[1:])  # [groups, inputs, outputs, taps]
        each = np.swapaxes(each, 1, 2)
        parts = []
        for phase in range(self._phases):
            part = each
            for place, axis in enumerate(self._axes):
                short = axis.taps * axis.stride - axis.kernel
                ends = [(0, 0)] * part.ndim
                ends[3 + place] = (0, short)
                at: list[slice] = [slice(None)] * part.ndim
                at[3 + place] = slice(phase if axis.stride > 1 else 0, None, axis.stride)
                part = np.flip(np.pad(part, ends)[tuple(at)], 3 + place)
            parts.append(part)
        made: Array = np.stack(parts, 1).reshape(-1, *parts[0].shape[2:])
        return np.ascontiguousarray(made)

    def _spread(self, bias: Array) -> Array:
        each = bias.reshape(self._groups, 1, -1)
        return np.repeat(each, self._phases, 1).ravel()

    def _side_by_side(self, made: str, at: int) -> list[onnx.NodeProto]:
        """Return the nodes that put the answers of the phases next to each other along an axis, and cut its ends."""
        axis, rank, outputs = self._axes[at - _FIRST], len(self._axes) + _FIRST, self._weights.shape[1]
        channels = np.arange(self._groups * self._phases * outputs).reshape(self._groups, self._phases, outputs)
        last, nodes, parts = self._constant("axis", np.array([rank])), list[onnx.NodeProto](), []
        order = [*(a for a in range(rank) if a != at), at]
        nodes.append(helper.make_node("Transpose", [made], [self._name("turned")], self._name("turned"), perm=order))
        for phase in range(self._phases):
            own = self._constant(f"channels{phase}", channels[:, phase].ravel())
            part, parts_name = self._name(f"phase{phase}"), self._name(f"part{phase}")
            nodes.append(helper.make_node("Gather", [self._name("turned"), own], [part], part, axis=1))
            nodes.append(helper.make_node("Unsqueeze", [part, last], [parts_name], parts_name))
            parts.append(parts_name)
        whole, joined, back = self._name("joined"), self._name("wide"), self._name("back")
        shape = self._constant("shape", np.array([0] * (rank - 1) + [-1]))
        nodes.append(helper.make_node("Concat", parts, [whole], whole, axis=rank))
        nodes.append(helper.make_node("Reshape", [whole, shape], [joined], joined))
        undone = [int(a) for a in np.argsort(order)]
        nodes.append(helper.make_node("Transpose", [joined], [back], back, perm=undone))
        end = -axis.surplus if axis.surplus else END
        bounds = [self._constant(key, np.array([v])) for key, v in (("from", axis.first), ("to", end), ("along", at))]
        nodes.append(helper.make_node("Slice", [back, *bounds], [self._answer], f"{self._node.name}/cut"))
        return nodes

    def _name(self, part: str) -> str:
        return unused(f"{self._node.name or self._node.output[0]}/{part}", self._taken)

    def _constant(self, part: str, values: Array) -> str:
        kept = values.astype(np.float32 if values.dtype.kind == "f" else np.int64)
        return add_constant(self._model, f"{self._node.name or self._node.output[0]}/{part}", kept)
