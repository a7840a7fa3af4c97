"""Snapshots of one model as those of another whose state has the same layout; docs/snapshot.md is the specification."""

from collections.abc import Iterable
from hashlib import blake2b

from ..errors import SnapshotError
from ..streams import Model

HASH, BODY, MODEL, COUNTS = 16, 48, 56, 88  # where the fields of a snapshot begin


def layout_text(sizes: Iterable[tuple[str, object]], *, looks_ahead: bool) -> str:
    """Return the layout of a state as text, from the name and the size of each part in the order of a snapshot."""
    return "looks ahead" if looks_ahead else " ".join(f"{name}:{size}" for name, size in sizes)


def adopted(model: Model, snapshot: bytes, layout: str) -> bytes:
    """Return a snapshot of another model as one of this model; see `runtime.streams.Model.adopt`."""
    if "looks ahead" in (layout, model.layout):
        raise SnapshotError("snapshot: of a model that looks ahead, which no other model goes on from; start anew")
    if layout != model.layout:
        raise SnapshotError(
            f"snapshot: the layout of its state is {layout[:500]!r}, wanted {model.layout[:500]!r}; restore it to a "
            "model of the same layers, or start anew"
        )
    if snapshot[HASH:BODY] != _hash(snapshot[BODY:]):
        raise SnapshotError("snapshot: hash is not that of its bytes; it is damaged, take it again")
    body = snapshot[BODY:MODEL] + model.hash + snapshot[COUNTS:]
    return snapshot[:HASH] + _hash(body) + body


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()
