"""The trace follows each value of a streaming graph: what its axes count, where each state goes.

Transposes, squeezes, and splits and joins of states are resolved here, once, when a model is lowered. So they cost
nothing at run time.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx

from ..arrays import Array
from ..clocks import Clock
from ..contract import Port, State, features_of_ids
from ..errors import ContractError, UnsupportedError
from ..graph.graph import Graph
from ..graph.nodes import attributes, is_standard, label
from ..operators import (
    HIDDEN,
    Align,
    Backward,
    BlockStart,
    Constant,
    Last,
    LastCell,
    Operator,
    Slot,
    Static,
    is_hidden,
)
from ..operators.matrix import Reading
from ..program import Program
from .values import (
    BATCH,
    FEATURE,
    ONE,
    TIME,
    Activations,
    AxisSizes,
    Carried,
    CellOf,
    Final,
    Grid,
    Ids,
    Signal,
    Value,
    steady_axes,
)

MOST_FEATURES = 16384  # of a frame of any value, as in kernels/src/plan.h
MOST_OPERATIONS = 1024  # of a program, as there
MOST_SHARED = 2**26  # bytes of weights, besides eight times the file, that nodes share: a plan has them for each node

Handler = Callable[["Trace", onnx.NodeProto], list[Value]]
AnswerOf = Callable[["Trace", Port], tuple[int, tuple[int, ...]]]


ONNXRUNTIME = "use backend='onnxruntime'"
EXPORT_AGAIN = "no backend runs that; export the model again"
LIFT = "lift it with `tidegate lift`"
ONE_SIGNAL = "join them into one [batch, frames, features], and take it apart in the model"
KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # of operators that onnxruntime may have


def unsupported(node: onnx.NodeProto, why: str, way_out: str = ONNXRUNTIME) -> UnsupportedError:
    """Return the error for a node that the engine cannot run, and what to do instead."""
    return UnsupportedError(f"{label(node)}: {why}; {way_out}")


class Trace:
    """One walk over a graph: its values by name, and the operations emitted so far.

    Args:
        graph: A streaming graph.
        handlers: For each operator a function that makes its outputs from a trace and a node.
        activations: How the activations of quantized weights become integers, by the name of the weight; 16 bits for
            other weights.

    Raises:
        ContractError: The contract is missing or does not fit the graph.
    """

    def __init__(self, graph: Graph, handlers: Mapping[str, Handler], activations: Mapping[str, Activations]) -> None:
        self.graph = graph
        self.values: dict[str, Value] = {}
        self._names: dict[int, list[str]] = defaultdict(list)  # by value of the program: the names of its tensors
        self.ops: list[Operator] = []
        self._nodes: list[str] = []  # for each operation the first output of its node
        self._node = ""
        self.ids = False  # whether the input is ids
        self.frame: tuple[int, ...] = ()  # the shape of a frame of the input, if it has several axes
        self.widths: list[int] = []
        self.clocks = [Clock()]
        self._handlers = handlers
        self.activations = activations
        self._inputs = {value.name: value for value in graph.model.graph.input}
        self._contract = graph.contract
        self._shapes = {state.input: state.shape for state in self._contract.states}
        self.blocks = self._contract.blocks
        self.features_of_ids = features_of_ids(self._contract.pieces)
        self._taken: set[Slot] = set()  # the states from which a node starts
        self._hidden: set[int] = set()  # the values that are an h within (-1, 1)
        self.moved: dict[tuple[int, bytes], int] = {}  # by value and order of its features: the value in that order
        self.room = 8 * graph.model.ByteSize() + MOST_SHARED  # bytes that weights of nodes to come may take
        self.windows: dict[Slot, int] = {}  # by tail: the value with the frames of a push and those before
        self.laid: dict[str, Array] = {}  # constants in the order of a value, while a node is lowered
        self._steady: set[int] = set()  # the values that are the same in each frame of a push
        self.answered = graph.sources_of([port.name for port in self._contract.outputs])

    def run(self, answer_of: AnswerOf) -> Program:
        """Visit the nodes in order and return the program.

        Args:
            answer_of: Returns the value of an output, and the sizes of one answer.
        """
        self.ids = self._input_holds_ids()
        self.widths.append(self._bind_input())
        self._bind_states()
        for node in self.graph.nodes:
            if self.graph.constant(node.output[0]) is None:
                self._visit(node)
        self._check_states()
        answers = {port.name: answer_of(self, port) for port in self._contract.outputs}
        outputs = tuple((name, value) for name, (value, _) in answers.items())
        shapes = {name: shape for name, (value, shape) in answers.items() if shape != (self.widths[value],)}
        used = any(isinstance(op, Backward) for op in self.ops)
        blocks, nodes = self.blocks if used else None, tuple(self._nodes)
        program = Program(
            self.widths[0], tuple(self.ops), outputs, self.ids, blocks, nodes, shapes=shapes, frame=self.frame
        )
        self._check_lookahead(program)
        return replace(program, frame=self.frame)

    # ---- for handlers ----

    def signal(self, node: onnx.NodeProto, position: int = 0, *, ids: bool = False) -> Signal:
        """Return an input of a node as a signal; a final h becomes the last frame of its layer. Refuse other inputs.

        Args:
            node: The node that reads it.
            position: The position of the input.
            ids: Whether ids are allowed; else they are refused.
        """
        value = self.values.get(node.input[position])
        signal = self.resolved(value)
        if isinstance(value, Grid):
            raise unsupported(
                node, f"its input {node.input[position]!r} has several axes inside a frame, wanted one axis of features"
            )
        if isinstance(signal, Ids) and not ids:
            raise unsupported(node, f"it computes with the ids {node.input[position]!r}; the engine only looks ids up")
        if signal is None:
            raise unsupported(node, f"its input {node.input[position]!r} is not a signal that the engine can follow")
        return signal

    def resolved(self, value: Value | None) -> Signal | None:
        """Return a value as a signal, the last frame of its layer if it is a final h; None for other values."""
        if isinstance(value, Final) and len(value.values) == 1 and value.values[0] is not None:
            made = value.values[0]
            if isinstance(made, CellOf):
                return Signal(self.emit(LastCell((made.value,), made.units)), value.axes)
            if value.slots[0] == HIDDEN and self.blocks is not None:
                made = self.emit(BlockStart((made,), self.blocks))
            return Signal(self.emit(Last((made,))), value.axes)
        return value if isinstance(value, Signal) else None

    def constant(self, node: onnx.NodeProto, position: int) -> Array | None:
        """Return an input of a node if it is constant, else None."""
        name = node.input[position] if position < len(node.input) else ""
        return self.laid.get(name, self.graph.constant(name)) if name else None

    def integers(self, node: onnx.NodeProto, position: int, attribute: str) -> list[int] | None:
        """Return a constant integer input, or the attribute that older operator sets have instead."""
        values = self.constant(node, position)
        sizes = self.values.get(node.input[position]) if position < len(node.input) else None
        if isinstance(sizes, AxisSizes):
            return sizes.numbers()
        if values is not None:
            return [int(v) for v in np.atleast_1d(values)]
        listed = attributes(node).get(attribute)
        return None if listed is None else list(listed)

    def emit(self, op: Operator) -> int:
        """Append an operation and return the number of its value. An input that comes early waits for the other."""
        if len(op.inputs) == 2 and not isinstance(op, Align):
            op = replace(op, inputs=self._together(*op.inputs))
        if len(self.ops) == MOST_OPERATIONS:
            raise UnsupportedError(
                f"the node of {self._node!r}: it is one operation more than the {MOST_OPERATIONS} that the engine "
                "takes; use backend='onnxruntime'"
            )
        self.ops.append(op)
        self._nodes.append(self._node)
        self.widths.append(op.width(self.widths))
        if self.widths[-1] > MOST_FEATURES:
            raise UnsupportedError(
                f"the node of {self._node!r}: it makes {self.widths[-1]} features per frame, the engine takes at most "
                f"{MOST_FEATURES}; use backend='onnxruntime'"
            )
        self.clocks.append(op.clock(self.clocks))
        if self._makes_hidden(op):
            self._hidden.add(len(self.ops))
        if self._makes_steady(op):
            self._steady.add(len(self.ops))
        return len(self.ops)

    def ahead(self, node: onnx.NodeProto) -> int:
        """Return the frames that a convolution looks ahead according to the contract."""
        return next((late.frames for late in self._contract.ahead if late.node == node.name), 0)

    def is_steady(self, signal: Signal) -> bool:
        """Return whether a signal has no time axis and is the same in each frame: a constant or a static input."""
        return signal.value in self._steady and TIME not in signal.axes

    def last(self, signal: Signal) -> Signal:
        """Return a signal without a time axis as a value of the last frame."""
        return replace(signal, value=self.emit(Last((signal.value,)))) if self.is_steady(signal) else signal

    def reading(self, value: int) -> Reading:
        """Return how a matrix turns a value into integers: HIDDEN for an h within (-1, 1), else FRAME."""
        return Reading.HIDDEN if value in self._hidden else Reading.FRAME

    def state_shape(self, slot: Slot) -> tuple[int | str, ...]:
        """Return the shape of the state of a slot."""
        return self._shapes[slot.name]

    def take(self, node: onnx.NodeProto, slot: Slot, *sizes: int) -> Slot:
        """Return the state from which a node starts, of these sizes (last axes). A state belongs to one node."""
        shape = self.state_shape(slot)
        if tuple(size for size in shape if isinstance(size, int))[-len(sizes) :] != sizes:
            wanted = " x ".join(map(str, sizes))
            raise unsupported(node, f"its state {slot.name!r} has shape {shape}, wanted {wanted} values last")
        if slot in self._taken:
            raise unsupported(node, f"it starts from entry {slot.index} of {slot.name!r}, as another node does")
        self._taken.add(slot)
        return slot

    def readers(self, value: int) -> int:
        """Return how many nodes and graph outputs read a value, under all its names."""
        names = self._names[value]
        outputs = sum(map(self.graph.is_output, names))
        return sum(len(self.graph.consumers(name)) for name in names) + outputs - (len(names) - 1)

    # ---- inside ----

    def _makes_hidden(self, op: Operator) -> bool:
        passed = {Last: 0, BlockStart: 0, Align: 1}.get(type(op))
        return is_hidden(op) if passed is None else op.inputs[passed] in self._hidden

    def _makes_steady(self, op: Operator) -> bool:
        if isinstance(op, Constant | Static):
            return True
        return not isinstance(op, Last | LastCell) and not op.initial() and self._steady.issuperset(op.inputs)

    def _together(self, first: int, second: int) -> tuple[int, int]:
        """Return two values whose frames come together: the earlier one waits for the other."""
        clocks = self.clocks[first], self.clocks[second]
        if clocks[0] == clocks[1]:
            return first, second
        if clocks[0].leads(clocks[1]):
            return self._waiting(first, second), second
        if clocks[1].leads(clocks[0]):
            return first, self._waiting(second, first)
        raise UnsupportedError(
            "two branches look ahead, and neither can wait for the other; let only one of them look ahead, "
            "or put one after the other"
        )

    def _waiting(self, value: int, later: int) -> int:
        """Return a value that is delayed to come with a later one."""
        timed = [_has_frames(self.ops, v) for v in (value, later)]
        if all(timed):
            return self.emit(Align((later, value)))
        frames = None if any(timed) else [self._with_frames(v) for v in (value, later)]
        if frames is None or None in frames:
            raise UnsupportedError(
                "a value of only the last frame is joined with one that looks ahead; join them before the last frame "
                "is taken, or use backend='onnxruntime'"
            )
        early, late = (v for v in frames if v is not None)
        return self.emit(Last((self.emit(Align((late, early))),)))

    def _with_frames(self, value: int) -> int | None:
        """Return the frames of which a value is the last; None if it is no last frame, or made of one by weights."""
        op = self.ops[value - 1] if value else None
        if op is None or isinstance(op, LastCell) or op.record().matrices or op.slots:
            return None
        if isinstance(op, Last):
            return op.inputs[0]
        inputs = tuple(self._with_frames(v) for v in op.inputs)
        return None if None in inputs else self.emit(replace(op, inputs=tuple(v for v in inputs if v is not None)))

    def _check_lookahead(self, program: Program) -> None:
        """Check that the contract gives the lookahead of the program."""
        lags = [program.clocks[value].lag(program.blocks) for _, value in program.outputs]
        lookahead = None if None in lags else max(lag for lag in lags if lag is not None)
        if lookahead != self._contract.lookahead:
            raise ContractError(
                f"contract: lookahead is {self._contract.lookahead}, the graph says {lookahead}; export the model again"
            )

    def _visit(self, node: onnx.NodeProto) -> None:
        handler = self._handlers.get(node.op_type) if is_standard(node) else None
        if handler is None:
            known = node.domain in KNOWN_DOMAINS
            way_out = ONNXRUNTIME if known else f"{node.domain!r} is no domain of ONNX or onnxruntime: export it again"
            raise unsupported(node, "the engine does not have this operator", way_out)
        self._node = node.output[0]
        results = handler(self, node)
        for name, value in zip(node.output, results, strict=False):
            self._bind(name, value)

    def _bind(self, name: str, value: Value) -> None:
        """Give a value its name in the graph."""
        self.values[name] = value
        if isinstance(value, Signal | Grid):
            self._names[value.value].append(name)

    def _dimensions(self, name: str, what: str) -> list[int]:
        if name not in self._inputs:
            raise ContractError(f"contract: {what} {name!r} is not an input of the graph")
        return [d.dim_value for d in self._inputs[name].type.tensor_type.shape.dim]

    def _bind_states(self) -> None:
        for state in self._contract.states:
            self._dimensions(state.input, "state")
            static = state.kind == "static"
            self._bind(state.input, self._static(state) if static else Carried(_slots(state)))

    def _static(self, state: State) -> Signal:
        """Return a static input as a value of each frame."""
        (slot, *others), axes = _slots(state), steady_axes(state.shape)
        if others or axes.count(FEATURE) != 1:
            raise UnsupportedError(
                f"static input {state.input!r} has shape {state.shape}, the engine takes one vector of features, "
                "[batch, features]; use backend='onnxruntime'"
            )
        self._node = state.input
        self._taken.add(slot)
        return Signal(self.emit(Static((0,), slot, prod(state.concrete_shape()))), axes)

    def _input_holds_ids(self) -> bool:
        names = {port.name for port in self._contract.inputs}
        types = [v.type.tensor_type.elem_type for v in self.graph.model.graph.input if v.name in names]
        return any(kind in (onnx.TensorProto.INT32, onnx.TensorProto.INT64) for kind in types)

    def _bind_input(self) -> int:
        ports = self._contract.inputs
        if len(ports) != 1:
            raise UnsupportedError(f"{len(ports)} signal inputs, a stream takes one; {ONE_SIGNAL}")
        name, kinds = ports[0].name, {ports[0].time_axis: TIME, ports[0].batch_axis: BATCH}
        sizes = self._dimensions(name, "input")
        axes = tuple(kinds.get(a, FEATURE) for a in range(len(sizes)))
        if self.ids and axes.count(TIME) == 1 and FEATURE not in axes:
            self._bind(name, Ids(0, axes))
            return 1
        if axes.count(TIME) != 1 or FEATURE not in axes:
            raise UnsupportedError(
                f"input {name!r} has axes ({', '.join(axes)}), the engine takes time, features (for ids: "
                "none) and at most a batch; use backend='onnxruntime'"
            )
        frame = [size for size, axis in zip(sizes, axes, strict=True) if axis == FEATURE]
        if min(frame) < 1:
            raise ContractError(f"input {name!r} has no fixed number of features; export the model again")
        self._bind(name, _input(axes, sizes, frame))
        self.frame = tuple(frame) if len(frame) > 1 else ()
        return prod(frame)

    def _check_states(self) -> None:
        """Check that every state output is the final state of the node that starts from its input."""
        for state in self._contract.states:
            final = self.values.get(state.output)
            if state.kind == "static" and final == self.values[state.input]:
                continue
            if not isinstance(final, Final) or final.slots != _slots(state) or not self._taken.issuperset(final.slots):
                raise ContractError(
                    f"contract: state output {state.output!r} does not come from the layers that read "
                    f"{state.input!r}; export the model again"
                )


def _input(axes: tuple[str, ...], sizes: list[int], frame: list[int]) -> Signal | Grid:
    """Return the input of a program: a vector, or a frame of several axes."""
    shape = [size if axis == FEATURE else 1 for size, axis in zip(sizes, axes, strict=True)]
    wide = [i for i, size in enumerate(shape) if size > 1]
    kept = wide or [axes.index(FEATURE)]
    own = tuple(ONE if axis == FEATURE and i not in kept else axis for i, axis in enumerate(axes))
    return Grid(0, own, np.arange(prod(frame)).reshape(shape)) if len(wide) > 1 else Signal(0, own)


def _has_frames(ops: Sequence[Operator], value: int) -> bool:
    """Return whether a value has a time axis."""
    return Program(1, tuple(ops), ()).timed(value)


def _slots(state: State) -> tuple[Slot, ...]:
    return tuple(Slot(state.input, row) for row in range(state.concrete_shape()[0]))
