"""Small ONNX graphs from a list of nodes, and their values in ONNX's reference evaluator."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tidegate.runtime.arrays import Array

Dims = Sequence[int | str | None]


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Dims],
    outputs: Sequence[str],
    tensors: Mapping[str, object] | None = None,
    *,
    opset: int = 20,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return a model, not checked.

    Args:
        nodes: Its nodes.
        inputs: The shapes of its float32 inputs.
        outputs: The names of its outputs, of any shape.
        tensors: The values of its initializers.
        opset: The standard operator set.
        domains: Further domains to import.
    """
    ins = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name, dims in inputs.items()]
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    weights = [numpy_helper.from_array(np.asarray(values), name) for name, values in (tensors or {}).items()]
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    graph = helper.make_graph(list(nodes), "made", ins, outs, weights)
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs of a model by name."""
    names = [output.name for output in model.graph.output]
    values = ReferenceEvaluator(model).run(names, dict(feeds))
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def floats(*shape: int, seed: int = 0) -> Array:
    """Return float32 noise of a shape, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
