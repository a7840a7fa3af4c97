"""Recurrent nets compared with a causal Transformer of the same number of parameters, streamed step by step.

The suite measures the time of a step and the bytes kept from step to step, at several positions in the stream. The
state of a recurrent net has a fixed size. The key-value cache of a Transformer grows with every step.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.arrays import Array, Floats
from ...runtime.backends.onnxruntime_session import open_session
from ...runtime.cells import STANDARD
from ..measuring.jobs import stack_job
from ..measuring.turns import pinned
from ..nets import stacks
from ..peers import onnxruntime, tidegate
from ..peers.job import Variant
from ..progress import Progress
from ..tables import Table, micro

PARAMETERS = 200_000  # weights and biases of each net, as nearly as its sizes allow
FEATURES = 64
POSITIONS = (10, 100, 1_000, 10_000)
HEADS, LAYERS = 4, 2
RUNTIMES = ((onnxruntime, Variant("float32", "IOBinding")), (tidegate, Variant("W8A16", "push")))
Step = Callable[[Floats], object]


@dataclass(frozen=True)
class Family:
    """A net in a runtime.

    Attributes:
        name: What tables call it.
        parameters: Number of weights and biases.
        step: Takes a frame, float32 `[1, FEATURES]`, and carries the state or cache.
        kept: Takes a number of steps and returns the bytes that are kept after them.
    """

    name: str
    parameters: int
    step: Step
    kept: Callable[[int], int]


@dataclass(frozen=True)
class Cost:
    """The cost of a net at a position in the stream.

    Attributes:
        name: The net and its runtime.
        parameters: Number of weights and biases.
        position: The step, counted from the start of the stream.
        step_us: Median microseconds per step near the position.
        kept_bytes: Bytes kept from this step to the next.
    """

    name: str
    parameters: int
    position: int
    step_us: float
    kept_bytes: int


def costs(steps: int = POSITIONS[-1], repeats: int = 3, progress: Progress | None = None) -> list[Cost]:
    """Stream every net and return its cost at each of POSITIONS up to `steps`.

    Args:
        steps: Length of the stream.
        repeats: How often each net is streamed from the start.
        progress: Called with the fraction done (0 to 1) and the name of the net.

    Raises:
        BackendError: onnxruntime is not installed.
    """
    frames = np.random.default_rng(0).standard_normal((1000, 1, FEATURES), np.float32)
    names = [name for name, _ in _makers()]
    times: dict[str, list[Array]] = {name: [] for name in names}
    families: dict[str, Family] = {}
    with pinned():
        for turn in range(repeats):
            for number, (name, make) in enumerate(_makers()):
                if progress is not None:
                    progress((turn + number / len(names)) / repeats, name)
                families[name] = family = make()
                times[name].append(_times(family.step, frames, steps))
    return [_cost(families[name], times[name], at) for name in names for at in POSITIONS if at <= steps]


def _times(step: Step, frames: Floats, steps: int) -> Array:
    clock, taken = time.perf_counter_ns, np.empty(steps, np.int64)
    for k in range(steps):
        frame = frames[k % len(frames)]
        start = clock()
        step(frame)
        taken[k] = clock() - start
    return taken


def _cost(family: Family, times: Sequence[Array], position: int) -> Cost:
    """Return the cost at a position: the median over the last fifth of the steps before it, in all repeats."""
    around = np.concatenate([taken[position * 4 // 5 : position] for taken in times])
    return Cost(family.name, family.parameters, position, float(np.median(around)) / 1e3, family.kept(position))


def cost_tables(found: Sequence[Cost]) -> list[Table]:
    """Return the tables of times and of bytes kept, one row per net."""
    times = _by_position(found, "Microseconds per step, by position in the stream", lambda cost: micro(cost.step_us))
    kept = _by_position(found, "Kilobytes kept, by position", lambda cost: f"{cost.kept_bytes / 1e3:.1f}")
    return [times, kept]


def _by_position(found: Sequence[Cost], title: str, cell: Callable[[Cost], str]) -> Table:
    rows: dict[str, list[str]] = {}
    for cost in found:
        rows.setdefault(cost.name, [cost.name, f"{cost.parameters:,}"]).append(cell(cost))
    positions = sorted({cost.position for cost in found})
    return Table(title, ["|", "weights", *map(str, positions)], list(rows.values()), whole=True)


# ---- the nets ----


def _makers() -> Iterator[tuple[str, Callable[[], Family]]]:
    for cell in ("LSTM", "GRU", "RNN"):
        case = stacks.Case(cell, FEATURES, _hidden(cell), LAYERS, cell)
        for peer, variant in RUNTIMES:
            name = f"{cell}, {peer.__name__.rpartition('.')[2]} {variant.precision}"
            yield name, partial(_recurrent, case, peer, variant, name)
    yield "Transformer, onnxruntime float32", _transformer


def _parameters(cell: str, hidden: int) -> int:
    gates, widths = len(STANDARD[cell].gates), [FEATURES] + [hidden] * (LAYERS - 1)
    return sum(gates * hidden * (width + hidden + 2) for width in widths)


def _hidden(cell: str) -> int:
    """Return the number of units, a multiple of 4, with which a cell comes nearest to PARAMETERS."""
    return min(range(4, 1024, 4), key=lambda hidden: abs(_parameters(cell, hidden) - PARAMETERS))


def _state_bytes(case: stacks.Case) -> int:
    return 4 * case.hidden * case.layers * len(STANDARD[case.cell].states)


def _recurrent(case: stacks.Case, peer: ModuleType, variant: Variant, name: str) -> Family:
    with TemporaryDirectory(prefix="tidegate-") as folder:
        job = stack_job(Path(folder), case, 1)
        peer.prepare(job, variant)
        step: Step = peer.load(job, variant)
    kept = _state_bytes(case)
    return Family(name, _parameters(case.cell, case.hidden), step, lambda _: kept)


def _transformer() -> Family:
    """Return a Transformer of LAYERS pre-norm blocks; the cache is an input and an output, as in exported files."""
    width = _width()
    session = open_session(transformer(width).SerializeToString())
    depth = width // HEADS
    caches: dict[str, Array] = {
        f"past_{kind}{n}": np.zeros((HEADS, 0, depth), np.float32) for n in range(LAYERS) for kind in "kv"
    }
    names = ["y", *(name.replace("past", "present") for name in caches)]

    def step(frame: Floats) -> object:
        answer, *present = session.run(names, {"x": frame, **caches})
        caches.update(zip(list(caches), present, strict=True))
        return answer

    return Family(
        "Transformer, onnxruntime float32", _transformer_parameters(width), step, lambda at: 2 * LAYERS * width * at * 4
    )


def _transformer_parameters(width: int) -> int:
    block = 4 * width * width + 2 * width * 2 * width + 4 * width
    return FEATURES * width + LAYERS * block


def _width() -> int:
    """Return the width, a multiple of HEADS, with which the Transformer comes nearest to PARAMETERS."""
    return min(range(HEADS, 512, HEADS), key=lambda width: abs(_transformer_parameters(width) - PARAMETERS))


def transformer(width: int) -> onnx.ModelProto:
    """Return one step of the Transformer as ONNX: x is `[1, FEATURES]`, keys and values are `[heads, past, depth]`."""
    graph = _Builder(width)
    value = graph.matmul("x", FEATURES, width)
    for n in range(LAYERS):
        value = graph.add(value, graph.attention(graph.norm(value), n))
        value = graph.add(value, graph.feed_forward(graph.norm(value)))
    return graph.model(value)


class _Builder:
    """Writes the nodes of a graph in order; each method returns the name of its result."""

    def __init__(self, width: int) -> None:
        self._width, self._depth = width, width // HEADS
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._caches: list[tuple[str, str]] = []
        self._random = np.random.default_rng(0)

    def matmul(self, source: str, rows: int, columns: int) -> str:
        weight = (self._random.standard_normal((rows, columns)) * rows**-0.5).astype(np.float32)
        return self._emit("MatMul", source, self._constant(weight))

    def add(self, a: str, b: str) -> str:
        return self._emit("Add", a, b)

    def norm(self, source: str) -> str:
        ones, zeros = (
            self._constant(np.ones(self._width, np.float32)),
            self._constant(np.zeros(self._width, np.float32)),
        )
        return self._emit("LayerNormalization", source, ones, zeros, axis=-1)

    def feed_forward(self, source: str) -> str:
        return self.matmul(
            self._emit("Relu", self.matmul(source, self._width, 2 * self._width)), 2 * self._width, self._width
        )

    def attention(self, source: str, n: int) -> str:
        query, key, value = (self._heads(self.matmul(source, self._width, self._width)) for _ in range(3))
        keys, values = self._extended("k", key, n), self._extended("v", value, n)
        turned = self._emit("Transpose", keys, perm=[0, 2, 1])
        scale = self._constant(np.float32(self._depth**-0.5))
        scores = self._emit("Softmax", self._emit("Mul", self._emit("MatMul", query, turned), scale), axis=-1)
        mixed = self._emit("Transpose", self._emit("MatMul", scores, values), perm=[1, 0, 2])
        flat = self._emit("Reshape", mixed, self._constant(np.array([1, self._width], np.int64)))
        return self.matmul(flat, self._width, self._width)

    def model(self, answer: str) -> onnx.ModelProto:
        """Return the model of all nodes, with one of the values as its answer."""
        shape: list[int | str] = [HEADS, "past", self._depth]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FEATURES])]
        inputs += [helper.make_tensor_value_info(past, TensorProto.FLOAT, shape) for past, _ in self._caches]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, self._width])]
        grown: list[int | str] = [HEADS, "present", self._depth]
        outputs += [helper.make_tensor_value_info(present, TensorProto.FLOAT, grown) for _, present in self._caches]
        self._nodes.append(helper.make_node("Identity", [answer], ["y"]))
        graph = helper.make_graph(self._nodes, "transformer", inputs, outputs, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def _heads(self, source: str) -> str:
        split = self._emit("Reshape", source, self._constant(np.array([1, HEADS, self._depth], np.int64)))
        return self._emit("Transpose", split, perm=[1, 0, 2])

    def _extended(self, kind: str, new: str, n: int) -> str:
        past, present = f"past_{kind}{n}", f"present_{kind}{n}"
        self._caches.append((past, present))
        self._nodes.append(helper.make_node("Concat", [past, new], [present], axis=1))
        return present

    def _emit(self, kind: str, *inputs: str, **options: Any) -> str:  # noqa: ANN401  attributes of any kind
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **options))
        return name

    def _constant(self, value: Any) -> str:  # noqa: ANN401  arrays and scalars
        name = f"c{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name
