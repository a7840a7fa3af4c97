"""The lookahead curve: how well a stream in blocks agrees with the offline model, for several lookaheads."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..runtime.arrays import Array
from ..runtime.backends.native import NativeModel
from ..runtime.contract import METADATA_KEY, MOST_LOOKAHEAD, Blocks
from ..runtime.errors import ChunkError, ContractError
from ..runtime.graph.graph import Graph
from ..runtime.graph.stages import looking_ahead
from ..runtime.load import compile_graph, naming

LOOKAHEADS = (0, 1, 2, 4, 8, 16, 32, 64)
ENDS = 10  # places of the signal where an answer without a time axis is compared


@dataclass(frozen=True)
class LookaheadPoint:
    """One lookahead, and how well its answers agree with those of the offline model.

    Attributes:
        block: Frames of a block.
        lookahead: Frames after the block.
        wait: The most frames that must come after a frame before its answer is there.
        error: Root mean square of the differences, divided by the root mean square of the offline answers.
        largest: The largest difference, divided by the largest magnitude of the offline answers.
        agreement: Fraction of the answers (0 to 1) with the same largest output. With one output: with the same sign.
    """

    block: int
    lookahead: int
    wait: int
    error: float
    largest: float
    agreement: float


def lookahead_curve(
    path: str | os.PathLike[str], frames: Array, block: int = 1, lookaheads: Sequence[int] = LOOKAHEADS
) -> tuple[LookaheadPoint, ...]:
    """Return how well a bidirectional model in blocks agrees with the offline model, for each lookahead.

    The first output with an answer per frame is compared. If there is none, it is the first output, at ten places: the
    first tenth of the signal, the first two tenths and so on are streams of their own, and their last answers count.

    Args:
        path: A streaming ONNX file, float or quantized. The grid in its contract is not used.
        frames: One stream, float32 `[frames, features]` or ids `[frames]`, as long as the streams in use will be.
        block: Frames of a block.
        lookaheads: The lookaheads to try, in frames.

    Returns:
        One point per lookahead, in their order.

    Raises:
        ContractError: The model has no backward direction.
        ChunkError: A frame is refused.
        UnsupportedError: The engine does not have an operator of the model.
    """
    with naming(path):
        graph = Graph.load(path)
        if graph.contract.blocks is None:
            raise ContractError("it has no backward direction, so it has no lookahead to choose")
        if not 0 < len(frames) <= MOST_LOOKAHEAD:
            raise ChunkError(f"{len(frames)} frames, wanted 1 to {MOST_LOOKAHEAD}")
        whole = _answers(graph, Blocks(None, 0, len(frames)), frames)
        return tuple(_point(graph, Blocks(block, ahead), frames, whole) for ahead in lookaheads)


def _answers(graph: Graph, blocks: Blocks, frames: Array) -> Array:
    """Return the answers to compare, `[answers, features]`, of a stream from its start to its end."""
    model, outputs = NativeModel(compile_graph(_with_blocks(graph, blocks))), graph.contract.outputs
    timed = [port.name for port in outputs if port.time_axis is not None]
    if timed:
        return np.concatenate(_pieces(model, frames, timed[0]))
    ends = sorted({max(len(frames) * part // ENDS, 1) for part in range(1, ENDS + 1)})
    return np.stack([_pieces(model, frames[:end], outputs[0].name)[-1] for end in ends])


def _pieces(model: NativeModel, frames: Array, name: str) -> list[Array]:
    """Return the answers of one output: of the push and of the end of the stream, without empty ones."""
    stream = model.stream()
    parts = (stream.push(frames), stream.finish())
    named = [part[name] if isinstance(part, dict) else part for part in parts if part is not None]
    return [values for values in named if len(values)] or named


def _with_blocks(graph: Graph, blocks: Blocks) -> Graph:
    """Return a copy of a graph with another grid in its contract; several signals are one, side by side."""
    changed = Graph(type(graph.model).FromString(graph.model.SerializeToString()))
    contract = replace(graph.contract, blocks=None, lookahead=0, pieces=())
    contract = looking_ahead(graph.model, contract, blocks, graph.contract.ahead)
    changed.set_metadata(METADATA_KEY, contract.to_json())
    return changed


def _point(graph: Graph, blocks: Blocks, frames: Array, whole: Array) -> LookaheadPoint:
    seen = _answers(graph, blocks, frames)
    wait = _with_blocks(graph, blocks).contract.lookahead
    gap = seen.astype(np.float64) - whole
    power, peak = float(np.mean(whole.astype(np.float64) ** 2)), float(np.abs(whole).max())
    error = float(np.mean(gap**2) / max(power, 1e-60)) ** 0.5
    largest = float(np.abs(gap).max()) / max(peak, 1e-30)
    same = _decisions(seen) == _decisions(whole)
    return LookaheadPoint(blocks.frames or 0, blocks.lookahead, wait or 0, error, largest, float(np.mean(same)))


def _decisions(answers: Array) -> Array:
    return np.sign(answers[:, 0]) if answers.shape[1] == 1 else np.argmax(answers, axis=1)
