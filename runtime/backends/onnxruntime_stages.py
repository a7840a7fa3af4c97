"""The `onnxruntime` backend for models that look ahead: it runs the stages of the graph; see `graph/stages.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from ..arrays import Array
from ..clocks import Clock
from ..contract import Port
from ..errors import UnsupportedError
from ..graph.graph import Graph
from ..graph.nodes import attributes, label
from ..graph.stages import LayerState, Stage, clocks_of, layer_states_of, lookaheads, stage_model, stages_of
from .onnxruntime_session import open_session, run_session

PROBES = (5, 8)  # frames of two runs: the axis of a value whose size changes with them is its time axis


Run = Callable[[Array], dict[str, Array | None]]
"""The values that a stage that answers late makes from the frames of its input."""


@dataclass(frozen=True)
class WaitingFrames:
    """Frames of a value that wait for the stage that reads them.

    Attributes:
        name: Their name in the state of a stream.
        given: The clock by which they come.
        taken: The clock by which the stage takes them.
        before: Frames of zeros before the start of the stream.
        most: The most frames that stay; None: all that were not taken.
    """

    name: str
    given: Clock
    taken: Clock
    before: int = 0
    most: int | None = None


class StagedModel:
    """A graph as stages; each stage has its own session.

    Attributes:
        contract: The contract of the model.
        stages: The stages in their order, each with its session.
        layer_states: The states, one per layer.
        waiting: The waiting frames, by stage and value.
        finals: Final states that may wait for other frames, one for each frame: those of backward nodes, the same for
            all frames of a block, and those of other nodes that a later stage reads.
        axes: The time axis of each value; None if it has none.
        shapes: The shape of each value without its time axis.

    Raises:
        UnsupportedError: The kernel of a convolution that looks ahead is not constant.
        ModelError: onnxruntime refuses a stage.
    """

    def __init__(self, graph: Graph) -> None:
        self.contract = graph.contract
        self.clocks = clocks_of(graph, lookaheads(self.contract), self.contract.inputs[0].name)
        self.axes, self.shapes = self._probe(graph)
        self.layer_states = layer_states_of(graph, self.contract)
        untimed = {name for name, axis in self.axes.items() if axis is None}
        stages = stages_of(graph, self.contract, self.clocks, untimed, self.layer_states)
        waited = {name for stage in stages for name in stage.reads if self.clocks[name] != stage.clock}
        waited.update(name for stage in stages if stage.late is not None for name in stage.gives)
        self.finals = waited & untimed
        self.stages = [(stage, self._session(graph, stage)) for stage in stages]
        self.waiting = {
            (i, name): self._waiting(graph, stage, i, name)
            for i, (stage, _) in enumerate(self.stages)
            for name in stage.reads
            if self.axes[name] is not None or (name in self.finals and self.clocks[name] != stage.clock)
        }

    def waiting_shapes(self, frames: int, *, finished: bool) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all waiting frames when a stream has consumed `frames`."""
        found = {}
        for (_, name), queue in self.waiting.items():
            given, taken = (clock.ready(frames, self.contract.blocks) for clock in (queue.given, queue.taken))
            count = given - taken if queue.most is None else min(queue.most, queue.before + given)
            found[queue.name] = (0 if finished else count, *self.shapes[name])
        return found

    def _session(self, graph: Graph, stage: Stage) -> Any:  # noqa: ANN401  onnxruntime has no types
        if stage.late is not None and not stage.ahead:  # the answers are cut to the block; the first is the final h
            stage.gives = [stage.late.output[0], *(name for name in stage.gives if name != stage.late.output[0])]
        time = self._kernel_axis(stage.late) if stage.late is not None and stage.ahead else None
        return open_session(stage_model(graph.model, stage, self.layer_states, time).SerializeToString())

    def _kernel_axis(self, convolution: onnx.NodeProto) -> int:
        """Return which axis of a convolution's kernel is time."""
        return (self.axes[convolution.input[0]] or 0) - 2

    def _waiting(self, graph: Graph, stage: Stage, index: int, name: str) -> WaitingFrames:
        place = f"{index}:{name}"
        if not stage.ahead or stage.late is None:
            return WaitingFrames(place, self.clocks[name], stage.clock)
        weights = graph.constant(stage.late.input[1])
        if weights is None:
            raise UnsupportedError(f"{label(stage.late)}: its weights are not constant, wanted constants")
        at, rank = self._kernel_axis(stage.late), weights.ndim - 2
        reach = (weights.shape[2 + at] - 1) * attributes(stage.late).get("dilations", [1] * rank)[at]
        return WaitingFrames(place, self.clocks[name], stage.clock, reach - stage.ahead, reach)

    def _probe(self, graph: Graph) -> tuple[dict[str, int | None], dict[str, tuple[int, ...]]]:
        """Run the whole graph over zeros of two lengths; return the time axes and the other sizes of all values."""
        names = list(self.clocks)
        model = onnx.ModelProto()
        model.CopyFrom(graph.model)
        inner = [
            name for name in names if name not in {item.name for item in (*model.graph.input, *model.graph.output)}
        ]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
        session = open_session(model.SerializeToString())
        runs = [self._silence(session, names, frames) for frames in PROBES]
        axes, shapes = dict[str, int | None](), dict[str, tuple[int, ...]]()
        for name in names:
            first, second = (run[name] for run in runs)
            follows = [i for i, sizes in enumerate(zip(first.shape, second.shape, strict=True)) if sizes == PROBES]
            axes[name] = follows[0] if follows else None
            shapes[name] = tuple(size for i, size in enumerate(first.shape) if i != axes[name])
        return axes, shapes

    def _silence(self, session: Any, names: list[str], frames: int) -> dict[str, Array]:  # noqa: ANN401
        port = self.contract.inputs[0]
        feeds = {state.input: np.zeros(state.concrete_shape(), np.float32) for state in self.contract.states}
        for item in session.get_inputs():
            if item.name == port.name:
                sizes = [size if isinstance(size, int) else 1 for size in item.shape]
                sizes[port.time_axis or 0] = frames
                feeds[item.name] = np.zeros(sizes, np.int64 if "int64" in item.type else np.float32)
        made = [name for name in names if name != port.name]
        return {port.name: feeds[port.name]} | run_session(session, made, feeds)


class StagedRun:
    """One push of a stream through all stages.

    Args:
        model: The stages.
        state: The contract's states and the waiting frames, by name.
    """

    def __init__(self, model: StagedModel, state: Mapping[str, Array]) -> None:
        self._model = model
        self.state = dict(state)

    def answers(self, frames: Array, *, closing: bool) -> dict[str, Array]:
        """Return the outputs for frames; both have the axes of the graph. An output without an answer is empty."""
        port = self._model.contract.inputs[0]
        values = self.advance(np.moveaxis(frames, port.time_axis or 0, 0), closing=closing)
        found = {output.name: self._fed(output.name, values[output.name]) for output in self._model.contract.outputs}
        return {
            output.name: self._absent(output) if (made := found[output.name]) is None else self._back(output.name, made)
            for output in self._model.contract.outputs
        }

    def _absent(self, port: Port) -> Array:
        """Return an output without an answer: its first axis, other than that of streams, has the size 0."""
        sizes = list(self._model.shapes[port.name])
        place = next((axis for axis in range(len(sizes)) if axis != port.batch_axis), None)
        if place is None:
            return np.zeros(0, np.float32)
        sizes[place] = 0
        return np.zeros(sizes, np.float32)

    def advance(self, frames: Array, *, closing: bool) -> dict[str, Array | None]:
        """Return the frames of each value that became ready, time first.

        A value without a time axis is given as it is, or as None if nothing became ready.

        Args:
            frames: New frames of the signal, time first.
            closing: Whether they are the last.
        """
        values: dict[str, Array | None] = {self._model.contract.inputs[0].name: frames}
        counts = {Clock(): len(frames)}  # new frames by clock
        for index, (stage, session) in enumerate(self._model.stages):
            made = self._stage(index, stage, session, values, counts.get(stage.clock, 0), closing=closing)
            values.update(made)
            if stage.late is not None:
                counts[stage.clock] = len(np.asarray(made[stage.late.output[0]]))
        return values

    def _stage(
        self,
        index: int,
        stage: Stage,
        session: Any,  # noqa: ANN401  onnxruntime has no types
        values: Mapping[str, Array | None],
        count: int,
        *,
        closing: bool,
    ) -> dict[str, Array | None]:
        waiting = self._model.waiting
        queues = {name: waiting[index, name] for name in stage.reads if (index, name) in waiting}
        for name, queue in queues.items():
            old, new = self.state[queue.name], self._frames(name, values[name])
            self.state[queue.name] = np.concatenate([old, new]) if len(old) else new  # ids stay integers
        if stage.late is not None:
            ((name, queue),) = queues.items()
            late = self._convolve if stage.ahead else self._backward
            return late(stage, queue, lambda frames: self._run(stage, session, {name: frames}), closing=closing)
        taken = {name: values[name] for name in stage.reads}
        for name, queue in queues.items():
            taken[name], self.state[queue.name] = np.split(self.state[queue.name], [count])
        return self._runs(stage, session, taken, count) if count else self._nothing(stage)

    def _runs(
        self,
        stage: Stage,
        session: Any,  # noqa: ANN401  onnxruntime has no types
        taken: Mapping[str, Array | None],
        count: int,
    ) -> dict[str, Array | None]:
        """Run over frames: all together, or one by one if a final state of each of them is wanted."""
        finals = self._model.finals.intersection(stage.gives)
        parts = [slice(at, at + 1) for at in range(count)] if finals else [slice(None)]
        made = [
            self._run(
                stage, session, {name: self._fed(name, None if v is None else v[part]) for name, v in taken.items()}
            )
            for part in parts
        ]
        if not finals:
            return made[0]
        joins = {name: np.stack if name in finals else np.concatenate for name in stage.gives}
        return {name: join([np.asarray(one[name]) for one in made]) for name, join in joins.items()}

    def _run(self, stage: Stage, session: Any, feeds: Mapping[str, Array | None]) -> dict[str, Array | None]:  # noqa: ANN401
        given = {name: self._back(name, values) for name, values in feeds.items() if values is not None}
        wanted = {item.name for item in session.get_inputs()}
        states = [state for state in self._model.layer_states if state.source in wanted]
        given |= {state.source: self._layer_state(state) for state in states}
        names = [item.name for item in session.get_outputs()]
        made = run_session(session, names, given)
        for state in self._model.layer_states:
            if state.target in made:
                self._put_layer_state(state, made[state.target])
        return {name: self._front(name, made[name]) for name in stage.gives}

    def _layer_state(self, state: LayerState) -> Array:
        values = self.state[state.input]
        return values if state.layer is None else values[state.layer : state.layer + 1]

    def _put_layer_state(self, state: LayerState, values: Array) -> None:
        if state.layer is None:
            self.state[state.input] = values
        else:
            layers = self.state[state.input].copy()
            layers[state.layer] = values[0]
            self.state[state.input] = layers

    def _convolve(self, stage: Stage, queue: WaitingFrames, run: Run, *, closing: bool) -> dict[str, Array | None]:
        frames, most = self.state[queue.name], queue.most or 0
        if closing:
            frames = np.concatenate([frames, np.zeros((stage.ahead, *frames.shape[1:]), np.float32)])
        self.state[queue.name] = frames[max(len(frames) - most, 0) :]
        return run(frames) if len(frames) > most else self._nothing(stage)

    def _backward(self, stage: Stage, queue: WaitingFrames, run: Run, *, closing: bool) -> dict[str, Array | None]:
        """Run over each block that is complete with its lookahead, and drop the answers of the lookahead."""
        answer, *finals = stage.gives
        made: dict[str, list[Array]] = {name: [] for name in stage.gives}
        while count := self._next_block(len(self.state[queue.name]), closing=closing):
            found = run(self._context(self.state[queue.name], count))
            made[answer].append(np.asarray(found[answer])[:count])
            for name in finals:
                made[name].append(np.repeat(np.asarray(found[name])[None], count, 0))
            self.state[queue.name] = self.state[queue.name][count:]
        nothing = self._nothing(stage)
        return {name: np.concatenate(parts) if parts else nothing[name] for name, parts in made.items()}

    def _next_block(self, waiting: int, *, closing: bool) -> int:
        blocks = self._model.contract.blocks
        frames = None if blocks is None else blocks.frames
        if closing:
            return waiting if frames is None else min(waiting, frames)
        return frames if blocks is not None and frames is not None and waiting >= frames + blocks.lookahead else 0

    def _context(self, frames: Array, count: int) -> Array:
        blocks = self._model.contract.blocks
        whole = blocks is None or blocks.frames is None
        return frames if whole or blocks is None else frames[: count + blocks.lookahead]

    def _nothing(self, stage: Stage) -> dict[str, Array | None]:
        timed = {name: self._model.axes[name] is not None for name in stage.gives}
        return {name: np.zeros((0, *self._model.shapes[name]), np.float32) if timed[name] else None for name in timed}

    def _frames(self, name: str, values: Array | None) -> Array:
        """Return the frames of a value that may wait; none if nothing became ready."""
        return np.zeros((0, *self._model.shapes[name]), np.float32) if values is None else values

    def _fed(self, name: str, values: Array | None) -> Array | None:
        """Return a value as the nodes take it: of final states the last, None if nothing became ready."""
        if name not in self._model.finals or values is None:
            return values
        return values[-1] if len(values) else None

    def _front(self, name: str, values: Array) -> Array:
        axis = self._model.axes[name]
        return values if axis is None else np.moveaxis(values, axis, 0)

    def _back(self, name: str, values: Array) -> Array:
        axis = self._model.axes[name]
        return values if axis is None else np.ascontiguousarray(np.moveaxis(values, 0, axis))
