"""Ids next to other features: random ones for a proof or a trial."""

from collections.abc import Sequence

import numpy as np

from ..arrays import Array
from ..contract import Piece, features_of_ids
from .graph import Graph


def with_ids(graph: Graph, source: str, pieces: Sequence[Piece], noise: Array) -> Array:
    """Return noise `[..., features]` for several signals, in which ids are random ones that all their tables have.

    Args:
        graph: The graph.
        source: Its input that holds the signals.
        pieces: The signals.
        noise: The noise.
    """
    random, made = np.random.default_rng(0), noise.copy()
    for feature, count in _known(graph, source, features_of_ids(pieces)).items():
        made[..., feature] = random.integers(0, count, made.shape[:-1])
    return made


def _known(graph: Graph, source: str, features: Sequence[int]) -> dict[int, int]:
    """Return for each feature that holds ids the number of ids that all its tables have, at least 1."""
    known = dict.fromkeys(features, 0)
    for node in graph.nodes:
        rows = _rows(graph, node.input[0]) if node.op_type == "Gather" else 0
        feature = _feature(graph, source, node.input[1]) if rows else None
        if feature in known:
            known[feature] = min(rows, known[feature] or rows)
    return {feature: max(count, 1) for feature, count in known.items()}


def _rows(graph: Graph, name: str) -> int:
    """Return the rows of a table, of floats or of codes with scales; 0 for other values."""
    maker = graph.producer(name)
    table = graph.constant(maker.input[0] if maker is not None and maker.op_type == "DequantizeLinear" else name)
    return len(table) if table is not None and table.ndim == 2 else 0


def _feature(graph: Graph, source: str, name: str) -> int | None:
    """Return the feature of the input that ids are taken from; None if it is not known."""
    while (node := graph.producer(name)) is not None and node.input:
        index = graph.constant(node.input[1]) if node.op_type == "Gather" else None
        if node.input[0] == source:
            return int(index) if index is not None and index.ndim == 0 else None
        name = node.input[0]
    return None
