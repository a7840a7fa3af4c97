"""Markers: nodes of tidegate's own domain. A trace has them for layers that torch's exporter has no rule for.

No file contains one: `rewrites.projections`, `rewrites.loops`, `rewrites.single_steps`, `rewrites.frames` and
`rewrites.averages` replace them by standard operators.
"""

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.cells import BY_STEP, STANDARD

DOMAIN = "tidegate"
PROJECTION = f"{DOMAIN}::LSTM"  # reads X, h, c and the weights as torch lists them; gives Y, h, c
STEP_MARKERS = {kind: f"{DOMAIN}::{kind}Cell" for kind in BY_STEP}  # x, states, weights -> states
WRITTEN_STEP = f"{DOMAIN}::Step"  # x, states, weights as ONNX has them -> states; the operator and its attributes
PROJECTED = "projected"  # an attribute of such a step: the values of h, if it is an LSTM with projection
FRAMES = f"{DOMAIN}::Frames"  # samples -> frames of `length` samples, the first of them `before` the hop's first
STFT = "torch.stft"  # in the path of nodes with matrices that nobody trained; no module has a dot in its name
EARLIER = f"{DOMAIN}::Earlier"  # samples -> for each sample the one before
AVERAGE = f"{DOMAIN}::Average"  # frames and a start -> the running average at each frame; `momentum`
ALL_STEPS = (*STEP_MARKERS.values(), WRITTEN_STEP)


def is_marker(node: onnx.NodeProto, *names: str) -> bool:
    """Return whether a node is one of the named markers."""
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
