"""Refusing by name what needs the whole sequence: which operator makes an answer depend on more than the past.

The proof is the judge: a graph is searched only once it failed, or had lost its frames before it came so far. First by
what operators do along the axes of time; what is left by their values, those of a signal at once beside those of its
chunks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...runtime.arrays import Array
from ...runtime.cells import CELLS
from ...runtime.contract import Port
from ...runtime.errors import ContractError, ExportError, UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ..graph.axes import Axes, Dims, signal_input, text
from ..graph.constants import RANDOM
from ..graph.editing import remove_dead
from ..graph.names import module_path
from ..graph.recurrent_nodes import signal_of
from ..states.convolution_tails import Causal
from .axis_mixing import OUTSIDE, mixings
from .proof import quiet_session
from .signals import FreshData, cut

FRAMES = 12  # of the signal whose values are compared
DIFFERENT = 1e-4  # of the largest value: rounding gives 1e-6 at most, another frame much more

_WANTED = "wanted each frame by itself: recurrent layers and convolutions alone carry anything from frame to frame"


class WholeSequenceError(UnsupportedError):
    """An operator needs the whole sequence; the message names it."""


@dataclass(frozen=True)
class _Suspect:
    """A node that may be the cause.

    Attributes:
        node: The node.
        seen: What it does, as a message says it.
        way_out: What to do instead.
    """

    node: onnx.NodeProto
    seen: str
    way_out: str

    def error(self) -> WholeSequenceError:
        path, name = module_path(self.node), label(self.node)
        named = f"module {path!r} ({name})" if path else name
        return WholeSequenceError(f"{named} {self.seen}, {_WANTED}; {self.way_out}")


@contextmanager
def whole_refused(
    model: onnx.ModelProto,
    dims: Mapping[str, Dims],
    axes: Axes,
    convolutions: Sequence[Causal],
    example: Array,
    *,
    inside: Callable[[], str] = str,
) -> Iterator[None]:
    """Name the operator that needs the whole sequence, where what happens inside fails for it.

    Args:
        model: A translated model, its states still inside.
        dims: The shapes of its values, as `axes.trace_dims` gives them.
        axes: The axes of its signal.
        convolutions: What convolves along time.
        example: A signal.
        inside: Names what of the original answers by later frames, where the graph does not show it; or nothing.

    Raises:
        WholeSequenceError: It was an operator that needs the whole sequence.
    """
    before = onnx.ModelProto()
    before.CopyFrom(model)
    try:
        yield
    except (ContractError, ExportError) as error:
        remove_dead(before)
        named = {name: axes.named(shape) for name, shape in dims.items()}
        port = Port(signal_input(before).name, axes.time, axes.batch)
        suspect = _by_axes(before, named) or _by_values(_Cut(before, named, convolutions), port, example)
        suspect = suspect or _by_lost_frames(before, named, [item.name for item in before.graph.output])
        if suspect is not None:
            raise suspect.error() from error
        if name := inside():
            raise WholeSequenceError(f"{name} answers by later frames, {_WANTED}; {OUTSIDE}") from error
        raise


def reads_other_frames(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> bool:
    """Return whether a recurrent layer reads frames that follow from those of the input, and are others."""
    read = (dims.get(signal_of(node)) for node in model.graph.node if node.op_type in CELLS)
    return any(shape is not None and shape[0] is None for shape in read)


def refuse_lost_frames(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> None:
    """Name the operator before a recurrent layer by which the frames that it reads are no longer those of the input.

    Raises:
        WholeSequenceError: There is one.
    """
    live = onnx.ModelProto()
    live.CopyFrom(model)
    read = [signal_of(node) for node in live.graph.node if node.op_type in CELLS]
    del live.graph.output[:]
    live.graph.output.extend(onnx.ValueInfoProto(name=name) for name in read)
    remove_dead(live)
    suspect = _by_axes(live, dims) or _by_lost_frames(live, dims, read)
    if suspect is not None:
        raise suspect.error()


# ---- by the axes ----


def _by_axes(model: onnx.ModelProto, dims: Mapping[str, Dims], *, folded: bool = False) -> _Suspect | None:
    """Return the first node that mixes along an axis of the signal.

    Args:
        model: The model.
        dims: The shapes of its values.
        folded: Whether to look for axes whose size is not known instead: time may be folded into them.
    """
    graph = Graph(model)
    for node in graph.nodes:
        for mixing in mixings(graph, node, dims) if node.op_type not in CELLS else ():
            shape = dims.get(node.input[mixing.operand]) or ()
            along = [shape[axis] for axis in mixing.axes]
            along = [size for size in along if (size is None if folded else isinstance(size, str))]
            if along:
                first = "time" if "time" in along else along[0]
                return _Suspect(node, f"{mixing.does} {_called(first)}", mixing.way_out)
    return None


def _called(size: int | str | None) -> str:
    if size is None:
        return "an axis that time is folded into"
    named = {"time": "time", "batch": "the streams of a batch"}
    return named.get(str(size), f"axis {str(size).removeprefix('axis')} of the input")


def _by_lost_frames(model: onnx.ModelProto, dims: Mapping[str, Dims], names: Sequence[str]) -> _Suspect | None:
    """Return the node behind which one of some values has no longer a row for each frame."""
    graph = Graph(model)
    for last in names:
        name, found = last, None
        while None in dims.get(name, (None,)) and (node := graph.producer(name)) is not None:
            found = None if node.op_type == "If" else node  # torch's way to squeeze an axis that may be 1
            name = next((read for read in node.input if graph.producer(read) and None in dims.get(read, (None,))), "")
        if found is not None:
            before, after = (text(dims.get(value, (None,))) for value in (found.input[0], found.output[0]))
            return _Suspect(
                found,
                f"makes {after} of {before}, no row for each frame",
                "keep the axis of time as it is, or fold it away and back by its size, x.shape[1]",
            )
    return None


# ---- by the values ----


@dataclass(frozen=True)
class _Cut:
    """A graph without what carries a state: the values that this makes are inputs.

    So a chunk of those inputs gives a chunk of every other value, unless a node needs more than its own frames.

    Attributes:
        model: The graph, whole.
        dims: The shapes of its values, `time` and `batch` named.
        convolutions: What convolves along time.
    """

    model: onnx.ModelProto
    dims: Mapping[str, Dims]
    convolutions: Sequence[Causal]

    @property
    def carried(self) -> list[str]:
        """The values that recurrent nodes and convolutions along time make."""
        cells = [node.output for node in self.model.graph.node if node.op_type in CELLS]
        return [
            *(name for names in cells for name in names if name),
            *(convolution.answer for convolution in self.convolutions),
        ]

    @property
    def timed(self) -> list[str]:
        """The values that have one row for each frame, in the order of the nodes."""
        made = (name for node in self.model.graph.node for name in node.output)
        return [name for name in made if self.dims.get(name, ()).count("time") == 1 and None not in self.dims[name]]

    def without_states(self) -> onnx.ModelProto:
        """Return the graph with the carried values as inputs."""
        carried = self.carried
        model = _giving(self.model, [name for name in self.timed if name not in carried])
        kept = [node for node in model.graph.node if not set(node.output).intersection(carried)]
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in carried)
        remove_dead(model)
        return model


def _by_values(cut_: _Cut, port: Port, example: Array) -> _Suspect | None:
    """Return the first node whose values in chunks are not those of the whole signal; None if there is none."""
    frames = FreshData(example, port)
    x = frames(FRAMES, frames.batch)
    name = None
    with suppress(Exception):  # onnxruntime has no class of its own, and what it refuses here it refuses by the proof
        name = _first_different(cut_, port, x)
    node = None if name is None else Graph(cut_.model).producer(name)
    if name is None or node is None or node.op_type in RANDOM:
        return None
    before = onnx.ModelProto()
    before.CopyFrom(cut_.model)
    del before.graph.output[:]
    before.graph.output.append(onnx.ValueInfoProto(name=name))
    remove_dead(before)
    folded = _by_axes(before, cut_.dims, folded=True)
    way_out = "take positions and the like from the frames themselves, an input of the model"
    return folded or _Suspect(node, "gives frames in a chunk other values than in the whole signal", way_out)


def _first_different(cut_: _Cut, port: Port, x: Array) -> str | None:
    time, timed = int(port.time_axis or 0), cut_.timed
    inner = cut_.without_states()
    compared = [item.name for item in inner.graph.output]
    taken = [item.name for item in inner.graph.input if item.name != port.name]
    whole = _run(_giving(cut_.model, [*compared, *taken]), {port.name: x})
    pieces: dict[str, list[Array]] = {name: [] for name in compared}
    for start, end in ((0, FRAMES // 2), (FRAMES // 2, FRAMES - 1), (FRAMES - 1, FRAMES)):
        feeds = {port.name: cut(x, time, start, end)}
        for name in taken:
            feeds[name] = (
                whole[name] if name not in timed else cut(whole[name], cut_.dims[name].index("time"), start, end)
            )
        answers = _run(inner, feeds)
        for name in compared:
            pieces[name].append(answers[name])
    for name in compared:
        seen = np.concatenate(pieces[name], cut_.dims[name].index("time"))
        if seen.shape != whole[name].shape or _differ(seen, whole[name]):
            return name
    return None


def _differ(seen: Array, wanted: Array) -> bool:
    if seen.dtype.kind != "f":
        return bool(np.any(seen != wanted))
    with np.errstate(invalid="ignore"):
        gap = np.abs(seen - wanted).max(initial=0.0)
    return not gap <= DIFFERENT * max(float(np.abs(wanted).max(initial=0.0)), 1e-30)


def _giving(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy that gives some values, and nothing else."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.output[:]
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return made


def _run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a graph, on the inputs that it reads."""
    session = quiet_session(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    read = {item.name for item in session.get_inputs()}
    return dict(zip(names, session.run(names, {name: x for name, x in feeds.items() if name in read}), strict=True))
