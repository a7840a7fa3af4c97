"""Folding of constants that a graph computes: torch writes paddings and normalized weights as chains of nodes."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from math import prod

import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ...runtime.errors import ModelError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import is_standard, label
from .editing import inferred, reads

_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
CODES = "DequantizeLinear"  # weights stored as codes stay codes
GROWING = frozenset(("ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"))
FREE_NUMBERS, MOST_EXPANSION = 2**24, 16  # that constants may have: so many, and so many times those of the file
RANDOM = frozenset(("Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"))


def fold_constants(model: onnx.ModelProto, operators: AbstractSet[str] | None = None) -> None:
    """Replace values that follow only from constants by initializers, in place.

    Args:
        model: The model.
        operators: The operators to fold; None: all.
    """
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    chains: list[onnx.NodeProto] = []
    for node in graph.node:
        follows = bool(node.input) and known.issuperset(filter(None, node.input)) and _plain(node)
        if node.op_type == "Constant" or (follows and (operators is None or node.op_type in operators)):
            chains.append(node)
            known.update(node.output)
    computed = {name for node in chains if node.op_type != "Constant" for name in node.output if name}
    if not computed:
        return
    rest = [node for node in graph.node if not computed.intersection(node.output)]
    wanted = sorted(computed.intersection(_reads(rest), known) | computed.intersection(o.name for o in graph.output))
    values = _evaluate(model, chains, wanted)
    del graph.node[:]
    graph.node.extend(rest)
    graph.initializer.extend(values)


def fold_neutral(model: onnx.ModelProto) -> None:
    """Turn each addition of a constant scalar 0, multiplication by 1 and Split into one part into an Identity.

    Silero VAD adds 0 times the sample rate to its state, so that torch's tracer keeps that input. Keras splits the
    frames of an unrolled layer, also if there is only one. The model changes in place.
    """
    graph = Graph(model)
    for node in model.graph.node:
        if node.op_type == "Split" and len(node.output) == 1:
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], list(node.output), node.name))
        neutral = _NEUTRAL.get(node.op_type)
        values = [graph.constant(name) for name in node.input] if neutral is not None else []
        for position, value in enumerate(values):
            swaps = position == 1 or node.op_type in ("Add", "Mul")
            if swaps and value is not None and value.size == 1 and value.ndim <= 1 and value.item() == neutral:
                kept = node.input[1 - position]
                node.CopyFrom(helper.make_node("Identity", [kept], list(node.output), node.name))
                break


def _plain(node: onnx.NodeProto) -> bool:
    """Return whether a node may be folded: not random, without inner graphs, and no DequantizeLinear."""
    inner = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    return is_standard(node) and node.op_type not in RANDOM | {CODES} and not inner


def _reads(nodes: list[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in reads(node)}


def _evaluate(model: onnx.ModelProto, nodes: list[onnx.NodeProto], names: list[str]) -> list[onnx.TensorProto]:
    """Run constant nodes and return the named values as initializers.

    A few bytes may say that a value has 2^40 numbers. So the sizes are compared with the file before any is computed:
    all at once, or if they are not known, node by node.

    Raises:
        ModelError: The values have far more numbers than the file holds.
    """
    held = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    room = FREE_NUMBERS + MOST_EXPANSION * held
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    together = _part(model, nodes, names, known)
    sizes = _sizes(together)
    if all(sizes.get(name) is not None for node in nodes for name in node.output if name):
        _check_sizes(nodes, sizes, room)
        return _run(together, names)
    for node in nodes:
        one = _part(model, [node], [name for name in node.output if name], known)
        room -= _check_sizes([node], _sizes(one), room)
        known.update((tensor.name, tensor) for tensor in _run(one, [name for name in node.output if name]))
    return [known[name] for name in names]


def _part(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], names: list[str], known: Mapping[str, onnx.TensorProto]
) -> onnx.ModelProto:
    """Return a model of some constant nodes."""
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    tensors = [known[name] for name in sorted(_reads(nodes) & known.keys())]
    return helper.make_model(
        helper.make_graph(nodes, "constants", [], outputs, tensors), opset_imports=model.opset_import
    )


def _run(part: onnx.ModelProto, names: list[str]) -> list[onnx.TensorProto]:
    values = ReferenceEvaluator(part).run(None, {})
    return [numpy_helper.from_array(value, name) for name, value in zip(names, values, strict=True)]


def _sizes(part: onnx.ModelProto) -> dict[str, int]:
    """Return how many numbers the values have, as far as that is known."""
    graph = inferred(part)
    items = [item for item in (*graph.value_info, *graph.output) if item.type.tensor_type.HasField("shape")]
    dims = {item.name: item.type.tensor_type.shape.dim for item in items}
    return {
        name: prod(d.dim_value for d in own) for name, own in dims.items() if all(d.HasField("dim_value") for d in own)
    }


def _check_sizes(nodes: list[onnx.NodeProto], sizes: Mapping[str, int], room: int) -> int:
    """Return how many numbers constant nodes make.

    Raises:
        ModelError: They are more than there is room for, or the node may make any number.
    """
    made = 0
    for node in nodes:
        unknown = room + 1 if node.op_type in GROWING else 0
        made += sum(max(sizes.get(name, unknown), 0) for name in node.output if name)
        if made > room:
            raise ModelError(
                f"{label(node)}: its constants have far more numbers than the file, wanted at most {room}; export the "
                "model without it"
            )
    return made
