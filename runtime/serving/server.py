"""A server: models on engines, doors to them, until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..errors import ModelError
from .access import Access
from .engine import Engine
from .keeper import Keeper
from .keeping import KeepingEngine
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
    ) -> None:
        names = [model.name for model in models]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ModelError(f"two models are called {twice!r}; rename one file")
        self.tickers = {model.name: _ticker(model, limits, store) for model in models}
        self.websocket_doors: list[WebsocketDoor] = []
        self._access = access or Access()
        self._inference_doors: list[GrpcDoor | HttpDoor] = []
        self._sweeper = asyncio.create_task(self._sweep())

    async def open_websocket(self, address: Address) -> int:
        """Open the websocket door at a host and port; return the port, which the system chooses for 0.

        Raises:
            OSError: The address is not free.
        """
        from .doors.websocket import WebsocketDoor

        door = WebsocketDoor(self.tickers, self._access)
        port = await door.listen(*address)
        self.websocket_doors.append(door)
        return port

    async def open_grpc(self, address: Address) -> int:
        """Open the door of the Open Inference Protocol over gRPC, as `open_websocket` does.

        Raises:
            OSError: The address is not free.
        """
        from .doors.inference_grpc import GrpcDoor

        door = GrpcDoor(self.tickers, version("tidegate"), self._access)
        port = await door.listen(*address)
        self._inference_doors.append(door)
        return port

    async def open_http(self, address: Address) -> int:
        """Open the door of the Open Inference Protocol over HTTP, as `open_websocket` does.

        Raises:
            OSError: The address is not free.
        """
        from .doors.inference_http import HttpDoor

        door = HttpDoor(self.tickers, version("tidegate"), self._access)
        port = await door.listen(*address)
        self._inference_doors.append(door)
        return port

    async def drain(self) -> None:
        """Answer what waits, refuse the rest, tell all clients that they go on elsewhere, and close the doors."""
        for ticker in self.tickers.values():
            ticker.engine.leaving = True
            while ticker.engine.waits:
                ticker.engine.tick()
            ticker.engine.save_all()
            await asyncio.to_thread(ticker.engine.close)
            ticker.engine.collect()
        self._sweeper.cancel()
        doors = [*self.websocket_doors, *self._inference_doors]
        await asyncio.gather(*(door.close(GRACE) for door in doors))

    async def _sweep(self) -> None:
        """Once a second, give up idle streams."""
        while True:
            await asyncio.sleep(1)
            for ticker in self.tickers.values():
                ticker.engine.sweep()
            for door in self.websocket_doors:
                door.breathe()


def _ticker(model: ServedModel, limits: Limits | None, store: Store | None) -> Ticker:
    if store is None:
        return Ticker(Engine(model, limits))
    keeper = Keeper(store)
    ticker = Ticker(KeepingEngine(model, keeper, limits))
    keeper.start(ticker.wake)
    return ticker


async def serve(
    models: Sequence[ServedModel],
    limits: Limits | None = None,
    *,
    store: Store | None = None,
    access: Access | None = None,
    websocket: Address | None = None,
    grpc: Address | None = None,
    http: Address | None = None,
    ready: Callable[[dict[str, int]], None] | None = None,
) -> None:
    """Serve models until SIGTERM or SIGINT, then drain.

    Args:
        models: The models.
        limits: What the clients of each model may use.
        store: Where streams outlive this process; None: they end with it.
        access: Who may come in; None: everyone, without TLS.
        websocket: Host and port of the websocket door; None leaves a door out.
        grpc: Those of the door of the Open Inference Protocol over gRPC.
        http: Those of the same over HTTP.
        ready: Called when all doors are open, with their ports.

    Raises:
        ModelError: Two models have one name, or one looks ahead.
        OSError: An address is not free.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(models, limits, store, access)
    opens = {"ws": server.open_websocket, "grpc": server.open_grpc, "http": server.open_http}
    wanted = {"ws": websocket, "grpc": grpc, "http": http}
    ports = {name: await opens[name](address) for name, address in wanted.items() if address is not None}
    if ready is not None:
        ready(ports)
    await stop.wait()
    await server.drain()
