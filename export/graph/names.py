"""Names: which module a node belongs to, and the PyTorch names of its weights."""

from collections import Counter
from collections.abc import Iterator, Sequence

import onnx
from onnx import numpy_helper

from ...runtime.cells import BY_NAME, PROJECTED_LSTM
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import is_backward, is_standard
from ...runtime.graph.projected_lstm import with_weights
from .editing import rename, unused, value_names
from .markers import STFT

_WEIGHTS: dict[str, dict[str, str]] = {
    **{cell: {"W": "weight_ih_l{}", "R": "weight_hh_l{}", "B": "bias_l{}", "P": "weight_hr_l{}"} for cell in BY_NAME},
    "MatMul": {"B": "weight"},
    "Gemm": {"B": "weight", "C": "bias"},
    "Conv": {"W": "weight", "B": "bias"},
}
_PROJECTED_OPERANDS = ("X", "W", "R", "P", "B")


def module_path(node: onnx.NodeProto) -> str:
    """Return the dotted module path that torch's exporter wrote into a node's name.

    `/encoder/lstm/LSTM_1` gives `encoder.lstm`. The name of a container is repeated in the name of its child:
    `/enc/enc.1/lstm/LSTM` gives `enc.1.lstm`. A module at the root gives the empty string.
    """
    parts: list[str] = []
    for part in node.name.strip("/").split("/")[:-1]:
        if parts and part.startswith(parts[-1] + "."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def known_path(node: onnx.NodeProto, modules: Sequence[str]) -> str:
    """Return a node's module path, completed by the known paths.

    If a module is not called by its parent's forward, torch leaves the parent out of the name. A scripted module has no
    path in its name; if there is only one known module, it is that one.

    Args:
        node: The node.
        modules: Paths of modules, if known.
    """
    path = module_path(node)
    if not path and len(modules) == 1:
        return modules[0]
    longer = [module for module in modules if module.endswith("." + path)]
    return longer[0] if path and path not in modules and len(longer) == 1 else path


def weights_under(model: onnx.ModelProto, modules: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the weights whose nodes belong to some modules or make a spectrum, in file order."""
    graph, found = Graph(model), list[str]()
    for node in graph.nodes:
        inside = known_path(node, modules) in modules or module_path(node).endswith(STFT)
        if inside and node.op_type in _WEIGHTS:
            found += [name for name in node.input[1:3] if name and graph.constant(name) is not None]
    return tuple(dict.fromkeys(found))


def name_weights(model: onnx.ModelProto, modules: Sequence[str] = ()) -> None:
    """Give weights that have only a number (`onnx::LSTM_193`), or were computed, their names in PyTorch, in place.

    The recurrent weights of the second layer of `lstm` become `lstm.weight_ih_l1` and `lstm.weight_hh_l1`. The file
    has both biases in one tensor, `lstm.bias_l1`. A weight without a PyTorch name is named by its node and operand:
    `MatMul_3.B`. Weights with several readers keep their number.

    Args:
        model: The model.
        modules: Paths of the recurrent modules, if known.
    """
    _keep_as_initializers(model)
    nodes = [with_weights(node) or node for node in model.graph.node if is_standard(node)]
    readers = Counter(name for node in nodes for name in node.input)
    taken = value_names(model)
    numbered = {t.name for t in model.graph.initializer if t.name.startswith(("onnx::", "/")) and readers[t.name] == 1}
    layers: Counter[tuple[str, str, bool]] = Counter()
    for node in nodes:
        path = known_path(node, modules)
        kind = path, node.op_type, is_backward(node)
        layer = layers[kind]
        layers[kind] += 1
        for name, operand in zip(node.input, _operands(node, Graph(model).opset()), strict=False):
            if name in numbered:
                new = unused(_pytorch_name(node, path, operand, layer), taken)
                taken.add(new)
                rename(model, name, new)


def _keep_as_initializers(model: onnx.ModelProto) -> None:
    """Turn weights that TorchScript writes as Constant nodes into initializers, in place."""
    graph, read = (
        Graph(model),
        {name for node in model.graph.node if node.op_type in _WEIGHTS for name in node.input[1:4]},
    )
    makers = [node for node in model.graph.node if node.op_type == "Constant" and node.output[0] in read]
    for node in makers:
        values = graph.constant(node.output[0])
        if values is not None:
            model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
            model.graph.node.remove(node)


def _operands(node: onnx.NodeProto, version: int) -> Iterator[str]:
    """Yield the names of a node's inputs in the ONNX standard."""
    if node.op_type == PROJECTED_LSTM.name:
        return iter(_PROJECTED_OPERANDS)
    return (operand.name for operand in onnx.defs.get_schema(node.op_type, version, node.domain).inputs)


def _pytorch_name(node: onnx.NodeProto, path: str, operand: str, layer: int) -> str:
    name = _WEIGHTS.get(node.op_type, {}).get(operand)
    if name is not None and node.name.endswith("Cell"):
        name = name.removesuffix("_l{}")  # nn.LSTMCell has no layers
    if name is not None and is_backward(node):
        name += "_reverse"
    if name is not None and (path or node.op_type in BY_NAME):
        return ".".join(part for part in (path, name.format(layer)) if part)
    return ".".join(part for part in (path, node.name.rpartition("/")[2], operand) if part)
