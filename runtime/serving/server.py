"""A server: models on engines, doors to them, until it is told to stop."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..errors import ServerError
from .access import Access
from .engine import Engine
from .log import Log, warnings_in
from .repository import Repository
from .requests import Limits
from .served_model import ServedModel
from .stores.store import Store
from .ticker import Ticker

if TYPE_CHECKING:  # each door needs a package of its own, which is imported when the door is opened
    from .doors.inference_grpc import GrpcDoor
    from .doors.inference_http import HttpDoor
    from .doors.websocket import WebsocketDoor

GRACE = 5.0  # seconds in which clients may read their last replies

Address = tuple[str, int]


class Server:
    """Models behind doors, in the event loop that runs when it is made.

    Args:
        models: The models; each has a name of its own.
        limits: What the clients of each model may use.
        store: Where streams outlive this process; None: they end with it.
        access: Who may come in; None: everyone, without TLS.
        adopts: Whether streams of other plans with the same layout of state go on over these, and those loaded later.
        log: Takes what happens; None: nothing is written.

    Raises:
        ModelError: Two models have one name.
        UnsupportedError: A model looks ahead.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        limits: Limits | None = None,
        store: Store | None = None,
        access: Access | None = None,
        *,
        adopts: bool = False,
        log: Log | None = None,
    ) -> None:
        self.log = log or Log()
        self.repository = Repository(models, limits or Limits(), store, self.log, adopts=adopts)
        self.websocket_doors: list[WebsocketDoor] = []
        self._access = access or Access()
        self._grpc_doors: list[GrpcDoor] = []
        self._http_doors: list[HttpDoor] = []
        self._loads: set[asyncio.Task[None]] = set()
        self._sweeper = asyncio.create_task(self._sweep())

    @property
    def tickers(self) -> dict[str, Ticker]:
        """The engines by the names of their models."""
        return self.repository.tickers

    @property
    def engines(self) -> dict[str, Engine]:
        """The same without their place in the loop."""
        return self.repository.engines

    async def open_websocket(self, address: Address) -> int:
        """Open the websocket door at a host and port; return the port, which the system chooses for 0.

        Raises:
            OSError: The address is not free.
        """
        from .doors.websocket import WebsocketDoor

        door = WebsocketDoor(self.repository, self._access)
        port = await _listen(door, address)
        self.websocket_doors.append(door)
        return port

    async def open_grpc(self, address: Address) -> int:
        """Open the door of the Open Inference Protocol over gRPC, as `open_websocket` does.

        Raises:
            OSError: The address is not free.
        """
        from .doors.inference_grpc import GrpcDoor

        door = GrpcDoor(self.repository, version("tidegate"), self._access)
        port = await _listen(door, address)
        self._grpc_doors.append(door)
        return port

    async def open_http(self, address: Address) -> int:
        """Open the door of the Open Inference Protocol over HTTP, as `open_websocket` does.

        Raises:
            OSError: The address is not free.
        """
        from .doors.inference_http import HttpDoor

        door = HttpDoor(self.repository, version("tidegate"), self._access)
        port = await _listen(door, address)
        self._http_doors.append(door)
        return port

    def reload(self) -> None:
        """Begin to read the files of all models again."""
        task = asyncio.create_task(self.repository.load_all())
        self._loads.add(task)  # the loop itself would forget it
        task.add_done_callback(self._loads.discard)

    async def drain(self) -> None:
        """Answer what waits, refuse the rest, tell all clients that they go on elsewhere, and close the doors."""
        await self.repository.drain()
        self.log.counters(self.engines, last=True)
        self._sweeper.cancel()
        doors: list[WebsocketDoor | GrpcDoor | HttpDoor]
        doors = [*self.websocket_doors, *self._grpc_doors, *self._http_doors]
        await asyncio.gather(*(door.close(GRACE) for door in doors))

    async def _sweep(self) -> None:
        """Once a second, give up idle streams."""
        while True:
            await asyncio.sleep(1)
            for engine in self.engines.values():
                engine.sweep()
            self.log.counters(self.engines)
            doors: list[WebsocketDoor | HttpDoor] = [*self.websocket_doors, *self._http_doors]
            for door in doors:
                door.breathe()


async def _listen(door: "WebsocketDoor | GrpcDoor | HttpDoor", address: Address) -> int:
    """Open a door and return its port; an address that is not free is refused in the same words by each."""
    host, port = address
    try:
        return await door.listen(host, port)
    except OSError as error:
        known = (error.errno or 0) > 0  # not of a name, and grpcio has none
        reason = os.strerror(error.errno or 0) if known else error.strerror or "cannot be opened"
        raise OSError(
            f"{host}:{port}: {reason}; wanted an address of this machine and a free port, or 0 for any"
        ) from None


async def serve(
    models: Sequence[ServedModel],
    limits: Limits | None = None,
    *,
    store: Store | None = None,
    access: Access | None = None,
    websocket: Address | None = None,
    grpc: Address | None = None,
    http: Address | None = None,
    adopts: bool = False,
    log: Log | None = None,
    ready: Callable[[dict[str, int]], None] | None = None,
) -> None:
    """Serve models until SIGTERM or SIGINT, then drain. SIGHUP reads the files of all models again.

    Args:
        models: The models.
        limits: What the clients of each model may use.
        store: Where streams outlive this process; None: they end with it.
        access: Who may come in; None: everyone, without TLS.
        websocket: Host and port of the websocket door; None leaves a door out.
        grpc: Those of the door of the Open Inference Protocol over gRPC.
        http: Those of the same over HTTP.
        adopts: Whether streams of other plans with the same layout of state go on over these, and those loaded later.
        log: Takes what happens; None: nothing is written.
        ready: Called when all doors are open, with their ports.

    Raises:
        ModelError: Two models have one name, or one looks ahead.
        OSError: An address is not free.
        ServerError: The system is Windows, which has none of these signals.
    """
    if not hasattr(signal, "SIGHUP"):
        raise ServerError("Windows has no signals that would end a server; serve on Linux or macOS, or in WSL")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(models, limits, store, access, adopts=adopts, log=log)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    opens = {"ws": server.open_websocket, "grpc": server.open_grpc, "http": server.open_http}
    wanted = {"ws": websocket, "grpc": grpc, "http": http}
    with warnings_in(server.log):
        ports = {name: await opens[name](address) for name, address in wanted.items() if address is not None}
        if ready is not None:
            ready(ports)
        server.log.line("open", version=version("tidegate"), models=list(server.tickers), ports=ports)
        await stop.wait()
        server.log.line("drain", streams={name: engine.streams for name, engine in server.engines.items()})
        await server.drain()
    server.log.line("closed")
