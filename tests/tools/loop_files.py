"""Foreign files whose recurrent layers are Loop or Scan nodes, with a step in small operators as in tf2onnx."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from tools.foreign_files import ForeignFile

FEATURES, UNITS = 5, 6
Cell = Callable[["Body", str, Sequence[str]], list[str]]


class Body(ForeignFile):
    """The body of a Loop or Scan; its constants are values of the graph around it.

    Args:
        outside: The graph around it.
    """

    def __init__(self, outside: ForeignFile) -> None:
        super().__init__(outside.opset)
        self.outside = outside

    def add(self, op: str, inputs: Sequence[str], *outputs: str, **options: Any) -> str:  # noqa: ANN401  attributes
        outputs = outputs or (f"body/{op.lower()}_{len(self.nodes)}",)
        options |= {"num_outputs": len(outputs)} if op == "Split" and self.opset >= 18 else {}
        return super().add(op, inputs, *outputs, **{"name": f"body/{op}_{len(self.nodes)}", **options})

    def constant(self, values: object, name: str = "") -> str:
        return self.outside.constant(values, name)

    def weight(self, *shape: int, name: str = "") -> str:
        return self.outside.weight(*shape, name=name)

    def number(self, value: float) -> str:
        """Return the name of a constant scalar."""
        return self.constant(np.float32(value))

    def graph(self) -> onnx.GraphProto:
        """Return the body."""
        return helper.make_graph(self.nodes, "body", self.inputs, self.outputs, self.tensors)


def lstm(body: Body, x: str, states: Sequence[str]) -> list[str]:
    """Return h and c of TensorFlow's BasicLSTMCell: one Gemm, gates i, c, f, o, a bias of the forget gate."""
    h, c = states
    joined = body.add("Concat", [x, h], axis=1)
    gates = body.add("Gemm", [joined, body.weight(FEATURES + UNITS, 4 * UNITS), body.weight(4 * UNITS)])
    i, g, f, o = (f"gate_{letter}" for letter in "igfo")
    body.add("Split", [gates], i, g, f, o, axis=1)
    forget = body.add("Sigmoid", [body.add("Add", [f, body.number(1.0)])])
    kept = body.add("Mul", [c, forget])
    added = body.add("Mul", [body.add("Sigmoid", [i]), body.add("Tanh", [g])])
    next_c = body.add("Add", [kept, added])
    return [body.add("Mul", [body.add("Tanh", [next_c]), body.add("Sigmoid", [o])]), next_c]


def gru(body: Body, x: str, states: Sequence[str], *, after: bool = False, activation: str = "Tanh") -> list[str]:
    """Return h of Keras's GRU: kernel and recurrent kernel of z, r and h side by side."""
    (h,) = states
    own = body.add("Add", [body.add("MatMul", [x, body.weight(FEATURES, 3 * UNITS)]), body.weight(3 * UNITS)])
    x_z, x_r, x_h = (f"x_{letter}" for letter in "zrh")
    body.add("Split", [own], x_z, x_r, x_h, axis=1)
    width = 3 * UNITS if after else 2 * UNITS
    inner = body.add("MatMul", [h, body.weight(UNITS, width)])
    inner = body.add("Add", [inner, body.weight(width)]) if after else inner
    parts = [f"inner_{letter}" for letter in ("zrh" if after else "zr")]
    body.add("Split", [inner], *parts, axis=1)
    z, r = (body.add("Sigmoid", [body.add("Add", [a, b])]) for a, b in zip((x_z, x_r), parts, strict=False))
    reset = (
        body.add("Mul", [r, parts[2]])
        if after
        else body.add("MatMul", [body.add("Mul", [r, h]), body.weight(UNITS, UNITS)])
    )
    new = body.add(activation, [body.add("Add", [x_h, reset])])
    rest = body.add("Mul", [body.add("Sub", [body.number(1.0), z]), new])
    return [body.add("Add", [body.add("Mul", [z, h]), rest])]


def hard_gru(body: Body, x: str, states: Sequence[str]) -> list[str]:
    """Return h of Keras's GRU with recurrent_activation="hard_sigmoid"; each product takes a part of a kernel."""
    (h,) = states
    kernel, recurrent = body.weight(FEATURES, 3 * UNITS), body.weight(UNITS, 3 * UNITS)

    def product(value: str, weights: str, gate: int) -> str:
        bounds = [body.axes(gate * UNITS), body.axes((gate + 1) * UNITS), body.axes(1)]
        return body.add("MatMul", [value, body.add("Slice", [weights, *bounds])])

    def hard(gate: int) -> str:
        both = body.add("Add", [product(x, kernel, gate), product(h, recurrent, gate)])
        line = body.add("Add", [body.add("Mul", [both, body.number(0.2)]), body.number(0.5)])
        return body.add("Clip", [line, body.number(0), body.number(1)])

    z, r = hard(0), hard(1)
    inner = product(body.add("Mul", [r, h]), recurrent, 2)
    new = body.add("Tanh", [body.add("Add", [product(x, kernel, 2), inner])])
    kept = body.add("Mul", [z, h])
    return [body.add("Add", [kept, body.add("Mul", [body.add("Sub", [body.number(1), z]), new])])]


def rnn(body: Body, x: str, states: Sequence[str], *, activation: str = "Tanh") -> list[str]:
    """Return h of Keras's SimpleRNN."""
    (h,) = states
    own = body.add("Add", [body.add("MatMul", [x, body.weight(FEATURES, UNITS)]), body.weight(UNITS)])
    return [body.add(activation, [body.add("Add", [own, body.add("MatMul", [h, body.weight(UNITS, UNITS)])])])]


CELLS: dict[str, tuple[Cell, int]] = {"LSTM": (lstm, 2), "GRU": (gru, 1), "RNN": (rnn, 1)}
"""Cells, and the number of their states."""


def scan(
    cell: Cell = lstm,
    states: int = 2,
    *,
    time_axis: int = 0,
    batch: int = 1,
    last: bool = False,
    **options: Any,  # noqa: ANN401
) -> onnx.ModelProto:
    """Return a Scan over x, `[time, batch, 5]`, or `[batch, time, 5]` for time axis 1; it counts its steps.

    Args:
        cell: The step.
        states: The number of its states.
        time_axis: The axis of time in x and y.
        batch: The number of streams.
        last: Whether the file answers only after the last frame.
        options: Further attributes of the Scan.
    """
    file = ForeignFile(17)
    dims: list[int | str] = [batch, "time", FEATURES] if time_axis else ["time", batch, FEATURES]
    x = file.input("x", dims)
    body = Body(file)
    body.input("step_count", [], TensorProto.INT32)
    inside = [body.input(f"state_{i}", [batch, UNITS]) for i in range(states)]
    frame = body.input("frame", [batch, FEATURES])
    count = body.add("Add", ["step_count", file.constant(np.int32(1))])
    following = cell(body, frame, inside)
    answer = body.add("Identity", [following[0]])
    body.outputs = [helper.make_tensor_value_info(count, TensorProto.INT32, [])]
    for name in (*following, *([] if last else [answer])):
        body.output(name, [batch, UNITS])
    zeros = file.constant(np.zeros((batch, UNITS), np.float32))
    finals = [f"final_{i}" for i in range(states)]
    if time_axis:
        options |= {"scan_input_axes": [1]} | ({} if last else {"scan_output_axes": [1]})
    file.add(
        "Scan",
        [file.constant(np.int32(0)), *[zeros] * states, x],
        "steps",
        *finals,
        *([] if last else ["answers"]),
        name="rnn/scan",
        body=body.graph(),
        num_scan_inputs=1,
        **options,
    )
    file.head(finals[0] if last else "answers", UNITS, 3, "y")
    file.output("y", [batch, 3] if last else [*dims[:2], 3])
    return file.model()


@dataclass(frozen=True)
class LoopForm:
    """How a Loop is written.

    Attributes:
        batch: The number of streams.
        frames: The number of frames.
        sequences: Whether each frame is answered.
        condition: "both" compares two counters with the number of frames, "floats" one of them as floats, as tf2onnx
            does; "given" hands the condition on, "true" is constant.
        backward: Whether it reads from the last frame to the first, and answers in the order of its steps.
        reads: "scalar" gathers a frame, "list" gathers a list of one frame, "slice" and "sequence" take it otherwise.
        writes: Where its answers go: "scan" is the Loop's own output; "sequence", "joined" and "filled" are carried.
        mask: Which frames keep the state: "computed" those of zeros; "layer" the same as Keras writes its Masking and
            a layer after it, which repeats the answer before; "ones" none, by a constant; "given" those that an input
            of the file says; "" has no mask.
        stateful: Whether the states are inputs and outputs of the file, as those of a stateful layer are.
    """

    batch: int | str = "batch"
    frames: int | str = "time"
    sequences: bool = True
    condition: str = "both"
    backward: bool = False
    reads: str = "scalar"
    writes: str = "scan"
    mask: str = ""
    stateful: bool = False


def loop(cell: Cell = gru, states: int = 1, **form: Any) -> onnx.ModelProto:  # noqa: ANN401  of LoopForm
    """Return a Loop over x, `[batch, time, 5]`, as tf2onnx writes a Keras layer: it gathers frames by a counter.

    Args:
        cell: The step.
        states: The number of its states.
        form: The fields of LoopForm.
    """
    return LoopWriter(LoopForm(**form)).model(cell, states)


class LoopWriter:
    """A file with a Loop, under construction.

    Args:
        form: How it is written.
    """

    def __init__(self, form: LoopForm) -> None:
        self.form, self.file = form, ForeignFile(17)
        self.x = self.file.add("Transpose", [self.file.input("x", [form.batch, form.frames, FEATURES])], perm=[1, 0, 2])
        self.sizes = self.file.add("Shape", [self.x])
        self.length = self.file.add("Gather", [self.sizes, self.file.constant(np.int64(0))], axis=0)
        self.short = self.file.add("Cast", [self.length], to=TensorProto.INT32)
        self.body = Body(self.file)

    def model(self, cell: Cell, states: int) -> onnx.ModelProto:
        """Return the file."""
        body, shape = self.body, [self.form.batch, UNITS]
        body.input("iteration", [], TensorProto.INT64)
        body.input("going", [], TensorProto.BOOL)
        time = body.input("counter", [], TensorProto.INT32)
        inside = [body.input(f"state_{i}", shape) for i in range(states)]
        mask = self._mask() if self.form.mask else ""  # of the layer: before the frames, which it changes
        following = cell(body, self._frame(time), inside)
        if self.form.mask == "layer":
            inside.append(body.input("answer_before", shape))
            following.append(following[0])
        if mask:
            kept = body.add("Gather", [mask, time], axis=0)
            kept = body.add("Tile", [kept, self.file.axes(1, UNITS)]) if self.form.mask == "layer" else kept
            following = [body.add("Where", [kept, new, old]) for new, old in zip(following, inside, strict=True)]
        later = body.add("Add", [time, self.file.constant(np.int32(1))])
        answer = body.add("Identity", [following[-1 if self.form.mask == "layer" else 0]])
        body.outputs = [
            helper.make_tensor_value_info(self._condition(later), TensorProto.BOOL, []),
            helper.make_tensor_value_info(later, TensorProto.INT32, []),
        ]
        for name in following:
            body.output(name, shape)
        carried = self._write(answer, time)
        answers = self._loop(states, len(inside) - states, carried)
        value = answers if self.form.sequences else "final_0"
        self.file.head(value, UNITS, 3, "y")
        self.file.output("y", [self.form.batch, self.form.frames, 3] if self.form.sequences else [self.form.batch, 3])
        for i in range(states if self.form.stateful else 0):
            self.file.output(self.file.add("Identity", [f"final_{i}"], f"next_memory_{i}"), shape)
        return self.file.model()

    def _mask(self) -> str:
        """Return a mask `[time, batch, 1]`."""
        file = self.file
        if self.form.mask == "ones":
            return file.constant(np.ones((int(self.form.frames), int(self.form.batch), 1), np.bool_))
        if self.form.mask == "given":
            given = file.input("mask", [self.form.batch, self.form.frames], TensorProto.BOOL)
            return file.add("Unsqueeze", [file.add("Transpose", [given], perm=[1, 0]), file.axes(2)])
        if self.form.mask == "layer":
            return self._masking()
        loud = file.add("ReduceMax", [file.add("Abs", [self.x])], axes=[2], name="model/masking/any")
        return file.add("Greater", [loud, file.constant(np.float32(0))])

    def _masking(self) -> str:
        """Mask the frames whose features are all 0, as a Masking layer does; return the mask `[time, batch, 1]`."""
        file, name = self.file, "model/masking"
        other = file.add("Not", [file.add("Equal", ["x", file.constant(np.float32(0))])], name=f"{name}/NotEqual")
        count = [file.add("Cast", [other], to=TensorProto.FLOAT), file.axes(-1)]
        counts = file.add("ReduceSum", count, keepdims=1)
        mask = file.add("Greater", [counts, file.constant(np.float32(0))], f"{name}/Any:0", name=f"{name}/Any")
        kept = file.add("Mul", ["x", file.add("Cast", [mask], to=TensorProto.FLOAT)], name=f"{name}/mul")
        self.x = file.add("Transpose", [kept], perm=[1, 0, 2])
        listed = file.add("Unsqueeze", [file.squeezed(mask, 2), file.axes(-1)])
        return file.add("Transpose", [listed], perm=[1, 0, 2])

    def _frame(self, time: str) -> str:
        """Return the frame of a step."""
        body = self.body
        if self.form.backward:
            time = body.add("Sub", [body.add("Sub", [self.short, self.file.constant(np.int32(1))]), time])
        if self.form.reads == "scalar":
            return body.add("Gather", [self.x, time], axis=0)
        if self.form.reads == "sequence":
            parts = self.file.add("SplitToSequence", [self.x], axis=0, keepdims=0)
            return body.add("SequenceAt", [parts, body.add("Cast", [time], to=TensorProto.INT64)])
        listed = body.add("Unsqueeze", [body.add("Cast", [time], to=TensorProto.INT64), self.file.axes(0)])
        if self.form.reads == "list":
            return body.squeezed(body.add("Gather", [self.x, listed], axis=0), 0)
        end = body.add("Add", [listed, self.file.axes(1)])
        return body.squeezed(body.add("Slice", [self.x, listed, end, self.file.axes(0)]), 0)

    def _condition(self, later: str) -> str:
        """Return the name of the body's condition."""
        body = self.body
        if self.form.condition == "given":
            return body.add("Identity", ["going"])
        if self.form.condition == "true":
            return body.add("Constant", [], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
        if self.form.condition == "floats":
            counts = [body.add("Cast", [count], to=TensorProto.FLOAT) for count in (later, self.short)]
            return body.add("Less", counts)
        ended = body.add("Less", [later, self.short])
        following = body.add("Add", ["iteration", self.file.constant(np.int64(1))])
        return body.add("And", [body.add("Less", [following, self.length]), ended])

    def _write(self, answer: str, time: str) -> list[str]:
        """Write the answer of a step; return the first value of what the loop carries for it, if it does."""
        body, shape = self.body, [self.form.batch, UNITS]
        if self.form.writes == "scan":
            body.output(answer, shape)
            return []
        if self.form.writes == "sequence":
            kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, shape))
            body.inputs.append(helper.make_value_info("written", kind))
            body.outputs.append(helper.make_value_info(body.add("SequenceInsert", ["written", answer]), kind))
            return [self.file.add("SequenceEmpty", [], dtype=TensorProto.FLOAT)]
        body.input("written", [None, *shape])
        entry = body.add("Unsqueeze", [answer, self.file.axes(0)])
        if self.form.writes == "joined":
            body.output(body.add("Concat", ["written", entry], axis=0), [None, *shape])
            return [self._filled(self.file.axes(0))]
        place = body.add("Cast", [time], to=TensorProto.INT64)
        listed = body.add("Reshape", [place, self.file.axes(1, 1)])
        body.output(body.add("ScatterND", ["written", listed, entry]), [None, *shape])
        return [self._filled(self.file.add("Unsqueeze", [self.length, self.file.axes(0)]))]

    def _filled(self, frames: str) -> str:
        """Return zeros for a number of frames."""
        file, batch = self.file, self.form.batch
        streams = file.axes(batch) if isinstance(batch, int) else self._streams()
        return file.add("ConstantOfShape", [file.add("Concat", [frames, streams, file.axes(UNITS)], axis=0)])

    def _streams(self) -> str:
        return self.file.add("Slice", [self.sizes, self.file.axes(1), self.file.axes(2), self.file.axes(0)])

    def _start(self) -> str:
        """Return zeros `[batch, units]`: a constant, or made in the graph if the batch is free."""
        file, batch = self.file, self.form.batch
        if isinstance(batch, int):
            return file.constant(np.zeros((batch, UNITS), np.float32))
        size = file.add("Concat", [self._streams(), file.axes(UNITS)], axis=0)
        return file.add("Expand", [file.constant(np.float32(0)), size])

    def _loop(self, states: int, more: int, carried: list[str]) -> str:
        """Add the Loop; return its answers, `[batch, time, units]`."""
        file, shape = self.file, [self.form.batch, UNITS]
        given = self.form.stateful
        starts = [file.input(f"memory_{i}", shape) if given else self._start() for i in range(states)]
        reads = [self.length, file.constant(np.bool_(True)), file.constant(np.int32(0)), *starts]
        reads += [self._start() for _ in range(more)]
        finals = [f"final_{i}" for i in range(states + more)]
        name = "model/layer/while_loop"
        file.add("Loop", [*reads, *carried], "steps", *finals, "answers", name=name, body=self.body.graph())
        if self.form.writes == "sequence":
            return file.add("ConcatFromSequence", ["answers"], axis=1, new_axis=1)
        return file.add("Transpose", ["answers"], perm=[1, 0, 2])
