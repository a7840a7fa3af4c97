"""Streams on a server that `tidegate serve` runs: `pip install 'tidegate[client]'`."""

from tidegate.runtime.serving.client.blocking import Stream
from tidegate.runtime.serving.client.waiting import AsyncStream

__all__ = ["AsyncStream", "Stream"]
