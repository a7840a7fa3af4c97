"""Operators that need the whole sequence: found after a failed proof and refused by name.

The proof decides whether a file streams. Only if it fails, or if the frames are lost before it can run, the graph is
searched for the cause: first by the axes that each operator mixes (`axis_mixing`), then by values. For the latter the
graph runs on a whole signal and on its chunks, and the first value that differs shows the operator.
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
from ..graph.axes import Axes, Dims, shape_text, signal_input
from ..graph.constants import RANDOM
from ..graph.editing import remove_dead, set_nodes
from ..graph.names import module_path
from ..graph.recurrent_nodes import signal_of
from .axis_mixing import ATTEND, OUTSIDE, mixings
from .comparison import RoundingError, UnfiniteError
from .runner import quiet_session
from .signals import FreshData, cut

FRAMES = 12  # of the signal for the comparison of values
DIFFERENT = 1e-4  # relative to the largest value: rounding gives at most 1e-6, a wrong frame much more

_WANTED = "wanted each frame by itself: only recurrent layers and convolutions carry anything from frame to frame"

_EACH = "keep the axis of the streams as it is: each stream gets answers to its own signal"
_TIME_KEPT = "keep the axis of time as it is, or fold and unfold it by its size, x.shape[1]"
_STREAMS_KEPT = "keep the axis of the streams as it is: the final state of the last layer is h[-1]"


class WholeSequenceError(UnsupportedError):
    """An operator needs the whole sequence; the message names it."""


@dataclass(frozen=True)
class _Suspect:
    """A node that is likely the cause.

    Attributes:
        node: The node.
        seen: What the node does, as text for messages.
        way_out: What to do instead.
        wanted: What is wanted, as text for messages.
    """

    node: onnx.NodeProto
    seen: str
    way_out: str
    wanted: str = _WANTED

    def error(self) -> WholeSequenceError:
        """Return the error that names the node and its module."""
        path, name = module_path(self.node), label(self.node)
        named = f"module {path!r} ({name})" if path else name
        return WholeSequenceError(f"{named} {self.seen}, {self.wanted}; {self.way_out}")


@contextmanager
def whole_refused(
    model: onnx.ModelProto,
    dims: Mapping[str, Dims],
    axes: Axes,
    carried: Sequence[str],
    example: Array,
    *,
    inside: Callable[[], str] = str,
) -> Iterator[None]:
    """Name the operator that needs the whole sequence, if a ContractError or ExportError is raised in this context.

    Args:
        model: A translated model, before its states are lifted.
        dims: The shapes of its values, from `axes.trace_dims`.
        axes: The axes of its signal.
        carried: The answers of its convolutions along time, and its values that hold earlier frames.
        example: A signal.
        inside: Returns the part of the original that needs later frames, as text, if the graph does not show it; or
            ''.

    Raises:
        WholeSequenceError: The cause is an operator that needs the whole sequence.
    """
    before = onnx.ModelProto()
    before.CopyFrom(model)
    try:
        yield
    except (RoundingError, UnfiniteError):
        raise
    except (ContractError, ExportError) as error:
        remove_dead(before)
        named = {name: axes.named(shape) for name, shape in dims.items()}
        port = Port(signal_input(before).name, axes.time, axes.batch)
        suspect = _by_axes(before, named) or _by_values(_Stateless(before, named, carried), port, example)
        suspect = suspect or _by_lost_frames(before, named, [item.name for item in before.graph.output])
        if suspect is not None:
            raise suspect.error() from error
        if name := inside():
            raise WholeSequenceError(f"{name} needs later frames, {_WANTED}; {OUTSIDE}") from error
        raise


def reads_other_frames(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> bool:
    """Return whether the frames of a recurrent layer are not those of the input: their number is not known."""
    read = (dims.get(signal_of(node)) for node in model.graph.node if node.op_type in CELLS)
    return any(shape is not None and shape[0] is None for shape in read)


def refuse_lost_frames(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> None:
    """Name the operator that changes the frames before a recurrent layer, so that they are not those of the input.

    Raises:
        WholeSequenceError: There is such an operator.
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
        folded: Whether to look for axes of unknown size instead: time may be folded into them.
    """
    graph = Graph(model)
    for node in graph.nodes:
        for mixing in mixings(graph, node, dims) if node.op_type not in CELLS else ():
            shape = dims.get(node.input[mixing.operand]) or ()
            along = [shape[axis] for axis in mixing.axes]
            along = [size for size in along if (size is None if folded else isinstance(size, str))]
            if along:
                first = "time" if "time" in along else along[0]
                if first == "batch":
                    does = "takes single ones of" if node.op_type == "Gather" else mixing.does
                    return _Suspect(node, f"{does} {_called(first)}", _EACH, "wanted each stream by itself")
                return _Suspect(node, f"{mixing.does} {_called(first)}", mixing.way_out)
    return None


def _called(size: int | str | None) -> str:
    if size is None:
        return "an axis that time is folded into"
    named = {"time": "time", "batch": "the streams of a batch"}
    return named.get(str(size), f"axis {str(size).removeprefix('axis')} of the input")


def _by_lost_frames(model: onnx.ModelProto, dims: Mapping[str, Dims], names: Sequence[str]) -> _Suspect | None:
    """Return the first node after which a value no longer has one entry per frame."""
    graph = Graph(model)
    for each in graph.nodes:
        if _masks(graph, each) and None in dims.get(each.output[0], (None,)):
            does, way_out = ATTEND
            return _Suspect(each, f"masks scores by a mask of the example's length: it {does} time", way_out)
    for last in names:
        name, found = last, None
        while None in dims.get(name, (None,)) and (node := graph.producer(name)) is not None:
            found = None if node.op_type == "If" else node  # torch squeezes an axis that may be 1 by an If
            name = next((read for read in node.input if graph.producer(read) and None in dims.get(read, (None,))), "")
        if found is not None:
            before, after = (dims.get(value, (None,)) for value in (found.input[0], found.output[0]))
            lost = [size for size in before if isinstance(size, str) and size not in after]
            way_out = _STREAMS_KEPT if "batch" in before and "time" not in before else _TIME_KEPT
            if len(lost) == 1 and lost[0].startswith("axis"):  # of the streams or of the frames, nobody knows yet
                way_out = f"keep {_called(lost[0])} as it is"
            made = f"makes {shape_text(after)} of {shape_text(before)}"
            return _Suspect(found, f"{made}, not one entry per frame", way_out)
    return None


def _masks(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node adds a mask to the scores of attention."""
    return node.op_type in ("Add", "Where") and any(r.op_type == "Softmax" for r in graph.consumers(node.output[0]))


# ---- by the values ----


@dataclass(frozen=True)
class _Stateless:
    """A graph without the nodes that carry a state: the outputs of these nodes become inputs.

    Then a chunk of the inputs gives the same chunk of every other value, unless a node needs further frames.

    Attributes:
        model: The whole graph.
        dims: The shapes of its values, with `time` and `batch` as names.
        known: The values that a stream carries, other than those of recurrent nodes.
    """

    model: onnx.ModelProto
    dims: Mapping[str, Dims]
    known: Sequence[str]

    @property
    def carried(self) -> list[str]:
        """The outputs of recurrent nodes and convolutions along time, and earlier frames."""
        cells = [node.output for node in self.model.graph.node if node.op_type in CELLS]
        return [*(name for names in cells for name in names if name), *self.known]

    @property
    def timed(self) -> list[str]:
        """The values that have one entry per frame, in the order of the nodes."""
        made = (name for node in self.model.graph.node for name in node.output)
        return [name for name in made if self.dims.get(name, ()).count("time") == 1 and None not in self.dims[name]]

    def without_states(self) -> onnx.ModelProto:
        """Return the graph with the carried values as inputs and all other timed values as outputs."""
        carried = self.carried
        model = _with_outputs(self.model, [name for name in self.timed if name not in carried])
        kept = [node for node in model.graph.node if not set(node.output).intersection(carried)]
        set_nodes(model, kept)
        model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in carried)
        remove_dead(model)
        return model


def _by_values(stateless: _Stateless, port: Port, example: Array) -> _Suspect | None:
    """Return the first node whose values in chunks differ from those of the whole signal; None if there is none."""
    frames = FreshData(example, port)
    x = frames(FRAMES, frames.batch)
    name = None
    with suppress(Exception):  # onnxruntime has no own class; if it fails here, the proof failed for the same reason
        name = _first_different(stateless, port, x)
    node = None if name is None else Graph(stateless.model).producer(name)
    if name is None or node is None or node.op_type in RANDOM:
        return None
    before = onnx.ModelProto()
    before.CopyFrom(stateless.model)
    del before.graph.output[:]
    before.graph.output.append(onnx.ValueInfoProto(name=name))
    remove_dead(before)
    folded = _by_axes(before, stateless.dims, folded=True)
    way_out = "take positions and the like from the frames themselves, as features of the input"
    return folded or _Suspect(node, "gives other values for the frames of a chunk than for the whole signal", way_out)


def _first_different(stateless: _Stateless, port: Port, x: Array) -> str | None:
    time, timed = int(port.time_axis or 0), stateless.timed
    inner = stateless.without_states()
    compared = [item.name for item in inner.graph.output]
    taken = [item.name for item in inner.graph.input if item.name != port.name]
    whole = _run(_with_outputs(stateless.model, [*compared, *taken]), {port.name: x})
    pieces: dict[str, list[Array]] = {name: [] for name in compared}
    for start, end in ((0, FRAMES // 2), (FRAMES // 2, FRAMES - 1), (FRAMES - 1, FRAMES)):
        feeds = {port.name: cut(x, time, start, end)}
        for name in taken:
            feeds[name] = (
                whole[name] if name not in timed else cut(whole[name], stateless.dims[name].index("time"), start, end)
            )
        answers = _run(inner, feeds)
        for name in compared:
            pieces[name].append(answers[name])
    for name in compared:
        seen = np.concatenate(pieces[name], stateless.dims[name].index("time"))
        if seen.shape != whole[name].shape or _differ(seen, whole[name]):
            return name
    return None


def _differ(seen: Array, wanted: Array) -> bool:
    if seen.dtype.kind != "f":
        return bool(np.any(seen != wanted))
    with np.errstate(invalid="ignore"):
        gap = np.abs(seen - wanted).max(initial=0.0)
    return not gap <= DIFFERENT * max(float(np.abs(wanted).max(initial=0.0)), 1e-30)


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return a copy of a model whose outputs are the named values."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.output[:]
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return made


def _run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run a model on those of the feeds that are its inputs; return its outputs by name."""
    session = quiet_session(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    read = {item.name for item in session.get_inputs()}
    return dict(zip(names, session.run(names, {name: x for name, x in feeds.items() if name in read}), strict=True))
