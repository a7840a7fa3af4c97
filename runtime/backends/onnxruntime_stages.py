"""The `onnxruntime` backend for models that look ahead: the file's stages run one after the other; see stages.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from ..arrays import Array
from ..clocks import Clock
from ..errors import UnsupportedError
from ..graph.graph import Graph
from ..graph.nodes import attributes, label
from ..graph.stages import Part, Stage, clocks_of, lookaheads, parts_of, stage_model, stages_of
from .onnxruntime_session import open_session, run_session

PROBES = (5, 8)  # frames of two runs: the axis of a value whose size follows them counts time


Run = Callable[[Array], dict[str, Array | None]]
"""What a stage that answers late makes of its rows."""


@dataclass(frozen=True)
class Held:
    """Rows that wait between stages.

    Attributes:
        name: What they are called in a state.
        given: When they come.
        taken: When they go.
        before: Rows of zeros before the stream.
        most: Rows that stay; None: all that were not taken.
    """

    name: str
    given: Clock
    taken: Clock
    before: int = 0
    most: int | None = None


class StagedModel:
    """A graph as stages, each in a session of its own.

    Attributes:
        contract: Its contract.
        stages: The stages in their order, each with its session.
        parts: The states by layers.
        held: What waits between them, by stage and value.
        axes: The time axis of each value between them; None where it has none.
        shapes: The other axes of those that have one.

    Raises:
        UnsupportedError: A value without a row for each frame goes from one stage to another.
        ModelError: onnxruntime refuses a stage.
    """

    def __init__(self, graph: Graph) -> None:
        self.contract = graph.contract
        self.clocks = clocks_of(graph, lookaheads(self.contract), self.contract.inputs[0].name)
        self.axes, self.shapes = self._probe(graph)
        self.parts = parts_of(graph, self.contract)
        untimed = {name for name, axis in self.axes.items() if axis is None}
        stages = stages_of(graph, self.contract, self.clocks, untimed, self.parts)
        self.stages = [(stage, self._session(graph, stage)) for stage in stages]
        self.held = {
            (i, name): self._held(graph, stage, i, name)
            for i, (stage, _) in enumerate(self.stages)
            for name in stage.reads
            if self.axes[name] is not None
        }
        self._check_reads()

    def held_rows(self, frames: int, *, finished: bool) -> dict[str, Array]:
        """Return arrays of the shapes of what waits when a stream has consumed `frames`."""
        found = {}
        for (_, name), held in self.held.items():
            given, taken = (clock.rows(frames, self.contract.blocks) for clock in (held.given, held.taken))
            rows = given - taken if held.most is None else min(held.most, held.before + given)
            found[held.name] = np.zeros((0 if finished else rows, *self.shapes[name]), np.float32)
        return found

    def _session(self, graph: Graph, stage: Stage) -> Any:  # noqa: ANN401  onnxruntime has no types
        if stage.late is not None and not stage.ahead:  # its rows are cut to the block, and the final h is the first
            stage.gives = [stage.late.output[0], *(name for name in stage.gives if name != stage.late.output[0])]
        return open_session(stage_model(graph.model, stage, self.parts).SerializeToString())

    def _held(self, graph: Graph, stage: Stage, index: int, name: str) -> Held:
        place = f"{index}:{name}"
        if not stage.ahead or stage.late is None:
            return Held(place, self.clocks[name], stage.clock)
        weights = graph.constant(stage.late.input[1])
        if weights is None:
            raise UnsupportedError(f"{label(stage.late)}: its weights are not constant, wanted constants")
        reach = (weights.shape[-1] - 1) * attributes(stage.late).get("dilations", [1])[0]
        return Held(place, self.clocks[name], stage.clock, reach - stage.ahead, reach)

    def _probe(self, graph: Graph) -> tuple[dict[str, int | None], dict[str, tuple[int, ...]]]:
        """Run the whole file over two lengths of silence, and see which axes follow."""
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
        return {port.name: feeds[port.name]} | dict(zip(made, session.run(made, feeds), strict=True))

    def _check_reads(self) -> None:
        makers = {name: stage for stage, _ in self.stages for name in stage.gives}
        for stage, _ in self.stages:
            for name in stage.reads:
                maker = makers.get(name)
                if self.axes[name] is None and (maker is None or maker.late is None or maker.clock != stage.clock):
                    raise UnsupportedError(
                        f"{label(stage.nodes[-1])}: it reads {name!r}, which has no row for each frame, beside what "
                        "looks ahead; take a final state alone (h_n[0]), or use backend='native'"
                    )


class StagedRun:
    """What one stream carries between pushes, and how it goes on.

    Args:
        model: The stages.
        state: The contract's states and what waits between stages, by name.
    """

    def __init__(self, model: StagedModel, state: Mapping[str, Array]) -> None:
        self._model = model
        self.state = dict(state)

    def answers(self, frames: Array, *, closing: bool) -> dict[str, Array]:
        """Return the outputs in their own axes for frames in the graph's; without time and without a row, empty."""
        port = self._model.contract.inputs[0]
        values = self.advance(np.moveaxis(frames, port.time_axis or 0, 0), closing=closing)
        found = {output.name: values[output.name] for output in self._model.contract.outputs}
        nothing = np.zeros(0, np.float32)
        return {name: nothing if rows is None else self._back(name, rows) for name, rows in found.items()}

    def advance(self, frames: Array, *, closing: bool) -> dict[str, Array | None]:
        """Return the rows that became ready of each value between stages, time first; one without time, or None.

        Args:
            frames: New frames of the signal, time first.
            closing: They are the last.
        """
        values: dict[str, Array | None] = {self._model.contract.inputs[0].name: frames}
        counts = {Clock(): len(frames)}  # new rows
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
        places = {name: self._model.held[index, name] for name in stage.reads if (index, name) in self._model.held}
        for name, held in places.items():
            waiting, new = self.state[held.name], np.asarray(values[name])
            self.state[held.name] = np.concatenate([waiting, new]) if len(waiting) else new  # ids stay integers
        if stage.late is not None:
            ((name, held),) = places.items()
            late = self._convolve if stage.ahead else self._backward
            return late(stage, held, lambda rows: self._run(stage, session, {name: rows}), closing=closing)
        feeds: dict[str, Array | None] = {name: values[name] for name in stage.reads if name not in places}
        for name, held in places.items():
            feeds[name], self.state[held.name] = np.split(self.state[held.name], [count])
        return self._run(stage, session, feeds) if count else self._nothing(stage)

    def _run(self, stage: Stage, session: Any, feeds: Mapping[str, Array | None]) -> dict[str, Array | None]:  # noqa: ANN401
        given = {name: self._back(name, values) for name, values in feeds.items() if values is not None}
        wanted = {item.name for item in session.get_inputs()}
        given |= {part.source: self._part(part) for part in self._model.parts if part.source in wanted}
        names = [item.name for item in session.get_outputs()]
        made = run_session(session, names, given)
        for part in self._model.parts:
            if part.target in made:
                self._put_part(part, made[part.target])
        return {name: self._front(name, made[name]) for name in stage.gives}

    def _part(self, part: Part) -> Array:
        state = self.state[part.state]
        return state if part.row is None else state[part.row : part.row + 1]

    def _put_part(self, part: Part, values: Array) -> None:
        if part.row is None:
            self.state[part.state] = values
        else:
            rows = self.state[part.state].copy()
            rows[part.row] = values[0]
            self.state[part.state] = rows

    def _convolve(self, stage: Stage, held: Held, run: Run, *, closing: bool) -> dict[str, Array | None]:
        rows, most = self.state[held.name], held.most or 0
        if closing:
            rows = np.concatenate([rows, np.zeros((stage.ahead, *rows.shape[1:]), np.float32)])
        self.state[held.name] = rows[max(len(rows) - most, 0) :]
        return run(rows) if len(rows) > most else self._nothing(stage)

    def _backward(self, stage: Stage, held: Held, run: Run, *, closing: bool) -> dict[str, Array | None]:
        """Run over each block that is complete with its lookahead; what is not its own is left out."""
        answer, *finals = stage.gives
        made, last = [], None
        while count := self._next_block(len(self.state[held.name]), closing=closing):
            rows = run(self._context(self.state[held.name], count))[answer]
            made.append(np.asarray(rows)[:count])
            last = made[-1][0]
            self.state[held.name] = self.state[held.name][count:]
        nothing = self._nothing(stage)
        return {answer: np.concatenate(made) if made else nothing[answer]} | dict.fromkeys(finals, last)

    def _next_block(self, held: int, *, closing: bool) -> int:
        blocks = self._model.contract.blocks
        frames = None if blocks is None else blocks.frames
        if closing:
            return held if frames is None else min(held, frames)
        return frames if blocks is not None and frames is not None and held >= frames + blocks.lookahead else 0

    def _context(self, rows: Array, count: int) -> Array:
        blocks = self._model.contract.blocks
        whole = blocks is None or blocks.frames is None
        return rows if whole or blocks is None else rows[: count + blocks.lookahead]

    def _nothing(self, stage: Stage) -> dict[str, Array | None]:
        timed = {name: self._model.axes[name] is not None for name in stage.gives}
        return {name: np.zeros((0, *self._model.shapes[name]), np.float32) if timed[name] else None for name in timed}

    def _front(self, name: str, values: Array) -> Array:
        axis = self._model.axes[name]
        return values if axis is None else np.moveaxis(values, axis, 0)

    def _back(self, name: str, values: Array) -> Array:
        axis = self._model.axes[name]
        return values if axis is None else np.ascontiguousarray(np.moveaxis(values, 0, axis))
