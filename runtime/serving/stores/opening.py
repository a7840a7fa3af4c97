"""Which store a text names: a folder, or the URL of a server."""

from importlib.util import find_spec
from pathlib import Path

from ...errors import BackendError
from .store import Store


def open_store(where: str) -> Store:
    """Open a store.

    Args:
        where: A folder, or the URL of a Redis server: `redis://`, `rediss://`, `unix://`.

    Raises:
        BackendError: The package `redis` is not installed.
        ServerError: The URL is none, or its server does not answer.
        OSError: The folder cannot be made or written.
    """
    if "://" not in where:
        from .folder import FolderStore

        return FolderStore(Path(where))
    if find_spec("redis") is None:
        raise BackendError("redis is not installed; run: pip install 'tidegate[serve]'")
    from .redis import RedisStore

    return RedisStore(where)
