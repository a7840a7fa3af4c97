"""Markers: nodes of a domain of our own that stand in a trace for what torch's exporter has no rule for.

None is left in a file: `projection` and `loops` put standard operators in their place.
"""

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.cells import BY_STEP, STANDARD

DOMAIN = "tidegate"
PROJECTION = f"{DOMAIN}::LSTM"  # reads X, h, c and the weights as torch lists them; gives Y, h, c
STEP_MARKERS = {kind: f"{DOMAIN}::{kind}Cell" for kind in BY_STEP}  # x, states, weights -> states


def is_marker(node: onnx.NodeProto, *names: str) -> bool:
    """Return whether a node is one of these markers."""
    return node.domain == DOMAIN and f"{DOMAIN}::{node.op_type}" in names


def in_onnx_order(rows: Array, operator: str) -> Array:
    """Return the rows of a weight or bias of torch with their gates in the order of the ONNX operator."""
    places = STANDARD[operator].torch_places
    gates = np.split(rows, len(places))
    return np.concatenate([gates[place] for place in places])


def forget_markers(model: onnx.ModelProto) -> None:
    """Drop the import of the markers' domain, in place."""
    kept = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
