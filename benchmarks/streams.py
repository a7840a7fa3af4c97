"""How many streams one core holds: every stream gets a frame a period, and all must be answered before the next."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..quant import quantize
from ..runtime.arrays import Floats
from ..runtime.contract import Contract
from ..runtime.graph import Graph
from ..runtime.model import compile_graph
from ..runtime.native import NativeModel
from ..runtime.onnxruntime_session import open_session
from . import lstms
from .latency import pinned
from .peers.loops import REAL, Clock, Course, run
from .progress import Progress
from .rivals import onnxruntime_int8
from .rivals.onnxruntime_session import binding_stepper
from .tables import Table

RATES = (100.0, 1000.0)  # frames a second: of speech features, of a fast sensor
SIZES = ("A", "B")
MOST = 4096  # streams that are tried
TRIES = 8  # numbers of streams that are tried for the whole time, each a tenth fewer than the one before
PushAll = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """A way to push one frame into each of many streams.

    Attributes:
        name: What tables call it.
        open: Opens a number of streams and returns what pushes a frame into each.
        most: Most streams that it opens.
    """

    name: str
    open: Callable[[int], PushAll]
    most: int = MOST


@dataclass(frozen=True)
class Held:
    """What a contender held.

    Attributes:
        name: The contender.
        case: The sizes of its model.
        rate_hz: Frames a second of each stream.
        streams: Most streams without a miss for the whole time; 0 where there was a miss each time.
        seconds: The time.
        misses: By number of streams, of each try for the whole time.
    """

    name: str
    case: str
    rate_hz: float
    streams: int
    seconds: float
    misses: dict[int, int]


def most_streams(contender: Contender, rate: float, seconds: float, clock: Clock = REAL) -> tuple[int, dict[int, int]]:
    """Return the most streams without a miss, and the misses of each number that was tried for the whole time.

    A first guess comes from what one stream costs; short tries halve the interval around it; then the number found is
    tried for the whole time, and a tenth fewer as long as there are misses.
    """
    low, high = 0, min(2 * _guess(contender, rate, clock), contender.most)
    while high - low > max(1, low // 50):
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _misses(contender, middle, rate, 0.5, clock) == 0 else (low, middle - 1)
    tried: dict[int, int] = {}
    for _ in range(TRIES):
        if low == 0 or (tried and list(tried.values())[-1] == 0):
            break
        count = low if not tried else max(list(tried)[-1] * 9 // 10, 1)
        tried[count] = _misses(contender, count, rate, seconds, clock)
    held = [count for count, misses in tried.items() if misses == 0]
    return max(held, default=0), tried


def _guess(contender: Contender, rate: float, clock: Clock) -> int:
    push, count = contender.open(1), 100
    start = clock.now()
    for _ in range(count):
        push()
    return max(int(1e9 / rate / max((clock.now() - start) / count, 1.0)), 1)


def _misses(contender: Contender, streams: int, rate: float, seconds: float, clock: Clock) -> int:
    push, period = contender.open(streams), 1e9 / rate
    push()
    timed = run(lambda _: push(), [np.zeros(1, np.float32)], max(int(seconds * rate), 1), Course(period, clock=clock))
    return sum(latency > period for latency in timed.latencies)


def measure(
    sizes: Sequence[str] = SIZES,
    rates: Sequence[float] = RATES,
    seconds: float = 60.0,
    progress: Progress | None = None,
) -> list[Held]:
    """Find for each size and rate what tidegate and one onnxruntime session a stream hold, on one core.

    Raises:
        BackendError: onnxruntime is not installed.
    """
    found: list[Held] = []
    with pinned():
        for size in sizes:
            contenders = list(_contenders(lstms.CASES[size]))
            for rate in rates:
                for contender in contenders:
                    if progress is not None:
                        share = len(found) / (len(sizes) * len(rates) * len(contenders))
                        progress(share, f"{size} at {rate:g}/s: {contender.name}")
                    streams, misses = most_streams(contender, rate, seconds)
                    found.append(Held(contender.name, str(lstms.CASES[size]), rate, streams, seconds, misses))
    return found


def table(found: Sequence[Held]) -> Table:
    """Return the table, a row a contender and size."""
    rates = sorted({held.rate_hz for held in found})
    rows: dict[tuple[str, str], list[str]] = {}
    for held in found:
        text = str(held.streams) if held.streams else f"none ({min(held.misses.values(), default=0)} misses)"
        rows.setdefault((held.case, held.name), [f"{held.case}, {held.name}"]).append(text)
    title = f"Streams that one core holds without a miss in {found[0].seconds:g} s, by frames a second of each"
    return Table(title, ["|", *(f"{rate:g}/s" for rate in rates)], list(rows.values()), whole=True)


# ---- contenders ----


def _contenders(case: lstms.Case) -> Iterator[Contender]:
    frames = lstms.random_frames(case, 1)
    for precision in ("W8A16", "W8A8"):
        model = _model(case, precision)
        yield Contender(f"tidegate {precision} streams", lambda count, model=model: _single(model, frames, count))  # type: ignore[misc]
    layers = lstms.random_layers(case)
    int8 = onnxruntime_int8.quantized(lstms.streaming_model(layers, frames=1, batch=1))
    contract = lstms.contract(layers)
    yield Contender(
        "onnxruntime int8, a session each", lambda count: _sessions(int8, contract, frames, count), most=512
    )


def _model(case: lstms.Case, precision: str) -> NativeModel:
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
        lstms.save_model(lstms.random_layers(case), source)
        quantize(source, target, precision=precision)
        return NativeModel(compile_graph(Graph.load(target)))


def _single(model: NativeModel, frames: Floats, count: int) -> PushAll:
    return _each([model.stream().push for _ in range(count)], frames)


def _sessions(model: bytes, contract: Contract, frames: Floats, count: int) -> PushAll:
    """Open a session a stream, as a server does that keeps streams apart."""
    steps = [binding_stepper(open_session(model), contract, frames[:, None]) for _ in range(count)]
    return _each(steps, frames[:, None])


def _each(steps: Sequence[Callable[[Floats], object]], frames: Floats) -> PushAll:
    def push() -> None:
        for step in steps:
            step(frames)

    return push
