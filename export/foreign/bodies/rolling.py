"""Loop and Scan nodes over the frames of a signal, replaced by recurrent nodes."""

from collections.abc import Iterator, Mapping, Sequence

import onnx
from onnx import helper, numpy_helper

from ....runtime.cells import CELLS, PROJECTED_LSTM
from ....runtime.errors import UnsupportedError
from ....runtime.graph.graph import Graph
from ....runtime.graph.projected_lstm import with_weights
from ...graph.axes import Dims, set_dims, shape_of
from ...graph.constants import fold_constants, fold_neutral
from ...graph.editing import drop_identities, inferred, reads, remove_dead, set_nodes, sort_nodes, unused
from ...rewrites.arguments import follow_batch
from ..opsets import SPLIT_OPSET, modernize, needs_split_opset
from .cells import write_cells
from .loop import loop_step
from .masks import open_masks
from .rolled import WAY_OUT, Rolled
from .scan import scan_step
from .step import Step, tidied

Type = tuple[int, Dims | None]
"""The type of a value's elements, as in onnx.TensorProto, and its shape, if it is known."""

_NAMES = {PROJECTED_LSTM.operator: "LSTM with projection"}
_UNKNOWN: Type = (onnx.TensorProto.FLOAT, None)
_STEPS = {"Loop": loop_step, "Scan": scan_step}


def roll_bodies(model: onnx.ModelProto) -> list[str]:
    """Replace each Loop and Scan by recurrent nodes and nodes that act on all frames, in place.

    A Scan that is an LSTM with projection already stays.

    Returns:
        A sentence for each node that was replaced.

    Raises:
        UnsupportedError: A node carries anything else than the states of LSTMs, GRUs and RNNs; the message names it.
    """
    before, done = onnx.ModelProto(), list[str]()
    before.CopyFrom(model)
    while (node := _first(model)) is not None:
        done.append(_roll(model, node))
        if needs_split_opset(model):
            model.CopyFrom(modernize(before, SPLIT_OPSET))
            done = []
    fold_constants(model)
    follow_batch(model)
    return done


def _first(model: onnx.ModelProto) -> onnx.NodeProto | None:
    found = (node for node in model.graph.node if node.op_type in _STEPS and with_weights(node) is None)
    return next(found, None)


def _roll(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """Replace one node; return a sentence on it."""
    step = _STEPS[node.op_type](model, node)
    types = _types(model)
    read = {item.name for item in model.graph.output}
    read = read.union(*(reads(other) for other in model.graph.node if other.output != node.output))
    step = tidied(step, read)
    inner = step_model(model, step, types)
    open_masks(model, step, inner)
    fold_neutral(inner)
    drop_identities(inner)
    _write_cells(inner, step, [*_paths(model), step.name.strip("/")])
    _name_cells(inner, {node.name for node in model.graph.node})
    cells = [_NAMES.get(node.op_type, node.op_type) for node in inner.graph.node if node.op_type in CELLS]
    known = {name: dims for name, (_, dims) in (types | _types(inner)).items() if dims is not None}
    made = Rolled(step, Graph(inner), {name: len(dims) for name, dims in known.items()}).run()
    _replace(model, node, [*step.links, *made], inner)
    return f"{step.label} is {' and '.join(cells) or 'nodes'} of all frames now."


def _paths(model: onnx.ModelProto) -> list[str]:
    """Return the paths that the names of recurrent nodes begin with."""
    return [node.name.rpartition("/")[0].strip("/") for node in model.graph.node if node.op_type in CELLS]


def _name_cells(inner: onnx.ModelProto, taken: set[str]) -> None:
    """Give each recurrent node of a step a name that no node of the graph around has, in place."""
    known = set(taken)
    for node in inner.graph.node:
        if node.op_type in CELLS:
            node.name = unused(node.name or node.op_type, known)
            known.add(node.name)


def _write_cells(inner: onnx.ModelProto, step: Step, paths: Sequence[str]) -> None:
    """Write the cells of a step as recurrent nodes, in place."""
    shapes = {
        name: tuple(size if isinstance(size, int) and size else 1 for size in dims)
        for name, (_, dims) in _types(inner).items()
        if dims is not None
    }
    try:
        write_cells(inner, {each.inside: each.next for each in step.carried}, shapes, paths)
    except UnsupportedError as error:
        raise UnsupportedError(f"{step.label}: {error}; {WAY_OUT}") from error


def _replace(model: onnx.ModelProto, node: onnx.NodeProto, nodes: list[onnx.NodeProto], inner: onnx.ModelProto) -> None:
    """Put nodes, and the constants of a step, in the place of a Loop or Scan, in place."""
    known = {tensor.name for tensor in model.graph.initializer}
    model.graph.initializer.extend(tensor for tensor in inner.graph.initializer if tensor.name not in known)
    kept = [other for other in model.graph.node if other.output != node.output]
    set_nodes(model, [*kept, *nodes])
    sort_nodes(model)
    remove_dead(model)


def step_model(model: onnx.ModelProto, step: Step, types: Mapping[str, Type]) -> onnx.ModelProto:
    """Return a step as a model of its own: a frame of each sequence and the carried values in, the next values out.

    Frames and carried values are those of one stream: cells are recognized by what they compute for one.

    Args:
        model: The outer graph.
        step: The step.
        types: The types and shapes of the outer graph's values, as far as they are known.
    """
    own = {item.name: (item.type.tensor_type.elem_type, shape_of(item)) for item in step.declared}
    inputs = {each.inside: _first_known(types.get(each.start), own.get(each.inside)) for each in step.carried}
    for frames in step.frames:
        inputs[frames.inside] = _first_known(_without(types.get(frames.outer), frames.axis), own.get(frames.inside))
    made = {name for node in step.nodes for name in node.output}
    captured = {name for node in step.nodes for name in reads(node) if name} - made - set(inputs)
    constants = {name: Graph(model).constant(name) for name in sorted(captured)}
    others = {name: types.get(name, _UNKNOWN) for name, value in constants.items() if value is None}
    graph = helper.make_graph(
        step.nodes,
        "step",
        [_item(name, kind, dims) for name, (kind, dims) in (_one_stream(inputs) | others).items()],
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(_outputs(step))],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if value is not None],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _outputs(step: Step) -> Iterator[str]:
    yield from (each.next for each in step.carried)
    yield from (each.inside for each in step.answers)


def _item(name: str, kind: int, dims: Dims | None) -> onnx.ValueInfoProto:
    item = helper.make_tensor_value_info(name, kind, None if dims is None else [None] * len(dims))
    if dims is not None:
        set_dims(item, dims)
    return item


def _one_stream(inputs: Mapping[str, Type]) -> dict[str, Type]:
    """Return the types of frames and states `[batch, ...]` for one stream."""
    return {name: (kind, (1, *dims[1:]) if dims else dims) for name, (kind, dims) in inputs.items()}


def _first_known(*found: Type | None) -> Type:
    """Return the first type that has a shape."""
    return next((known for known in found if known is not None and known[1] is not None), _UNKNOWN)


def _without(known: Type | None, axis: int) -> Type | None:
    """Return the type of one entry along an axis."""
    kind, dims = known or _UNKNOWN
    return None if dims is None else (kind, (*dims[: axis % len(dims)], *dims[axis % len(dims) + 1 :]))


def _types(model: onnx.ModelProto) -> dict[str, Type]:
    """Return the types and shapes of a model's values, as far as ONNX can infer them."""
    graph = inferred(model)
    known: dict[str, Type] = {t.name: (t.data_type, tuple(t.dims)) for t in model.graph.initializer}
    for item in (*graph.input, *graph.value_info, *graph.output):
        kind = item.type.tensor_type
        known[item.name] = (kind.elem_type, shape_of(item) if kind.HasField("shape") else None)
    return known
