"""Streams on replicas of Ray Serve: each is placed by a hash of its name, and goes on elsewhere from the store.

serve run streams:app model=/models/watch.tide store=redis://10.0.0.5:6379/0 replicas=3
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig
from tidegate.runtime.serving.access import Access
from tidegate.runtime.serving.doors.asgi import AsgiDoor, Receive, Send
from tidegate.runtime.serving.requests import Limits
from tidegate.runtime.serving.served_model import ServedModel
from tidegate.runtime.serving.server import Server
from tidegate.runtime.serving.stores.opening import open_store

ROUTER = "ray.serve.experimental.consistent_hash_router:ConsistentHashRouter"
CONNECTIONS = 4096  # of a replica; more go to the next on the ring
LEAVING = 2.0  # seconds that a replica which is to stop serves on; then its connections break off, and go on elsewhere
KNOWN = {"model", "store", "replicas", "tokens", "every", "cpus"}


class Replica:
    """An application of ASGI that holds the streams of one replica.

    Args:
        arguments: Those of `app`.
    """

    def __init__(self, arguments: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._server: Server | None = None
        self._door: AsgiDoor | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Begin and end, or serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._door is not None:
            await self._door(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Open the model, and at the end store all streams."""
        await receive()
        self._open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._server is not None:
            await self._server.drain()
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self) -> None:
        given = self._arguments
        access = Access.of(Path(given["tokens"])) if "tokens" in given else Access()
        limits = Limits(every=int(given.get("every", "50")))
        models = [ServedModel.of(path) for path in given["model"].split(",")]
        self._server = Server(models, limits, open_store(given["store"]), access)
        self._door = AsgiDoor(self._server.repository, access)


def app(arguments: Mapping[str, str]) -> serve.Application:
    """Return the application that `serve run` starts.

    Args:
        arguments: `model`, the path of a plan or several with commas between, there on each node; `store`, a folder
            that all nodes see or the URL of a Redis server; and optional `replicas` (2), `tokens`, a file of tokens as
            `tidegate serve` takes it, `every`, the frames between two snapshots (50), `cpus` of a replica (1).

    Raises:
        ValueError: An argument is missing or not known.
    """
    if not {"model", "store"} <= arguments.keys() <= KNOWN:
        raise ValueError(f"the arguments are {sorted(arguments)}, wanted model and store, and any of {sorted(KNOWN)}")
    deployment = serve.deployment(
        name="tidegate",
        num_replicas=int(arguments.get("replicas", "2")),
        max_ongoing_requests=CONNECTIONS,
        ray_actor_options={"num_cpus": float(arguments.get("cpus", "1"))},
        graceful_shutdown_timeout_s=LEAVING,
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
    )
    return deployment(serve.ingress(Replica(dict(arguments)))()).bind()
