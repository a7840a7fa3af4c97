"""What models, streams and groups say of themselves: where they run, and how far they are."""

from ..errors import BackendError
from ..streams import Group, Model, Stream


def describe_model(model: Model) -> str:
    """Return the repr of a model: where it runs, its signals and the number of its states."""
    contract = model.contract
    names = [", ".join(names) for names in (contract.signals, [port.name for port in contract.outputs])]
    return f"<tidegate model on {model.backend}: {' -> '.join(names)}, states: {len(contract.states)}>"


def describe_stream(stream: Stream, backend: str) -> str:
    """Return the repr of a stream: where it runs, and how far it is."""
    try:
        seen = f"frames: {stream.frames}{', finished' if stream.finished else ''}"
    except BackendError:
        seen = "in use by another thread"
    return f"<tidegate stream on {backend}: {seen}>"


def describe_group(group: Group, backend: str) -> str:
    """Return the repr of a group: where it runs, and its rows."""
    return f"<tidegate group on {backend}: rows: {group.rows}, joined: {len(group.joined)}>"
