"""The models of a server by name: loaded, tried, swapped and unloaded while streams are in progress."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import ModelError, TidegateError
from .engine import Engine
from .generation import Generation, try_out
from .keeper import Keeper
from .keeping import KeepingEngine
from .log import Log
from .requests import Limits, Refused, Why
from .served_model import ServedModel
from .stores.store import Store
from .ticker import Ticker

MOST_CONFIG = 2**12  # characters of a load call's configuration


class Entry(NamedTuple):
    """A model in the index.

    Attributes:
        name: Its name.
        state: READY or UNAVAILABLE.
        reason: Why its last load was refused, or why it is not there; else empty.
    """

    name: str
    state: str
    reason: str


class Repository:
    """The models of a server.

    Args:
        models: Those to begin with; each has a name of its own.
        limits: What the clients of each model may use.
        store: Where streams outlive this process; None: they end with it.
        adopts: Whether streams of other plans with the same layout of state go on over those that are loaded.
        log: Takes what happens.

    Raises:
        ModelError: Two models have one name.
        UnsupportedError: A model looks ahead.
    """

    def __init__(
        self, models: Sequence[ServedModel], limits: Limits, store: Store | None, log: Log, *, adopts: bool
    ) -> None:
        names = [model.name for model in models]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ModelError(f"two models are called {twice!r}; rename one file")
        self._limits, self._store, self._log, self._adopts = limits, store, log, adopts
        self._known = {model.name: model for model in models}
        self._reasons = dict.fromkeys(names, "")
        self._one_at_a_time = asyncio.Lock()
        self.tickers = {model.name: self._open(model, adopts=adopts) for model in models}
        self.ready = True

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines by the names of their models."""
        return {name: ticker.engine for name, ticker in self.tickers.items()}

    def named_by(self, path: str) -> Ticker:
        """Return the engine of the model that the path of a websocket names; it may be left out if there is only one.

        Raises:
            Refused: There is no such model.
        """
        only = next(iter(self.tickers.values())) if len(self.tickers) == 1 and not path else None
        ticker = self.tickers.get(path, only)
        if ticker is None:
            raise Refused(Why.missing, f"no such model; there are {', '.join(self.tickers)}")
        return ticker

    def index(self) -> list[Entry]:
        """Return all models, those that were unloaded too."""
        states = {name: "READY" if name in self.tickers else "UNAVAILABLE" for name in self._known}
        return [Entry(name, state, self._reasons[name]) for name, state in states.items()]

    async def load(self, name: str, *, adopts: bool | None = None) -> int:
        """Read the file of a model again and try it; then streams start on it, and the old ones as `Engine.swap` says.

        Args:
            name: The model.
            adopts: Whether streams of other plans go on over it; None: as the server was told.

        Returns:
            How many streams in progress went over.

        Raises:
            Refused: There is no such model, or its file is refused; then the old plan is still served.
        """
        known = self._the(name)
        if not self.ready:
            raise Refused(Why.moved, "this server stops; go on at another one")
        adopts = self._adopts if adopts is None else adopts
        async with self._one_at_a_time:
            try:
                generation = await asyncio.to_thread(self._prepare, known, adopts=adopts)
                carried = self._put(generation)
            except (TidegateError, OSError) as error:
                why = _without_paths(str(error), known)
                self._reasons[name] = why
                self._log.line("load refused", model=name, reason=why)
                raise Refused(Why.model, f"{why}; the plan that was served is unchanged") from None
        self._known[name], self._reasons[name] = generation.served, ""
        self._log.line(
            "loaded", model=name, plan=generation.served.model.hash.hex()[:16], adopt=adopts, carried=carried
        )
        return carried

    async def load_all(self) -> None:
        """Read the files of all models again; what is refused is logged."""
        for name in self._known:
            try:
                await self.load(name)
            except Refused:
                continue

    async def unload(self, name: str) -> None:
        """Serve a model no longer: its streams go into the store, and their clients are told to go on elsewhere.

        Raises:
            Refused: There is no such model.
        """
        self._the(name)
        async with self._one_at_a_time:
            ticker = self.tickers.pop(name, None)
            if ticker is not None:
                await _drain(ticker)
                self._reasons[name] = "unloaded"
                self._log.line("unloaded", model=name)

    async def drain(self) -> None:
        """Answer what waits, refuse the rest, and store all streams."""
        self.ready = False
        async with self._one_at_a_time:
            for ticker in self.tickers.values():
                await _drain(ticker)

    def _the(self, name: str) -> ServedModel:
        if name not in self._known:
            raise Refused(Why.missing, f"there is no model {name[:64]!r}; there are {', '.join(self._known)}")
        return self._known[name]

    def _prepare(self, known: ServedModel, *, adopts: bool) -> Generation:
        """Load and try the file of a model; runs in a thread of its own.

        Raises:
            ModelError: It is not a model, of another form than the old one, or fails its trial.
            OSError: It cannot be read.
        """
        served = known.read_again()
        known.check_form(served)
        try_out(served)
        return Generation(served, self._limits.streams, adopts=adopts)

    def _put(self, generation: Generation) -> int:
        served = generation.served
        if served.name in self.tickers:
            return self.tickers[served.name].engine.swap(generation)
        self.tickers[served.name] = self._open(served, adopts=generation.adopts)
        return 0

    def _open(self, model: ServedModel, *, adopts: bool) -> Ticker:
        if self._store is None:
            return Ticker(Engine(model, self._limits, adopts=adopts))
        keeper = Keeper(self._store)
        ticker = Ticker(KeepingEngine(model, keeper, self._limits, adopts=adopts))
        keeper.start(ticker.wake)
        return ticker


def _without_paths(text: str, known: ServedModel) -> str:
    """Return a text for clients, in which files have only their names."""
    for path in (known.file, known.require):
        if path is not None:
            text = text.replace(str(path), path.name)
    return text


async def _drain(ticker: Ticker) -> None:
    """Answer what waits on a model, refuse what comes, and store its streams."""
    ticker.engine.leaving = True
    while ticker.engine.waits:
        ticker.engine.tick()
    ticker.engine.save_all()
    await asyncio.to_thread(ticker.engine.close)
    ticker.engine.collect()


def wants_adoption(parameters: Mapping[str, object]) -> bool | None:
    """Return what a load call says about the streams of the old plan: its configuration is `{"adopt": true}`.

    Raises:
        Refused: It has a parameter that is not known; files are not taken.
    """
    for name in parameters:
        if name != "config":
            text = f"parameter {name[:64]!r} is not taken: put the file in place of the old one, and load its model"
            raise Refused(Why.format, text)
    config = parameters.get("config", "{}")
    try:
        fields = json.loads(config) if isinstance(config, str) and len(config) <= MOST_CONFIG else None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or fields.keys() - {"adopt"} or not isinstance(fields.get("adopt", True), bool):
        raise Refused(Why.format, 'the config of a load call is a JSON text, wanted {} or {"adopt": true or false}')
    adopt: bool | None = fields.get("adopt")
    return adopt
