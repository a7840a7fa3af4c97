"""Facts about a model file for a person or a script: its layers, its contract, its backend. Nothing is run."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backends.native import NativeModel
from .cells import BY_NAME, GRU, PROJECTED_LSTM, STANDARD, CellKind
from .contract import Contract, Slot
from .errors import ContractError, ModelError
from .files import MAX_FILE_BYTES, read_bytes
from .load import compile_graph, naming
from .operators import OPERATORS, Backward, Cell, Folded, Window
from .operators.cells_with_options import FLOAT_CELLS
from .operators.matrix import FLOAT
from .plan import writer as plans
from .plan.magic import is_plan

if TYPE_CHECKING:  # a plan can be inspected without onnx
    import onnx

    from .graph.graph import Graph

CELL_KINDS = {plans.KINDS[op]: op.kind for op in OPERATORS if issubclass(op, Cell)}
COUNTS = 3  # the place of the counts among the fields after the kind
STATE_VECTORS = {plans.KINDS[Window]: 1}  # of one operation that is no layer


@dataclass(frozen=True)
class RecurrentLayer:
    """One recurrent layer.

    Attributes:
        name: The name of its node; in a plan the place of its h in the contract, e.g. `lstm.h_in[1]`.
        cell: LSTM, GRU or RNN.
        features: Features of its input; None if the weights are not constant.
        hidden: Units.
        direction: forward, reverse or bidirectional.
        weight_bits: Bits of W and R, the weights of its input and of its h; 32 for floats; None if the weights are
            not constant.
        groups: Inputs that share a scale in W and in R; 0: all inputs of an output channel, or floats; None as above.
        activation_bits: Bits of the engine's integers for its input and its h; 32 for floats; None if another backend
            runs the model.
        bytes: Bytes of weights, scales and bias.
        multiply_adds: Multiplications per frame.
        states: The places of its states in the contract, e.g. `lstm.h_in[1]`; without an index if the state has one
            entry.
        arithmetic: float or integer: the engine's arithmetic for this layer.
    """

    name: str
    cell: str
    features: int | None
    hidden: int
    direction: str
    weight_bits: tuple[int, int] | None
    groups: tuple[int, int] | None
    activation_bits: tuple[int, int] | None
    bytes: int
    multiply_adds: int | None
    states: tuple[str, ...] = ()
    arithmetic: str = "float"


@dataclass(frozen=True)
class Inspection:
    """A model file.

    Attributes:
        path: The file.
        kind: `onnx` or `plan`.
        bytes: Its size.
        contract: Its streaming contract; None if it has no valid one.
        features: Features of a frame; None if the file does not fix it.
        layers: Its recurrent layers in the order of the file.
        backend: The backend that runs it, e.g. `native (avx2)` or `onnxruntime`; None if none does.
        refusal: Why the engine does not run it; empty if it does.
    """

    path: str
    kind: str
    bytes: int
    contract: Contract | None
    features: int | None
    layers: tuple[RecurrentLayer, ...]
    backend: str | None
    refusal: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as values for JSON."""
        return asdict(self)


def inspect_file(path: str | os.PathLike[str]) -> Inspection:
    """Return the facts of an ONNX file or a compiled plan, without running it.

    Raises:
        ModelError: It is neither, is damaged, or has no recurrent layer.
        BackendError: TIDEGATE_ISA names an instruction set that this machine does not have.
        FileNotFoundError: There is no such file.
    """
    if is_plan(path):
        with naming(path):
            return _inspect_plan(os.fspath(path), read_bytes(path, MAX_FILE_BYTES))
    from .graph.graph import Graph

    return _inspect_graph(os.fspath(path), Graph.load(path))


# ---- plans ----


def _inspect_plan(path: str, plan: bytes) -> Inspection:
    model = NativeModel(plan)
    return Inspection(
        path, "plan", len(plan), model.contract, _input_width(plan), _plan_layers(plan, model.text.slots), model.backend
    )


def _input_width(plan: bytes) -> int:
    return plans.read_header(plan).input_width


def _plan_layers(plan: bytes, slots: Sequence[Slot]) -> tuple[RecurrentLayer, ...]:
    """Read the operations of a plan that the engine has checked."""
    header = plans.read_header(plan)
    left = iter(slots)
    layers = []
    for n in range(header.operations):
        kind, *record = plans.OP.unpack_from(plan, header.operations_at + plans.OP.size * n)
        number, *counts = record[COUNTS : COUNTS + 4]
        folded, backward = kind == plans.KINDS[Folded], kind == plans.KINDS[Backward]
        cell = FLOAT_CELLS[number - 1].kind if folded or backward else CELL_KINDS.get(kind)
        carried = counts[2] > 0 if folded else not backward
        vectors = len(cell.states) * carried if cell is not None else STATE_VECTORS.get(kind, 0)
        places = tuple(f"{slot.name}[{slot.index}]" for slot in islice(left, vectors))
        if cell is None:
            continue
        layer = _plan_layer(places[0] if places else f"operation {n}", cell, *record[11:14])
        arithmetic = "float" if OPERATORS[kind - 1].floats else "integer"
        layer = replace(layer, states=places, arithmetic=arithmetic)
        layers.append(replace(layer, direction="reverse") if backward else layer)
    return tuple(layers)


def _plan_layer(name: str, cell: CellKind, w: bytes, r: bytes, p: bytes) -> RecurrentLayer:
    own, projection = (
        (_plan_matrix(w), _plan_matrix(r)),
        _plan_matrix(p),
    )  # no rows: no projection
    (rows, features), (_, recurrent) = (matrix.shape for matrix in own)
    biases = 4 * (rows + recurrent if cell is GRU else rows)  # with the recurrent bias of the candidate
    size = sum(matrix.bytes for matrix in (*own, projection)) + biases
    bits, groups, read = zip(*((m.bits, m.group, m.activation_bits) for m in own), strict=True)
    projected, units = projection.shape
    products = rows * (features + recurrent) + projected * units
    return RecurrentLayer(name, cell.torch, features, units or recurrent, "forward", bits, groups, read, size, products)


def _plan_matrix(record: bytes) -> "_Weight":
    _, _, rows, columns, _, activation_bits, bits, group, _, _ = plans.MATRIX.unpack(record)
    if bits == FLOAT:
        return _Weight((rows, columns), bits, 0, 4 * rows * columns, FLOAT)
    groups = -(-columns // (group or columns or 1))
    return _Weight((rows, columns), bits, group, rows * (-(-columns * bits // 8) + 4 * groups), activation_bits)


# ---- ONNX ----


def _inspect_graph(path: str, graph: "Graph") -> Inspection:
    from .graph.projected_lstm import with_weights

    nodes = [with_weights(node) or node for node in graph.nodes]
    cells = [node for node in nodes if node.op_type in BY_NAME]
    layers = tuple(replace(_graph_layer(graph, node), states=_states(graph, node)) for node in cells)
    if not layers:
        seen = ", ".join(sorted({node.op_type for node in graph.nodes})[:8])
        raise ModelError(f"{path}: no recurrent node ({', '.join(STANDARD)}) in the graph, only {seen}")
    size = Path(path).stat().st_size
    try:
        contract = graph.contract
    except ContractError as error:
        return Inspection(path, "onnx", size, None, None, layers, None, str(error))
    try:
        plan = compile_graph(graph)
    except ModelError as error:
        features = _graph_features(graph, contract)
        return Inspection(path, "onnx", size, contract, features, layers, "onnxruntime", str(error))
    model = NativeModel(plan)
    pairs = zip(layers, _plan_layers(plan, model.text.slots), strict=True)
    known = tuple(
        replace(layer, activation_bits=run.activation_bits, arithmetic=run.arithmetic) for layer, run in pairs
    )
    return Inspection(path, "onnx", size, contract, _input_width(plan), known, model.backend)


def _graph_features(graph: "Graph", contract: Contract) -> int | None:
    """Return the size of the feature axis of the first input; None if it is not fixed."""
    port = contract.inputs[0]
    for value in graph.model.graph.input:
        if value.name == port.name:
            dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
            sizes = [d for axis, d in enumerate(dims) if axis not in (port.time_axis, port.batch_axis)]
            return sizes[0] or None if len(sizes) == 1 else None
    return None


def _graph_layer(graph: "Graph", node: "onnx.NodeProto") -> RecurrentLayer:
    from .graph.nodes import attributes

    given = attributes(node)
    direction = str(given.get("direction", "forward"))
    if node.op_type == PROJECTED_LSTM.name:
        return _projected_layer(graph, node)
    w, r, bias = (_weight(graph, name) for name in [*node.input[1:4], "", "", ""][:3])
    hidden = int(given.get("hidden_size", 0))
    features = w.shape[2] if w and len(w.shape) == 3 else None
    gates = len(BY_NAME[node.op_type].gates) * (2 if direction == "bidirectional" else 1)
    return RecurrentLayer(
        name=node.name or node.output[0],
        cell=node.op_type,
        features=features,
        hidden=hidden,
        direction=direction,
        weight_bits=(w.bits, r.bits) if w and r else None,
        groups=(w.group, r.group) if w and r else None,
        activation_bits=None,
        bytes=sum(weight.bytes for weight in (w, r, bias) if weight),
        multiply_adds=None if features is None else gates * hidden * (features + hidden),
    )


def _states(graph: "Graph", node: "onnx.NodeProto") -> tuple[str, ...]:
    """Return the graph inputs that a recurrent node starts from, with an index if a Split takes an entry."""
    inputs = {value.name for value in graph.model.graph.input}
    found = []
    for name in node.input[5:7]:
        row, seen = "", set[str]()
        while name not in inputs and name not in seen and (maker := graph.producer(name)) is not None:
            row = f"[{list(maker.output).index(name)}]" if maker.op_type == "Split" else row
            seen.add(name)
            name = maker.input[0] if maker.input else ""  # noqa: PLW2901  followed upwards
        found += [name + row] if name in inputs else []
    return tuple(found)


def _projected_layer(graph: "Graph", node: "onnx.NodeProto") -> RecurrentLayer:
    """Return the facts of an LSTM with projection; its matrices have the layout of MatMul."""
    w, r, p, bias = (_weight(graph, name) for name in node.input[1:5])
    known = w and r and p
    return RecurrentLayer(
        name=node.name or node.output[0],
        cell="LSTM",
        features=w.shape[0] if w else None,
        hidden=p.shape[0] if p else 0,
        direction="forward",
        weight_bits=(w.bits, r.bits) if w and r else None,
        groups=(w.group, r.group) if w and r else None,
        activation_bits=None,
        bytes=sum(weight.bytes for weight in (w, r, p, bias) if weight),
        multiply_adds=sum(math.prod(weight.shape) for weight in (w, r, p) if weight) if known else None,
    )


@dataclass(frozen=True)
class _Weight:
    """How a weight is stored: shape, bits, group and bytes, and the bits of its activations."""

    shape: tuple[int, ...]
    bits: int
    group: int
    bytes: int
    activation_bits: int = 0


def _weight(graph: "Graph", name: str) -> _Weight | None:
    """Return how a weight is stored; None if it is not constant."""
    node = graph.producer(name)
    parts = node.input[:2] if node is not None and node.op_type == "DequantizeLinear" else [name]
    arrays = [array for array in map(graph.constant, parts) if array is not None]
    if len(arrays) < len(parts):
        return None
    bits = [4 if "int4" in str(array.dtype) else 8 * array.dtype.itemsize for array in arrays]
    size = sum(-(-array.size * width // 8) for array, width in zip(arrays, bits, strict=True))
    shape = tuple(arrays[0].shape)
    block = next((a.i for a in node.attribute if a.name == "block_size"), 0) if node is not None else 0
    grouped = len(shape) > 0 and block < shape[-1]
    return _Weight(shape, bits[0], block if grouped else 0, size)
