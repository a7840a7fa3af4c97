"""The recurrent cells, each described once: what ONNX, PyTorch and the engine call its gates, states and weights.

Export, quantization, lowering, inspection and benchmarks read this table; it imports nothing of theirs. What a node
may change about its kind (the activations, a clip, coupled gates, the place of the reset gate) is in `CellOptions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class StateOperand:
    """A state that a recurrent node carries.

    Attributes:
        kind: `h` or `c`, as in the contract.
        input: Position of the initial value among the node's inputs.
        output: Position of the final value among the node's outputs.
    """

    kind: str
    input: int
    output: int


ACTIVATIONS: dict[str, tuple[tuple[float | None, ...], int]] = {
    "Sigmoid": ((), 2),
    "HardSigmoid": ((0.2, 0.5), 2),
    "Tanh": ((), 1),
    "Softsign": ((), 1),
    "Relu": ((), 0),
    "LeakyRelu": ((0.01,), 0),
    "ThresholdedRelu": ((None,), 0),  # the standard's default is 1, that of onnxruntime 0: so a node must give it
    "Elu": ((1.0,), 0),
    "Softplus": ((), 0),
    "Affine": ((None, None), 0),
    "ScaledTanh": ((None, None), 0),
}
"""The activation functions of recurrent nodes, in the order of their numbers in a plan, from 1: the defaults of alpha
and beta (None: a node must give them), and where their values are: 2 within [0, 1], 1 within [-1, 1], 0 anywhere."""


@dataclass(frozen=True)
class Activation:
    """An activation function of a recurrent node.

    Attributes:
        name: One of `ACTIVATIONS`.
        alpha: Its first number; 0 if it has none.
        beta: Its second number; 0 if it has none.
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    def is_within(self, bound: int) -> bool:
        """Return whether its values are within [-1, 1] (bound 1) or [0, 1] (bound 2)."""
        return ACTIVATIONS[self.name][1] >= bound


@dataclass(frozen=True)
class CellOptions:
    """What a recurrent node may change about its kind. Peepholes are weights, so they are not here.

    Attributes:
        activations: The functions in the order of ONNX: of the gates, of the candidate, of c.
        clip: The largest magnitude of the sums that the gates and the candidate are made from; 0: no limit.
        coupled: Whether the forget gate of an LSTM is 1 minus its input gate.
        reset_first: Whether the reset gate of a GRU multiplies h, and R multiplies the result. If not, it multiplies
            the product of R and h, as in PyTorch.
    """

    activations: tuple[Activation, ...]
    clip: float = 0.0
    coupled: bool = False
    reset_first: bool = False


@dataclass(frozen=True)
class CellKind:
    """One kind of recurrent cell.

    Attributes:
        name: Its name in messages and reports.
        operator: The ONNX operator of a layer.
        torch: The class of a layer in `torch.nn`; the class of one step has `Cell` at its end.
        gates: One letter for each gate, as ONNX calls and orders them; `y` for a cell without gates.
        torch_gates: The same letters in the order of PyTorch's weights.
        states: The states, h first.
        activations: The sets of activation functions that the node may have, ONNX's default first.
        attributes: Attributes that the node needs to compute the same as the layer of PyTorch.
        steps: What export calls one step of it, one name for each set of activations.
        signal: Position of the frames among the node's inputs.
        weights: Number of weight matrices: W, R and for a projected cell P. They follow X, and the bias follows them
            (of a projected cell in the form that `with_weights` gives).
        biases: 2 if ONNX keeps the bias of W x and the bias of R h apart, 1 if it has only their sum.
    """

    name: str
    operator: str
    torch: str
    gates: str
    torch_gates: str
    states: tuple[StateOperand, ...]
    activations: tuple[tuple[str, ...], ...]
    attributes: Mapping[str, object] = field(default_factory=dict, hash=False)
    steps: tuple[str, ...] = ()
    signal: int = 0
    weights: int = 2
    biases: int = 2

    @cached_property
    def plain(self) -> CellOptions:
        """The options of PyTorch's layer."""
        return CellOptions(tuple(map(Activation, self.activations[0])))

    @property
    def torch_places(self) -> tuple[int, ...]:
        """For each gate in ONNX's order its place among PyTorch's gates: 0, 3, 1, 2 for an LSTM."""
        return tuple(map(self.torch_gates.index, self.gates))

    @property
    def bias(self) -> int:
        """Position of the bias among the node's inputs."""
        return 1 + self.weights


_H, _C = StateOperand("h", 5, 1), StateOperand("c", 6, 2)

LSTM = CellKind(
    name="LSTM",
    operator="LSTM",
    torch="LSTM",
    gates="iofc",
    torch_gates="ifco",
    states=(_H, _C),
    activations=(("Sigmoid", "Tanh", "Tanh"),),
    steps=("LSTM",),
)
GRU = CellKind(
    name="GRU",
    operator="GRU",
    torch="GRU",
    gates="zrh",
    torch_gates="rzh",
    states=(_H,),
    activations=(("Sigmoid", "Tanh"),),
    attributes={"linear_before_reset": 1},
    steps=("GRU",),
)
RNN = CellKind(
    name="RNN",
    operator="RNN",
    torch="RNN",
    gates="y",
    torch_gates="y",
    states=(_H,),
    activations=(("Tanh",), ("Relu",)),
    steps=("Tanh", "Relu"),
)
PROJECTED_LSTM = CellKind(
    name="ProjectedLSTM",
    operator="Scan",  # ONNX has no operator for it: see `runtime.graph.projected_lstm`
    torch="LSTM",
    gates="iofc",
    torch_gates="ifco",
    states=(StateOperand("h", 0, 0), StateOperand("c", 1, 1)),
    activations=(("Sigmoid", "Tanh", "Tanh"),),
    signal=2,
    weights=3,
    biases=1,
)

STANDARD = {cell.operator: cell for cell in (LSTM, GRU, RNN)}
"""The cells that ONNX has an operator for, by its name, which is also the name of PyTorch's class."""

CELLS = {**STANDARD, PROJECTED_LSTM.operator: PROJECTED_LSTM}
"""All cells by the ONNX operator of their node."""

BY_NAME = {cell.name: cell for cell in CELLS.values()}

BY_STEP = {step: cell for cell in CELLS.values() for step in cell.steps}
