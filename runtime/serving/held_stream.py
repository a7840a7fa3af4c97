"""One stream that the engine holds: which chunk it takes next, and which answers it can give again."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

from .requests import MOST_FRAME_NUMBER, Limits, Refused, Reply, Request, Why

if TYPE_CHECKING:
    from .generation import Generation


@dataclass(slots=True)
class Kept:
    """An answer that the client has not acknowledged: it may ask for it again.

    Attributes:
        frame: The number of the chunk's first frame.
        frames: The number of its frames.
        check: CRC-32 of the chunk: another chunk at its place is no duplicate.
        payload: The answer.
    """

    frame: int
    frames: int
    check: int
    payload: bytes

    def answers(self, request: Request) -> bool:
        """Whether this is the answer to a request."""
        return (self.frame, self.frames, self.check) == (request.frame, request.frames, crc32(request.payload))


@dataclass(slots=True)
class HeldStream:
    """The place of a stream.

    Attributes:
        owner: Whose it is.
        name: Its name.
        heard: When the last request came.
        generation: The plan that it is in progress on; None after its end.
        row: Its row there.
        position: The number of the frame that the group takes next.
        next: The number of the frame that a new chunk must start with: behind the chunks that wait.
        durable: Frames below it are in the store.
        saved: The position of the last snapshot.
        epoch: The number of this process among its owners, from the store; 0 before the store has answered.
        ended: Whether its client ended it.
        opening: Whether the store was asked for it, and has not answered yet.
        held: Requests that wait for the store.
        waiting: Chunks for the group, in order.
        kept: Answers that are not acknowledged, in order.
        kept_bytes: Their size.
    """

    owner: str
    name: str
    heard: float
    generation: "Generation | None" = None
    row: int = 0
    position: int = 0
    next: int = 0
    durable: int = 0
    saved: int = 0
    epoch: int = 0
    ended: bool = False
    opening: bool = False
    held: list[Request] = field(default_factory=list)
    waiting: deque[Request] = field(default_factory=deque)
    kept: deque[Kept] = field(default_factory=deque)
    kept_bytes: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What the engine finds the stream by."""
        return self.owner, self.name

    @property
    def seat(self) -> "tuple[Generation, int]":
        """Plan and row of a stream in progress."""
        if self.generation is None:
            raise RuntimeError(f"stream {self.name!r} has no row: it has ended")
        return self.generation, self.row

    def stand_up(self) -> None:
        """Free the row, if there is one."""
        if self.generation is not None:
            self.generation.leave(self.row)
            self.generation = None

    def move(self, generation: "Generation", row: int) -> None:
        """Go on in a row of a plan, in place of the one before."""
        self.stand_up()
        self.generation, self.row = generation, row

    def acknowledge(self, got: int) -> None:
        """Forget the answers to frames below a number, which the client holds."""
        while self.kept and self.kept[0].frame + self.kept[0].frames <= got and self.kept[0].frame < got:
            self.kept_bytes -= len(self.kept.popleft().payload)

    def admit(self, request: Request, limits: Limits) -> Reply | None:
        """Take a chunk in, if it is the next one.

        Returns:
            None if the chunk waits now, also where it waited before: then the newer request gets the reply. A reply
            where nothing has to be computed: to a question, to no frames, and to a chunk that was answered.

        Raises:
            Refused: The chunk is not the next one, or has to come again later; the stream is unchanged.
        """
        frame = request.frame = self.next if request.frame is None else request.frame
        self.acknowledge(frame if request.got is None else request.got)
        if request.ask:
            return Reply(self.next, durable=self.durable)
        if frame < self.next or (self.ended and frame == self.next):
            return self._again(request)
        if request.start and self.next:
            raise Refused(Why.exists, f"{self._at()}; end it, or start under another name", self.next)
        if frame > self.next:
            raise Refused(Why.gap, f"{self._at()}, not {frame}; send the frames between first", self.next)
        if not (request.frames or request.end):
            return Reply(frame, durable=self.durable)
        self._check_room(request, limits)
        self.waiting.append(request)
        self.next += request.frames
        return None

    def answered(self, request: Request, payload: bytes) -> Reply:
        """Note that the first waiting chunk was streamed, and return its reply."""
        frame = self.position
        self.position += request.frames
        self.kept.append(Kept(frame, request.frames, crc32(request.payload), payload))
        self.kept_bytes += len(payload)
        return Reply(frame, request.frames, self.durable, payload)

    def go_on(self, position: int, kept: deque[Kept]) -> None:
        """Go on from where another process was."""
        self.position = self.next = self.durable = self.saved = position
        self.kept, self.kept_bytes = kept, sum(len(answer.payload) for answer in kept)

    def rejected(self) -> list[Request]:
        """Take back the chunks that wait behind one that was refused, and return them: they are gaps now."""
        behind = list(self.waiting)
        self.waiting.clear()
        self.next = self.position
        return behind

    def gap(self, frame: int) -> Refused:
        """Return the refusal of a chunk behind one that was refused."""
        return Refused(Why.gap, f"{self._at()}, not {frame}: the chunk before was refused", self.next)

    def has_answer(self, request: Request) -> bool:
        """Whether the answer to a request is kept."""
        return any(kept.answers(request) for kept in self.kept)

    def _again(self, request: Request) -> Reply | None:
        for kept in self.kept:
            if kept.answers(request):
                return Reply(kept.frame, kept.frames, self.durable, kept.payload)
        for place, waiting in enumerate(self.waiting):
            if (waiting.frame, waiting.payload) == (request.frame, request.payload):
                self.waiting[place] = request
                return None
        if self.ended:
            raise Refused(Why.unknown, f"stream {self.name!r} ended at frame {self.next}; start another", self.next)
        kept_from = f"from frame {self.kept[0].frame} on" if self.kept else "of none: all are acknowledged"
        raise Refused(
            Why.stale,
            f"{self._at()}; frame {request.frame} was answered, and answers are kept {kept_from}, "
            "for the same chunks only",
            self.next,
        )

    def _check_room(self, request: Request, limits: Limits) -> None:
        if self.next + request.frames >= MOST_FRAME_NUMBER:
            raise Refused(Why.size, f"{self._at()}, and no stream has more than 2^63 frames; start another", self.next)
        if len(self.waiting) + len(self.kept) >= limits.window or self.kept_bytes > limits.kept_bytes:
            raise Refused(
                Why.busy,
                f"stream {self.name!r} has {len(self.waiting)} chunks that wait and {len(self.kept)} answers "
                f"({self.kept_bytes} bytes) that are not acknowledged, at most {limits.window} together (and "
                f"{limits.kept_bytes} bytes) are allowed; wait for answers, and acknowledge them",
                self.next,
            )

    def _at(self) -> str:
        return f"stream {self.name!r} wants frame {self.next} next"
