"""What is done while the time of day jumps: a live stream, sessions of a server with a store, signatures.

Run with the library of `jumping_clock.c` in front of the C library. It prints what must be the same whatever the clock
says: hashes of answers, and what was refused, forgotten or counted.
"""

import ctypes
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tidegate.runtime.arrays import Floats
from tidegate.runtime.live.live import live
from tidegate.runtime.plan.signature import check, sign
from tidegate.runtime.serving.keeper import Keeper
from tidegate.runtime.serving.keeping import KeepingEngine
from tidegate.runtime.serving.requests import Limits
from tidegate.runtime.serving.stores.folder import FolderStore
from tools.live import frames, small_model
from tools.serving import Client, signal
from tools.serving import small_model as served_model

Jump = Callable[[], None]
LIMITS = Limits(streams=8, every=4, idle=60.0, stored=120.0)


def hashed(data: bytes) -> str:
    """Return a hash."""
    return blake2b(data, digest_size=8).hexdigest()


def stream_live(jump: Jump) -> object:
    """Answer a source while the clock jumps."""

    def source(x: Floats) -> Iterator[Floats]:
        for at in range(0, len(x), 10):
            if at == 100:
                jump()
            yield x[at : at + 10]

    answers = list(live(small_model(), source(frames(200))))
    odd = sum(bool(one.lost or one.late or not 0 <= one.delay < 60) for one in answers)
    return hashed(b"".join(np.asarray(one.values).tobytes() for one in answers)), odd


def serve(jump: Jump) -> object:
    """Serve a stream from one engine and then from another, while the clock jumps within and between them."""
    x, client, done = signal(24), Client(), 0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            keeper = Keeper(FolderStore(Path(folder)))
            engine = KeepingEngine(served_model(), keeper, LIMITS)
            for step in range(3):
                if (turn, step) in ((0, 1), (1, 0)):
                    jump()
                request = client.request(x[done : done + 4], frame=done, got=done, start=not done, patience=30.0)
                engine.submit(request)
                for _ in range(4):
                    engine.sweep()
                    keeper.purge(LIMITS.stored)
                    keeper.work()
                    engine.collect()
                    engine.tick()
                done += 4
            engine.save_all()
            keeper.work()
    counters = engine.counters
    return hashed(client.answers), client.refusals, counters.idle, counters.restored, counters.fenced


def signed(jump: Jump) -> object:
    """Sign before and after a jump, and check both after it."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    before = sign(b"m", key, 7)
    jump()
    check(b"m", before, key.public_key(), 7)
    return hashed(before), sign(b"m", key, 7) == before


def jumper(seconds: int) -> Jump:
    """Return what lets the clock jump by some seconds, and the next time back.

    Raises:
        AssertionError: It does not jump: the library is not there.
    """
    library, at = ctypes.CDLL(None), [0]
    library.jump_clock.argtypes = [ctypes.c_long]
    library.jump_clock(0)

    def jump() -> None:
        before, steady = time.time(), time.monotonic()
        at[0] = seconds - at[0]
        library.jump_clock(at[0])
        wanted = at[0] if at[0] else -seconds
        assert abs(time.time() - before - wanted) < 60
        assert abs(datetime.now(UTC).timestamp() - before - wanted) < 60
        assert 0 <= time.monotonic() - steady < 60

    return jump


def main(jumps: Sequence[int]) -> None:
    """Let the clock jump in each, by one number of seconds after the other, and print what came of it."""
    for seconds in jumps:
        print(json.dumps([seconds, {do.__name__: do(jumper(seconds)) for do in (stream_live, serve, signed)}]))


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]])
