"""An engine with a store: a stream goes on in another process, or later, and never in two processes at once.

Before a stream's first chunk is taken, the store makes this process its owner, with a number above those of all owners
before: its epoch. A record is stored only under the newest epoch. So a process that lost a stream learns it when it
stores the next record, or when a client asks it.
"""

import time
from collections.abc import Callable

from ..errors import SnapshotError
from .engine import Engine
from .held_stream import HeldStream
from .keeper import Claimed, Keeper, Stored
from .requests import Limits, Refused, Request, Why
from .served_model import ServedModel
from .stores.store import Record, StoreError


class KeepingEngine(Engine):
    """Streams of one model in progress, with a store.

    Args:
        served: The model.
        keeper: The way to the store.
        limits: What clients may use.
        clock: Gives the time in seconds, never less than before.
        adopts: Whether streams of other plans of the model go on over this one.

    Raises:
        UnsupportedError: The model looks ahead.
    """

    durable = True
    old_plans = 4

    def __init__(
        self,
        served: ServedModel,
        keeper: Keeper,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        adopts: bool = False,
    ) -> None:
        super().__init__(served, limits, clock, adopts=adopts)
        self._keeper = keeper
        self._purged = self._clock()
        keeper.purge(self.limits.stored)
        self._fetched: set[tuple[str, str]] = set()  # streams that may be in the store, or nowhere

    def collect(self) -> None:
        """Take in what the store has answered; requests that waited for it get their replies."""
        for result in self._keeper.results():
            _, owner, name = result.key.split("\0")
            stream = self._streams.get((owner, name))
            if isinstance(result, Stored):
                self._stored(stream, result)
                continue
            self._fetched.discard((owner, name))
            if stream is not None:
                self._opened(stream, result)

    def save_all(self) -> None:
        """Put every stream into the store: the process stops."""
        for stream in self._streams.values():
            self._rest(stream)

    def sweep(self) -> None:
        """Put the streams away that nothing was heard of for too long; they go on when they are asked for."""
        super().sweep()
        now = self._clock()
        if now - self._purged > self.limits.stored / 24:
            self._purged = now
            self._keeper.purge(self.limits.stored)

    def close(self) -> None:
        """Wait until the store has everything."""
        self._keeper.close()

    # ---- requests that wait for the store ----

    def _started(self, request: Request) -> HeldStream:
        stream = super()._started(request)
        self._ask(stream, fresh=request.start)
        return stream

    def _absent(self, request: Request) -> HeldStream:
        """Fetch a stream; a flood of unknown names leaves places to others, and a short queue to the store."""
        most = max(min(self.limits.fetched, self.limits.streams // 2), 1)
        if len(self._fetched) >= most:
            raise Refused(Why.busy, f"{most} streams are fetched from the store; send the chunk again later")
        self._fetched.add(request.key)
        return self._started(request)

    def _holds(self, stream: HeldStream, request: Request) -> bool:
        """Hold a request until the store has answered, if the stream is new here, or may have been elsewhere."""
        ahead = request.ask or (request.frame or 0) > stream.next
        if stream.ended or (not stream.opening and (request.sure or not ahead)):
            return False
        if len(stream.held) >= self.limits.window:
            raise Refused(Why.busy, f"stream {stream.name!r} is fetched from the store; send the chunk again later")
        self._ask(stream, fresh=False)
        stream.held.append(request)
        self.waiting_bytes += len(request.payload)
        return True

    def _ask(self, stream: HeldStream, *, fresh: bool) -> None:
        if not stream.opening:
            stream.opening = True
            self._keeper.claim(self._store_key(stream), fresh=fresh)

    def _opened(self, stream: HeldStream, result: Claimed) -> None:
        """Go on with a stream of which the store has answered."""
        stream.opening = False
        held, stream.held = stream.held, []
        for request in held:
            self._unwait(request)
            request.sure = True
        try:
            self._take_over(stream, result)
        except Refused as refused:
            if not (result.error and stream.epoch):
                self._give_up(stream, refused)
            for request in held:
                self._refuse(request, refused)
            return
        for request in held:
            self.submit(request)

    def _take_over(self, stream: HeldStream, result: Claimed) -> None:
        """Take the record of a claim, unless the stream did not leave this process.

        Raises:
            Refused: The store does not answer, has no such stream, or one of another model.
        """
        if result.error:
            self.counters.store_errors += 1
            raise Refused(Why.busy, f"the store does not answer ({result.error}); send the chunk again later")
        if result.claim is None:
            raise Refused(Why.unknown, f"stream {stream.name!r} is neither here nor in the store; start it at frame 0")
        claim, at_home = result.claim, result.claim.before == stream.epoch > 0
        stream.epoch = claim.epoch
        if at_home or not claim.record:
            return
        try:
            record = Record.from_bytes(claim.record)
            if not record.ended:
                self._restore(stream, record)
        except (StoreError, SnapshotError) as error:
            raise Refused(Why.model, f"stream {stream.name!r} cannot go on with this model: {error}") from None
        self._go_on(stream, record)

    def _restore(self, stream: HeldStream, record: Record) -> None:
        """Go on from a record, on the newest plan that takes it; if none does, the newest refuses it."""
        plans = (self._current, *reversed(self._before))
        wanted = record.snapshot, record.source, record.layout
        found = next((plan for plan in plans if plan.takes(*wanted)), None)
        if found is None:
            raise SnapshotError("it is of another plan; serve that, or adopt its streams where the layout is the same")
        if stream.generation is not found:
            stream.move(found, found.take())
        found.restore(stream.row, record.snapshot)

    def _go_on(self, stream: HeldStream, record: Record) -> None:
        self._turn_away(stream, Refused(Why.moved, f"stream {stream.name!r} was in another process; ask where it is"))
        self._ready.pop(stream.key, None)
        stream.go_on(record.position, record.kept)
        self.counters.restored += 1
        if record.ended:
            stream.ended = True
            self._leave(stream)
            self._ended[stream.key] = stream

    # ---- records ----

    def _rest(self, stream: HeldStream) -> None:
        """Store a stream, soon."""
        if stream.opening:
            return  # the store may find that it is not ours
        generation, row = stream.seat
        snapshot = b"" if stream.ended else generation.group.snapshot(row)
        hashes = generation.served.source, generation.served.layout
        record = Record(stream.position, stream.ended, stream.kept, snapshot, *hashes).to_bytes()
        self._keeper.put(self._store_key(stream), stream.epoch, stream.position, record)
        stream.saved = stream.position

    def _forget(self) -> HeldStream:
        stream = super()._forget()
        self._keeper.drop(self._store_key(stream), stream.epoch)
        return stream

    def _stored(self, stream: HeldStream | None, result: Stored) -> None:
        self.counters.store_errors += bool(result.error)
        self.counters.snapshots += result.owned
        if stream is None or stream.epoch != result.epoch:
            return
        if result.owned:
            stream.durable = max(stream.durable, result.position)
        elif not result.error:
            self.counters.fenced += 1
            self._give_up(stream, Refused(Why.moved, f"stream {stream.name!r} goes on in another process"))

    def _store_key(self, stream: HeldStream) -> str:
        return "\0".join((self.served.name, stream.owner, stream.name))
