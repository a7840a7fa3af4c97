"""The engine of a server, without doors: it holds streams by name, and pushes the chunks that wait together.

It knows neither time nor network: a clock is given, a door calls `submit` for each request, and someone calls `tick`
while chunks wait. All calls come from one thread. `keeping.py` adds a store, from which streams go on elsewhere.
"""

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence

from ..errors import RefusedRowsError
from .held_stream import HeldStream
from .requests import Counters, Limits, Refused, Reply, Request, Why, check
from .served_model import ServedModel

MOST_VALUES = 2**22  # values that go into one call of the group, or come out of it: 16 MiB

Key = tuple[str, str]


class Engine:
    """Streams of one model in progress.

    Args:
        served: The model.
        limits: What clients may use.
        clock: Gives the time in seconds, never less than before.

    Raises:
        UnsupportedError: The model looks ahead: its streams cannot be pushed together.
    """

    durable = False  # whether streams outlive the process

    def __init__(
        self, served: ServedModel, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.served = served
        self.limits = limits or Limits()
        self.counters = Counters()
        self.waiting_bytes = 0
        self.leaving = False  # whether the process stops: then nothing new is taken in
        self._clock = clock
        self._group = served.model.streams(self.limits.streams)  # all rows stay joined: one that is free is reset
        self._free = list(range(self.limits.streams - 1, -1, -1))
        self._streams: OrderedDict[Key, HeldStream] = OrderedDict()  # the one that was heard last comes last
        self._ended: OrderedDict[Key, HeldStream] = OrderedDict()  # their last answers may be asked for again
        self._ready: dict[Key, HeldStream] = {}
        self._owners: Counter[str] = Counter()

    @property
    def streams(self) -> int:
        """Streams in progress."""
        return len(self._streams)

    @property
    def largest_chunk(self) -> int:
        """Bytes of the largest chunk that is taken."""
        return self.limits.frames * self.served.frame_bytes

    @property
    def waits(self) -> bool:
        """Whether a chunk waits for `tick`."""
        return bool(self._ready)

    def submit(self, request: Request) -> None:
        """Take in a request. Its reply comes during this call, or during a later `tick`."""
        try:
            self._check(request)
            stream = self._found(request)
            if self._holds(stream, request):
                return
            reply = stream.admit(request, self.limits)
        except Refused as refused:
            self._refuse(request, refused)
            return
        if reply is None:
            self._wait(stream, request)
        else:
            self.counters.again += bool(reply.frames)
            request.reply(request, reply)

    def tick(self) -> None:
        """Push the first waiting chunk of every stream, those of the same length together."""
        ready, self._ready = self._ready, {}
        by_length: defaultdict[int, list[HeldStream]] = defaultdict(list)
        for stream in ready.values():
            by_length[stream.waiting[0].frames].append(stream)
        for frames, streams in by_length.items():
            values = max(frames * self.served.frame_bytes // 4, self.served.answer_values(frames), 1)
            most = max(MOST_VALUES // values, 1)
            for at in range(0, len(streams), most):
                self._push(streams[at : at + most], frames)
        for stream in ready.values():
            if stream.waiting:
                self._ready[stream.key] = stream

    def collect(self) -> None:
        """Take in what a store has answered; this engine has none."""

    def save_all(self) -> None:
        """Put every stream into the store, if there is one: the process stops."""

    def close(self) -> None:
        """Wait until the store has everything."""

    def sweep(self) -> None:
        """Give up the streams that nothing was heard of for too long."""
        horizon = self._clock() - self.limits.idle
        while self._streams and (stream := next(iter(self._streams.values()))).heard < horizon:
            if stream.waiting or stream.opening:
                break
            self._rest(stream)
            self._leave(stream)
            self.counters.idle += 1
        while self._ended and next(iter(self._ended.values())).heard < horizon:
            self._forget()

    def drop(self, owner: str, name: str) -> None:
        """Forget a stream, if it is there; the chunks of it that wait are refused."""
        self._ended.pop((owner, name), None)
        stream = self._streams.get((owner, name))
        if stream is not None:
            self._turn_away(stream, Refused(Why.unknown, f"stream {name!r} was started anew"))
            self._leave(stream)

    # ---- requests ----

    def _check(self, request: Request) -> None:
        if self.leaving:
            raise Refused(Why.moved, "this process stops; go on at another one")
        check(request, self.limits, self.served.frame_bytes)
        if self.waiting_bytes + len(request.payload) > self.limits.waiting_bytes:
            raise Refused(Why.busy, f"{self.waiting_bytes} bytes of chunks wait; send the chunk again later")

    def _found(self, request: Request) -> HeldStream:
        """Return the stream of a request, which is started if the request says so."""
        stream = self._streams.get(request.key)
        if stream is not None:
            stream.heard = self._clock()
            self._streams.move_to_end(request.key)
            return stream
        ended = self._ended.get(request.key)
        if ended is not None and (not request.start or ended.has_answer(request)):
            return ended
        return self._started(request) if request.start else self._absent(request)

    def _started(self, request: Request) -> HeldStream:
        if self._owners[request.owner] >= self.limits.streams_of_one:
            raise Refused(Why.limit, f"you have {self.limits.streams_of_one} streams in progress; end one first")
        if not self._free:
            raise Refused(Why.limit, f"all {self.limits.streams} streams of this process are taken; try again later")
        self._ended.pop(request.key, None)
        stream = HeldStream(request.owner, request.name, self._clock(), self._free.pop())
        self._streams[stream.key] = stream
        self._owners[stream.owner] += 1
        self.counters.started += request.start
        return stream

    def _absent(self, request: Request) -> HeldStream:
        """Return a stream that is not here, or refuse the request."""
        raise Refused(
            Why.unknown,
            f"stream {request.name!r} is not here: it was never started, has ended, or nothing came for "
            f"{self.limits.idle:g} seconds; start it at frame 0",
        )

    def _holds(self, stream: HeldStream, request: Request) -> bool:  # noqa: ARG002  for `keeping.py`
        """Whether a request has to wait for the store."""
        return False

    def _rest(self, stream: HeldStream) -> None:
        """Note that a stream may not be heard again here."""

    def _wait(self, stream: HeldStream, request: Request) -> None:
        self._ready[stream.key] = stream
        self.waiting_bytes += len(request.payload)

    def _unwait(self, request: Request) -> None:
        self.waiting_bytes -= len(request.payload)

    def _refuse(self, request: Request, refused: Refused) -> None:
        self.counters.refused[refused.why.name] += 1
        request.reply(request, Reply(refused.frame, refused=refused))

    # ---- the group ----

    def _push(self, streams: Sequence[HeldStream], frames: int) -> None:
        """Push the first chunk of each stream; all have as many frames."""
        requests = [stream.waiting.popleft() for stream in streams]
        for request in requests:
            self._unwait(request)
        rows = [self._row_of(stream) for stream in streams]
        chunks = self.served.chunks([request.payload for request in requests], frames)
        refused: dict[int, str] = {}
        began, worked = time.perf_counter(), time.thread_time()
        try:
            answers = self._group.push(chunks, rows)
        except RefusedRowsError as error:
            answers, refused = error.answers, error.refused
        self.counters.seconds += time.perf_counter() - began
        self.counters.cpu_seconds += time.thread_time() - worked
        self.counters.pushes += 1
        payloads = self.served.payloads(answers, len(rows))
        for stream, request, payload, row in zip(streams, requests, payloads, rows, strict=True):
            if row in refused:
                self._reject(stream, request, refused[row])
            else:
                self._answer(stream, request, payload)

    def _answer(self, stream: HeldStream, request: Request, payload: bytes) -> None:
        reply = stream.answered(request, payload)
        self.counters.chunks += 1
        self.counters.frames += request.frames
        if request.end:
            self._end(stream)
        elif stream.position - stream.saved >= self.limits.every:
            self._rest(stream)
        request.reply(request, reply)

    def _reject(self, stream: HeldStream, request: Request, why: str) -> None:
        """Refuse a chunk for a value, and the chunks behind it, which are gaps now."""
        behind = stream.rejected()
        self._refuse(request, Refused(Why.values, f"stream {stream.name!r}: {why}", stream.next))
        for other in behind:
            self._unwait(other)
            self._refuse(other, stream.gap(other.frame or 0))

    def _end(self, stream: HeldStream) -> None:
        stream.ended = True
        self._turn_away(stream, Refused(Why.unknown, f"stream {stream.name!r} ended at frame {stream.position}"))
        self._rest(stream)
        self._leave(stream)
        self.counters.ended += 1
        self._ended[stream.key] = stream
        if len(self._ended) > self.limits.ended:
            self._forget()

    def _forget(self) -> HeldStream:
        """Forget the stream that ended first."""
        return self._ended.popitem(last=False)[1]

    def _turn_away(self, stream: HeldStream, refused: Refused) -> None:
        """Refuse the chunks of a stream that wait."""
        for request in (*stream.rejected(), *stream.held):
            self._unwait(request)
            self._refuse(request, refused)
        stream.held.clear()

    def _row_of(self, stream: HeldStream) -> int:
        """Return the row of a stream in progress."""
        if stream.row is None:
            raise RuntimeError(f"stream {stream.name!r} has no row: it has ended")
        return stream.row

    def _leave(self, stream: HeldStream) -> None:
        """Free the row of a stream; what it carried is cleared at once."""
        if stream.row is not None:
            self._group.reset(stream.row)
            self._free.append(stream.row)
            stream.row = None
        del self._streams[stream.key]
        self._ready.pop(stream.key, None)
        self._owners[stream.owner] -= 1
        if not self._owners[stream.owner]:
            del self._owners[stream.owner]
