"""Markers: nodes of tidegate's own domain. A trace has them for layers that torch's exporter has no rule for.

No file contains one: `rewrites.projections` and `rewrites.loops` replace them by standard operators.
"""

import numpy as np
import onnx

from ...runtime.arrays import Array

DOMAIN = "tidegate"
PROJECTION = f"{DOMAIN}::LSTM"  # reads X, h, c and the weights as torch lists them; gives Y, h, c
CELLS = {kind: f"{DOMAIN}::{kind}Cell" for kind in ("LSTM", "GRU", "Tanh", "Relu")}  # x, states, weights -> states

_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}  # places of torch's gates, in the order of ONNX's


def is_marker(node: onnx.NodeProto, *names: str) -> bool:
    """Return whether a node is one of the named markers."""
    return node.domain == DOMAIN and f"{DOMAIN}::{node.op_type}" in names


def in_onnx_order(rows: Array, operator: str) -> Array:
    """Return the rows of a weight or bias of torch with their gates in the order of the ONNX operator."""
    gates = np.split(rows, len(_GATES[operator]))
    return np.concatenate([gates[place] for place in _GATES[operator]])


def forget_markers(model: onnx.ModelProto) -> None:
    """Drop the import of the markers' domain, in place."""
    kept = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
