"""Snapshots of one model as those of another whose state has the same layout; docs/snapshot.md is the specification."""

from collections.abc import Iterable

from ..errors import SnapshotError
from ..streams import SNAPSHOT_MODEL, Model


def layout_text(sizes: Iterable[tuple[str, object]], *, looks_ahead: bool) -> str:
    """Return the layout of a state as text, from the name and the size of each part in the order of a snapshot."""
    return "looks ahead" if looks_ahead else " ".join(f"{name}:{size}" for name, size in sizes)


def adopted(model: Model, snapshot: bytes, layout: str) -> bytes:
    """Return a snapshot of another model as one of this model; see `runtime.streams.Model.adopt`."""
    from .onnxruntime_snapshot import sealed  # here, for a start from a plan needs no hashes: 5 ms

    if "looks ahead" in (layout, model.layout):
        raise SnapshotError("snapshot: of a model that looks ahead, which no other model goes on from; start anew")
    if layout != model.layout:
        raise SnapshotError(
            f"snapshot: the layout of its state is {layout[:500]!r}, wanted {model.layout[:500]!r}; restore it to a "
            "model of the same layers, or start anew"
        )
    if snapshot != sealed(snapshot):
        raise SnapshotError("snapshot: hash is not that of its bytes; it is damaged, take it again")
    return sealed(snapshot[: SNAPSHOT_MODEL.start] + model.hash + snapshot[SNAPSHOT_MODEL.stop :])
