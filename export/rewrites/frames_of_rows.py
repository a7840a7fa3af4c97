"""Strides over time: a frame of the model becomes the rows of the signal from one answer to the next.

`Conv1d(stride=2)`, a pool or a Reshape that stacks rows before a recurrent layer makes one frame of several rows. The
input becomes `[batch, frames, rows, values]`. What comes before the recurrent layer runs inside a frame, with the
frames in its batch: `[batch * frames, rows, values]`, so its nodes stay as they are. Only what reads rows of other
frames changes: a convolution or a pool gets the rows around those of its frame first (`row_windows`).
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import onnx
from onnx import helper

from ...runtime.cells import CELLS
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.axes import Dims, set_dims, shape_of
from ..graph.editing import add_constant, copied, input_named, remove_dead, set_nodes
from ..graph.recurrent_nodes import operand
from ..proof.axis_mixing import mixings
from .row_windows import Place, joined_rows, shifted, streams_and_frames, window_of
from .rows import LENGTH, STREAMS, Rows, known_sizes, shapes_of_rows

_KEEP_ZEROS = frozenset(
    (
        *("Abs", "Cast", "Elu", "Gelu", "Identity", "LeakyRelu", "Neg", "Relu", "Selu", "Sign", "Softsign", "Tanh"),
        *("Squeeze", "Transpose", "Unsqueeze"),
    )
)
_OF_SIZES = frozenset(
    (
        *("Add", "Cast", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather", "Max", "Min", "Mod"),
        *("Mul", "ReduceProd", "Reshape", "Slice", "Squeeze", "Sub", "Unsqueeze", "Where"),
    )
)


def write_rows(model: onnx.ModelProto, source: str, rows: Rows, *, flat: bool = False, several: bool = False) -> None:
    """Let a model take `[batch, frames, rows, ...]`, in place, so that its recurrent layers have a step per frame.

    Args:
        model: The model.
        source: Its signal input.
        rows: The rows of a frame.
        flat: Whether a frame of the input has its rows side by side in one axis: samples.
        several: Whether several signals were joined to this one.

    Raises:
        UnsupportedError: A node before the recurrent layers reads rows in a way that no stream can follow, or the
            signal has no rows.
    """
    _refuse_ids(model, source, rows, several=several)
    writer = _Writer(model, source, rows)
    nodes = writer.take(flat=flat)
    for node in list(model.graph.node):
        nodes += writer.written(node)
    for item in model.graph.output:
        if item.name in writer.places:
            raise UnsupportedError(
                f"output {item.name!r} has {writer.places[item.name].rows} answers for each step of the recurrent "
                "layers, wanted one; return it after the strides"
            )
    del model.graph.value_info[:]
    set_nodes(model, nodes)
    remove_dead(model)


def _refuse_ids(model: onnx.ModelProto, source: str, rows: Rows, *, several: bool) -> None:
    """Refuse strides over time of what has no rows: ids, or several signals."""
    kind = input_named(model, source).type.tensor_type.elem_type
    if several or kind != onnx.TensorProto.FLOAT:
        raise UnsupportedError(
            f"strides over time make one frame of {rows.count} {'of several signals' if several else 'ids'}, wanted "
            "one signal of floats: join the signals, or look the ids up before the model"
        )


class _Writer:
    """Writes the nodes of a model once more, those that read rows inside of frames.

    Attributes:
        places: For each value of more than one row a frame: where its rows are.
    """

    def __init__(self, model: onnx.ModelProto, source: str, rows: Rows) -> None:
        self.model, self.source, self.rows = model, source, rows
        self.graph, self.places = Graph(model), dict[str, Place]()
        self.short, self.long = (shapes_of_rows(model, source, rows, n) for n in (LENGTH, 2 * LENGTH))
        self.copies: dict[str, str] = {}  # sizes, as they are inside of a frame
        self.sized: set[str] = set()  # values that are computed from sizes of rows

    def take(self, *, flat: bool) -> list[onnx.NodeProto]:
        """Give the input its new shape, and return the nodes that put its frames into the batch."""
        rows, source, item = self.rows, self.source, input_named(self.model, self.source)
        inside = [rows.count, *rows.values]
        others = [axis for axis in range(len(shape_of(item))) if axis not in (rows.time, rows.batch)]
        set_dims(item, (shape_of(item)[rows.batch], "frames", *([prod(inside)] if flat or rows.hop else inside)))
        self.places[source] = place = Place(f"{source}/rows", rows.batch, rows.time, rows.count)
        order = [rows.batch, rows.time, *others]
        target = add_constant(self.model, f"{source}/folded", np.array([-1, *inside], np.int64))
        perm = np.argsort(order).tolist()
        return [
            helper.make_node("Reshape", [source, target], [f"{source}/frames"], f"{source}/Reshape"),
            helper.make_node("Transpose", [f"{source}/frames"], [place.name], f"{source}/Turn", perm=perm),
        ]

    def written(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return what takes the place of a node."""
        read = [name for name in node.input if name in self.places]
        if node.op_type == "Shape" and read:
            self.sized.add(node.output[0])
            return self._outer_shape(node)
        if not read:
            from_sizes = self.sized.intersection(node.input)
            others = (name for name in node.input if name and name not in self.sized)
            if (
                from_sizes
                and node.op_type in _OF_SIZES
                and all(self.graph.constant(name) is not None for name in others)
            ):
                self.sized.update(node.output)
            return [node]
        self._check(node)
        nodes, names = [], list[str]()
        for name in node.input:
            made, inner = self._inside(name, lazily=shifted(node) or node.op_type in _KEEP_ZEROS)
            nodes += made
            names.append(inner)
        return [*nodes, *self._made(node, names)]

    def _made(self, node: onnx.NodeProto, names: Sequence[str]) -> list[onnx.NodeProto]:
        """Return a node inside of frames, and what takes its answers out if they have one row a frame."""
        place, nodes = self.places[next(name for name in node.input if name in self.places)], []
        answers = [name for name in node.output if name]
        places = {name: self._place(node, name) for name in answers}
        if node.op_type in _KEEP_ZEROS:
            places = {name: replace(own, shift=place.shift, pad=place.pad) for name, own in places.items()}
        one = places[answers[0]]
        if shifted(node):
            made, one = window_of(self.model, self.graph, node, (place, one), self._shape_inside(node.input[0], place))
            places[answers[0]] = one
            nodes += made
        elif node.op_type in ("Reshape", "Flatten"):
            nodes += self._reshaped(node, replace(place, name=names[0]), one)
        else:
            nodes.append(copied(node, names, [places[name].name if name else "" for name in node.output]))
        for name, own in places.items():
            if own.rows > 1 or own.shift or self._frames(name, own) != (LENGTH - self.rows.after) // self.rows.count:
                self.places[name] = own  # its rows are in other frames, or its end is cut off later
            else:
                nodes += self._taken_out(name, own)
        return nodes

    def _reshaped(self, node: onnx.NodeProto, place: Place, answer: Place) -> list[onnx.NodeProto]:
        """Return a Reshape inside of frames: streams and frames stay an axis, which comes first."""
        name, rank = answer.name, len(self.short[node.input[0]])
        sizes = self._shape_inside(node.output[0], answer)
        rest = [size for axis, size in enumerate(sizes) if axis != answer.batch]
        first = [place.batch, *(axis for axis in range(rank) if axis != place.batch)]
        back = [answer.batch, *(axis for axis in range(len(sizes)) if axis != answer.batch)]
        target = add_constant(self.model, f"{name}/target", np.array([-1, *rest], np.int64))
        return [
            helper.make_node("Transpose", [place.name], [f"{name}/first"], f"{name}/First", perm=first),
            helper.make_node("Reshape", [f"{name}/first", target], [f"{name}/made"], f"{name}/Reshape"),
            helper.make_node("Transpose", [f"{name}/made"], [name], f"{name}/Turn", perm=np.argsort(back).tolist()),
        ]

    # ---- places ----

    def _place(self, node: onnx.NodeProto, name: str) -> Place:
        """Return where the rows of a node's answer are."""
        short, long = self.short.get(name, ()), self.long.get(name, ())
        timed = [axis for axis, (a, b) in enumerate(zip(short, long, strict=False)) if a != b]
        free = self.rows.streams == STREAMS
        streams = [axis for axis, size in enumerate(short) if isinstance(size, int) and size % STREAMS == 0]
        streams = streams if free else self._streams(node, known_sizes(short))
        if len(timed) != 1 or len(streams) != 1 or len(known_sizes(short)) < len(short):
            raise self._refused(node, "its answer has not one axis of rows and one of streams")
        at = timed[0]
        grows = (long[at] - short[at]) // (self.rows.streams if streams[0] == at else 1)  # type: ignore[operator]
        count = Fraction(grows * self.rows.count, LENGTH)
        if count.denominator != 1 or not 1 <= count <= self.rows.count:
            raise self._refused(node, f"it makes {float(count):.3g} rows of a frame of {self.rows.count}")
        return Place(f"{name}/rows", streams[0], at, int(count))

    def _frames(self, name: str, place: Place) -> int:
        """Return how many rows a value has in all."""
        size = known_sizes(self.short[name])[place.time]
        return size // self.rows.streams if place.time == place.batch else size

    def _streams(self, node: onnx.NodeProto, sizes: Sequence[int]) -> list[int]:
        """Return the axis of streams in the answer of a node of a model that fixes their number."""
        name = next(name for name in node.input if name in self.places)
        at, rank = self.places[name].batch, len(self.short[name])
        if node.op_type == "Transpose":
            at = list(attributes(node).get("perm", range(rank)[::-1])).index(at)
        elif node.op_type in ("Reshape", "Flatten"):
            at = next((axis for axis, size in enumerate(sizes) if size == self.rows.streams), len(sizes))
        elif node.op_type in ("Squeeze", "Unsqueeze"):
            longer = max(rank, len(sizes))
            named = self.graph.constant(operand(node, 1))
            changed = [] if named is None else [int(axis) % longer for axis in named.ravel()]
            kept = [axis for axis in range(longer) if axis not in changed]
            at = kept[at] if rank < longer else kept.index(at) if at in kept else len(sizes)
        else:
            at += len(sizes) - rank
        return [at] if at < len(sizes) and sizes[at] == self.rows.streams else []

    def _shape_inside(self, name: str, place: Place) -> list[int]:
        """Return the sizes of a value inside a frame; -1 for that of streams and frames."""
        sizes = list(known_sizes(self.short[name]))
        sizes[place.time] = place.rows
        sizes[place.batch] = -1
        return sizes

    def _check(self, node: onnx.NodeProto) -> None:
        """Refuse what cannot run inside a frame."""
        if node.op_type in CELLS:
            raise self._refused(node, "it runs over the rows; wanted recurrent layers after the last stride over time")
        dims = {name: self._named(name) for name in (*node.input, *node.output) if name in self.short}
        for mixing in () if shifted(node) else mixings(self.graph, node, dims):
            if "rows" in [dims.get(node.input[mixing.operand], ())[axis] for axis in mixing.axes]:
                raise self._refused(node, f"it {mixing.does} them; {mixing.way_out}")
        loose = [
            name
            for name in node.input
            if name and name not in self.places and name not in self.sized and self.graph.constant(name) is None
        ]
        if loose:
            raise self._refused(node, f"it joins rows with {loose[0]!r}, which has none")

    def _named(self, name: str) -> Dims:
        """Return the shape of a value, with a name for the number of rows."""
        pairs = zip(self.short[name], self.long.get(name, ()), strict=False)
        return tuple(size if size == other else "rows" for size, other in pairs)

    def _refused(self, node: onnx.NodeProto, why: str) -> UnsupportedError:
        return UnsupportedError(
            f"{label(node)}: strides over time make one frame of {self.rows.count} rows, and {why}; wanted nn.Conv1d, "
            "nn.Conv2d, pools and functions of each row before the recurrent layers, and strides only there"
        )

    # ---- sizes ----

    def _outer_shape(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return nodes for the sizes of rows as the whole signal has them."""
        name, given = node.output[0], attributes(node)
        axes = range(len(self.short[node.input[0]]))[given.get("start", 0) : given.get("end")]
        nodes, parts = [helper.make_node("Shape", [self.source], [f"{name}/all"])], list[str]()
        for axis in axes:
            made, part = self._size(f"{name}/{axis}", f"{name}/all", axis, node.input[0])
            nodes += made
            parts.append(part)
        return [*nodes, helper.make_node("Concat", parts, [name], axis=0)]

    def _size(self, name: str, every: str, axis: int, value: str) -> tuple[list[onnx.NodeProto], str]:
        """Return nodes for one size: the product of a number, and of streams and frames if it has them."""
        place, size = self.places[value], known_sizes(self.short[value])[axis]
        number = place.rows if axis == place.time else 1 if axis == place.batch else size
        made = add_constant(self.model, f"{name}/number", np.array([number], np.int64))
        nodes: list[onnx.NodeProto] = []
        for factor, at in enumerate((place.batch, place.time)):  # the first two axes of the input are these
            if at == axis:
                index = add_constant(self.model, f"{name}/axis", np.array([factor], np.int64))
                nodes.append(helper.make_node("Gather", [every, index], [f"{name}/{factor}"]))
                nodes.append(helper.make_node("Mul", [f"{name}/{factor}", made], [f"{name}/times{factor}"]))
                made = f"{name}/times{factor}"
        return nodes, made

    def _inside(self, name: str, *, lazily: bool) -> tuple[list[onnx.NodeProto], str]:
        """Return the name of a value inside of frames, and the nodes that make it."""
        place = self.places.get(name)
        if place is not None:
            if not place.shift or lazily:
                return [], place.name
            sizes, here = self._shape_inside(name, place), f"{place.name}/here"
            return joined_rows(self.model, place.pad, place, sizes, (place.shift, place.rows), here), here
        if name not in self.sized:
            return [], name
        if name in self.copies:
            return [], self.copies[name]
        node = next(node for node in self.model.graph.node if name in node.output)
        reads = [self._inside(read, lazily=True) for read in node.input]
        copy = copied(node, [read for _, read in reads], [f"{made}/rows" for made in node.output])
        self.copies.update(zip(node.output, copy.output, strict=True))
        return [*(one for made, _ in reads for one in made), copy], self.copies[name]

    # ---- out of the batch ----

    def _taken_out(self, name: str, place: Place) -> list[onnx.NodeProto]:
        """Return nodes that give a value of one row a frame its axis of frames."""
        if place.batch == place.time:
            return [helper.make_node("Identity", [place.name], [name], f"{name}/Frames")]
        sizes = known_sizes(self.short[name])
        rest = [axis for axis in range(len(sizes)) if axis not in (place.batch, place.time)]
        turned, apart = f"{name}/turned", f"{name}/apart"
        order = [place.batch, place.time, *rest]
        return [
            *streams_and_frames(self.model, self.source, f"{name}/sizes", [sizes[axis] for axis in rest]),
            helper.make_node("Transpose", [place.name], [turned], f"{name}/Turn", perm=order),
            helper.make_node("Reshape", [turned, f"{name}/sizes"], [apart], f"{name}/Apart"),
            helper.make_node("Transpose", [apart], [name], f"{name}/Frames", perm=np.argsort(order).tolist()),
        ]
