"""Which store a text names: a folder, or the URL of a server."""

from importlib.util import find_spec
from pathlib import Path

from ...errors import BackendError
from .store import Store


def open_store(where: str) -> Store:
    """Open a store.

    Args:
        where: A folder, or the URL of a bucket, `s3://`, or of a Redis server: `redis://`, `rediss://`, `unix://`.

    Raises:
        BackendError: The package `redis` or `obstore` is not installed.
        ServerError: The URL is none, or its server does not answer.
        OSError: The folder cannot be made or written.
    """
    if "://" not in where:
        from .folder import FolderStore

        return FolderStore(Path(where))
    if where.startswith("s3://"):
        _require("obstore", "serve,s3")
        from .s3 import S3Store

        return S3Store(where)
    _require("redis", "serve")
    from .redis import RedisStore

    return RedisStore(where)


def _require(package: str, extras: str) -> None:
    if find_spec(package) is None:
        raise BackendError(f"{package} is not installed; run: pip install 'tidegate[{extras}]'")
