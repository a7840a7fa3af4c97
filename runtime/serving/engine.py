"""The engine of a server, without doors: it holds streams by name, and pushes the chunks that wait together.

It knows neither time nor network: a clock is given, a door calls `submit` for each request, and someone calls `tick`
while chunks wait. All calls come from one thread. `keeping.py` adds a store, from which streams go on elsewhere.
"""

import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence

from ..errors import ModelError
from .generation import Generation
from .held_stream import HeldStream
from .requests import Counters, Limits, Refused, Reply, Request, Why, check
from .served_model import ServedModel

MOST_PLANS = 8  # whose streams are in progress on a model, after several swaps
MOST_VALUES = 2**22  # values that go into one call of the group, or come out of it: 16 MiB

Key = tuple[str, str]


class Engine:
    """Streams of one model in progress.

    Args:
        served: The model.
        limits: What clients may use.
        clock: Gives the time in seconds, never less than before.
        adopts: Whether streams of other plans of the model go on over this one.

    Raises:
        UnsupportedError: The model looks ahead: its streams cannot be pushed together.
    """

    durable = False  # whether streams outlive the process
    old_plans = 0  # those without streams that are kept: none of their streams comes back

    def __init__(
        self,
        served: ServedModel,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        adopts: bool = False,
    ) -> None:
        self.limits = limits or Limits()
        self.counters = Counters()
        self.waiting_bytes = 0
        self.leaving = False  # whether the process stops: then nothing new is taken in
        self._clock = clock
        self._current = Generation(served, self.limits.streams, adopts=adopts)
        self._before: list[Generation] = []  # plans before, with the streams that stay on them
        self._streams: OrderedDict[Key, HeldStream] = OrderedDict()  # the one that was heard last comes last
        self._ended: OrderedDict[Key, HeldStream] = OrderedDict()  # their last answers may be asked for again
        self._ready: dict[Key, HeldStream] = {}
        self._owners: Counter[str] = Counter()

    @property
    def served(self) -> ServedModel:
        """The model that streams start on."""
        return self._current.served

    @property
    def plans(self) -> int:
        """Plans that are in memory."""
        return 1 + len(self._before)

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
        request.due = min(request.due, self._clock() + request.patience)
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
        self._refuse_late(list(ready.values()))
        alike: defaultdict[tuple[Generation, int], list[HeldStream]] = defaultdict(list)
        for stream in ready.values():
            if stream.waiting:
                alike[stream.seat[0], stream.waiting[0].frames].append(stream)
        for (generation, frames), streams in alike.items():
            values = max(frames * self.served.frame_bytes // 4, self.served.answer_values(frames), 1)
            most = max(MOST_VALUES // values, 1)
            for at in range(0, len(streams), most):
                self._push(generation, streams[at : at + most], frames)
        for stream in ready.values():
            if stream.waiting:
                self._ready[stream.key] = stream

    def swap(self, generation: Generation) -> int:
        """Let streams start on another plan from now on, which is between two chunks of each stream.

        Streams in progress go on over it if it takes them; the others stay on their plan until they end.

        Args:
            generation: The plan, with as many rows as this engine has.

        Returns:
            How many streams went over.

        Raises:
            ModelError: Its frames or answers have another form, streams cannot be adopted as it wants, or too many
                plans have streams. Nothing has changed.
        """
        self.served.check_form(generation.served)
        self._release()
        if len(self._before) + 1 >= MOST_PLANS:
            raise ModelError(f"streams are in progress on {MOST_PLANS} plans; wait until some end, or adopt them")
        carried = [
            (stream, row) for stream in self._streams.values() if (row := _carry(stream, generation)) is not None
        ]
        for stream, row in carried:
            stream.move(generation, row)
        self._before.append(self._current)
        self._current = generation
        self.counters.swaps += 1
        self._release()
        return len(carried)

    def collect(self) -> None:
        """Take in what a store has answered; this engine has none."""

    def save_all(self) -> None:
        """Put every stream into the store, if there is one: the process stops."""

    def close(self) -> None:
        """Wait until the store has everything."""

    def sweep(self) -> None:
        """Give up the streams that nothing was heard of for too long."""
        self._release()
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
            self._give_up(stream, Refused(Why.unknown, f"stream {name!r} was started anew"))

    # ---- requests ----

    def _check(self, request: Request) -> None:
        if self.leaving:
            raise Refused(Why.moved, f"{self.served.name} is served here no longer; go on at another server")
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
        if len(self._streams) >= self.limits.streams:
            raise Refused(Why.limit, f"all {self.limits.streams} streams of this process are taken; try again later")
        self._ended.pop(request.key, None)
        stream = HeldStream(request.owner, request.name, self._clock())
        stream.move(self._current, self._current.take())
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

    # ---- plans ----

    def _release(self) -> None:
        """Give plans up that have no streams, the oldest first; some are kept if streams may come back."""
        for generation in [one for one in self._before if not one.streams]:
            if len(self._before) > self.old_plans:
                self._before.remove(generation)

    # ---- the group ----

    def _push(self, generation: Generation, streams: Sequence[HeldStream], frames: int) -> None:
        """Push the first chunk of each stream; all are on one plan and have as many frames."""
        requests = [stream.waiting.popleft() for stream in streams]
        for request in requests:
            self._unwait(request)
        rows = [stream.row for stream in streams]
        chunks = generation.served.chunks([request.payload for request in requests], frames)
        began, worked = time.perf_counter(), time.thread_time()
        answers, refused = generation.push(chunks, rows)
        self.counters.seconds += time.perf_counter() - began
        self.counters.cpu_seconds += time.thread_time() - worked
        self.counters.pushes += 1
        payloads = generation.served.payloads(answers, len(rows))
        for stream, request, payload, row in zip(streams, requests, payloads, rows, strict=True):
            if row in refused:
                self._reject(stream, request, Why.values, refused[row])
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

    def _refuse_late(self, streams: Sequence[HeldStream]) -> None:
        """Refuse the first chunk of each stream if it waited longer than its client does."""
        now = self._clock()
        for stream in streams:
            if stream.waiting[0].due < now:
                request = stream.waiting.popleft()
                self._unwait(request)
                text = f"the chunk waited for more than {request.patience:g} seconds; send it again, or fewer at a time"
                self._reject(stream, request, Why.late, text)

    def _reject(self, stream: HeldStream, request: Request, why: Why, text: str) -> None:
        """Refuse a chunk, and the chunks behind it, which are gaps now."""
        behind = stream.rejected()
        self._refuse(request, Refused(why, f"stream {stream.name!r}: {text}", stream.next))
        for other in behind:
            self._unwait(other)
            self._refuse(other, stream.gap(other.frame or 0))

    def _end(self, stream: HeldStream) -> None:
        stream.ended = True
        self._rest(stream)
        self._give_up(stream, Refused(Why.unknown, f"stream {stream.name!r} ended at frame {stream.position}"))
        self.counters.ended += 1
        self._ended[stream.key] = stream
        if len(self._ended) > self.limits.ended:
            self._forget()

    def _forget(self) -> HeldStream:
        """Forget the stream that ended first."""
        return self._ended.popitem(last=False)[1]

    def _give_up(self, stream: HeldStream, refused: Refused) -> None:
        """Let a stream go, and refuse what waits: in this order, for who is refused may drop the stream or start it."""
        self._leave(stream)
        self._turn_away(stream, refused)

    def _turn_away(self, stream: HeldStream, refused: Refused) -> None:
        """Refuse the chunks of a stream that wait."""
        for request in (*stream.rejected(), *stream.held):
            self._unwait(request)
            self._refuse(request, refused)
        stream.held.clear()

    def _leave(self, stream: HeldStream) -> None:
        """Free the row of a stream; what it carried is cleared at once."""
        stream.stand_up()
        del self._streams[stream.key]
        self._ready.pop(stream.key, None)
        self._owners[stream.owner] -= 1
        if not self._owners[stream.owner]:
            del self._owners[stream.owner]


def _carry(stream: HeldStream, generation: Generation) -> int | None:
    """Copy a stream to a row of another plan, and return the row; None if it stays where it is.

    Raises:
        ModelError: It is to be adopted, and its state has another layout or is refused.
    """
    old, row = stream.seat
    snapshot = old.group.snapshot(row)
    if generation.takes(snapshot, old.served.source, old.served.layout):
        fresh = generation.take()
        generation.restore(fresh, snapshot)
        return fresh
    if generation.adopts:
        raise ModelError(
            f"{old.served.name}: streams cannot be adopted: the layout of the state is "
            f"{generation.served.model.layout[:500]!r}, wanted {old.served.model.layout[:500]!r}; load it without adopt"
        )
    return None
