"""Each call of a model, a stream and a group, with an allocation that fails: at the first, the second, to the last.

    LD_PRELOAD=failing_allocations.so PYTHONMALLOC=malloc python tests/faults/doors.py --stride 1

prints a line for each point: the door, the point, how many allocations fail there, and what came of it. The call
happens in a child process, which has a copy of the same stream. It must end in a MemoryError that changed nothing, or
be done; then it is made again and must give what it gives without a fault.
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from faults.shim import Shim, in_child
from fuzzing.plans import cells, functions, late, lookups
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import ChunkError, RefusedRowsError
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program
from tools.streams import contract_of

WINDOWS = (1, 20)  # allocations that fail: one, or so many that what handles the first meets another
REFUSED, DONE = "refused", "done"
FRAMES = np.random.default_rng(4).normal(0, 1, (12, 3)).astype(np.float32)


# ---- the doors ----


class Door(NamedTuple):
    """A call on something.

    Attributes:
        make: Makes what the call is made on.
        call: The call.
        state: The state that the call may change.
        may_be_done: Whether the state may be the new one after a MemoryError: a chunk of a group is streamed row by
            row, and the error that names the refused rows is made after that.
    """

    make: Callable[[], Any]
    call: Callable[[Any], Any]
    state: Callable[[Any], Any]
    may_be_done: bool = False


def causal() -> Program:
    """Return a program of one LSTM with two outputs; its groups may be pushed."""
    whole = cells()
    return replace(whole, ops=whole.ops[:1], outputs=(("last", 1), ("first", 1)))


@cache
def plan(program: Callable[[], Program]) -> bytes:
    """Return the plan of a program."""
    made = program()
    return compile_program(made, contract_of(made))


@cache
def model(program: Callable[[], Program]) -> NativeModel:
    """Return the model of a program."""
    return NativeModel(plan(program))


def stream(program: Callable[[], Program] = late) -> Callable[[], Any]:
    """Return a function that makes a stream in progress."""

    def make() -> Any:  # noqa: ANN401
        made = model(program).stream()
        made.push(FRAMES[:5])
        return made

    return make


def ids() -> Any:  # noqa: ANN401
    """Return a stream of ids in progress."""
    made = model(lookups).stream()
    made.push(np.array([1, 2, 3]))
    return made


def group() -> Any:  # noqa: ANN401
    """Return a group of four rows in progress, of which one is free."""
    made = model(causal).streams(4)
    made.push(np.stack([FRAMES[:5]] * 4))
    made.leave(2)
    return made


def _no_state(_: object) -> None:
    return None


def _saved(stream: Any) -> bytes:  # noqa: ANN401
    saved: bytes = stream.snapshot()
    return saved


def _values(stream: Any) -> tuple[int, str]:  # noqa: ANN401
    """Return a state without the count of refused frames: a refused chunk is counted before its error is made."""
    return stream.frames, plain(stream.state())


def _rows(group: Any) -> list[tuple[int, bytes]]:  # noqa: ANN401
    return [(row, group.snapshot(row)) for row in group.joined]


def _values_of_rows(group: Any) -> list[tuple[int, str]]:  # noqa: ANN401
    return [(group.frames(row), plain(group.state(row))) for row in group.joined]


def _bad(count: int) -> Any:  # noqa: ANN401
    chunks = np.stack([FRAMES] * count)
    chunks[-1, 3, 1] = np.nan
    return chunks


def _refused(stream: Any) -> None:  # noqa: ANN401
    with suppress(ChunkError):
        stream.push(_bad(1)[0])


def _refused_row(group: Any) -> None:  # noqa: ANN401
    with suppress(RefusedRowsError):
        group.push(_bad(3))


def _on(make: Callable[[], Any], call: Callable[[Any], Any]) -> Door:
    return Door(make, call, _saved)


def _in_group(call: Callable[[Any], Any]) -> Door:
    return Door(group, call, _rows)


def doors() -> dict[str, Door]:
    """Return the doors by name."""
    other, row = model(late).stream(), model(causal).stream()
    for one in (other, row):
        one.push(FRAMES[:3])
    _refused(other)  # the C++ library makes memory for exceptions at the first one, and ends the process if it cannot
    kept, kept_row, states = other.snapshot(), row.snapshot(), row.state()
    fresh: list[Callable[[], Any]] = [lambda: NativeModel(plan(functions)), lambda: NativeModel(plan(late))]
    return {
        "load": Door(lambda: None, lambda _: repr(fresh[0]()), _no_state),
        "contract": Door(fresh[1], lambda made: made.contract, _no_state),
        "stream": Door(lambda: None, lambda _: _saved(model(late).stream()), _no_state),
        "stream of states": Door(lambda: None, lambda _: _saved(model(causal).stream(states)), _no_state),
        "group": Door(lambda: None, lambda _: _rows(model(causal).streams(3)), _no_state),
        "push": _on(stream(), lambda made: made.push(FRAMES[5:])),
        "push of two outputs": _on(stream(causal), lambda made: made.push(FRAMES[5:])),
        "push of float64": _on(stream(), lambda made: made.push(FRAMES[5:].astype(np.float64))),
        "push of a list": _on(stream(), lambda made: made.push([[1.0, 2.0, 3.0]])),
        "push by name": _on(stream(), lambda made: made.push({"x": FRAMES[5:]})),
        "push of ids": _on(ids, lambda made: made.push([4, 3, 2])),
        "push that is refused": Door(stream(causal), _refused, _values),
        "finish": _on(stream(), lambda made: made.finish()),
        "skip": _on(stream(), lambda made: made.skip(3, "zeros")),
        "reset": _on(stream(), lambda made: made.reset()),
        "snapshot": _on(stream(), _saved),
        "restore": _on(stream(), lambda made: made.restore(kept)),
        "fork": _on(stream(), lambda made: _saved(made.fork())),
        "state": _on(stream(causal), lambda made: made.state()),
        "set_state": _on(stream(causal), lambda made: made.set_state(states)),
        "group push": _in_group(lambda made: made.push(np.stack([FRAMES[5:]] * 3))),
        "group push of rows": _in_group(lambda made: made.push(np.stack([FRAMES[5:]] * 2), [0, 3])),
        "group push with a refused row": Door(group, _refused_row, _values_of_rows, may_be_done=True),
        "group join": _in_group(lambda made: made.join()),
        "group join with states": _in_group(lambda made: made.join(None, states)),
        "group leave": _in_group(lambda made: made.leave(0)),
        "group fork": _in_group(lambda made: made.fork(0)),
        "group restore": _in_group(lambda made: made.restore(0, kept_row)),
        "group set_state": _in_group(lambda made: made.set_state(0, states)),
    }


# ---- the faults ----


def plain(value: object) -> str:
    """Return an answer as text, every bit of it."""
    if isinstance(value, dict):
        return str({name: plain(one) for name, one in value.items()})
    return f"{value.shape}{value.tobytes().hex()}" if isinstance(value, np.ndarray) else repr(value)


def tried(door: Door, world: Any, shim: Shim, first: int, count: int) -> tuple[str, bool]:  # noqa: ANN401
    """Return what came of a call whose allocations fail from the `first` on, and whether one did fail."""
    before, wanted = door.state(world), _without_fault(door)
    said, answer = DONE, None
    try:
        with shim.failing(first, count):
            answer = door.call(world)
    except MemoryError:
        said = REFUSED
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        said = f"{type(error).__name__}: {error}"
    if not shim.met(count):
        return "", False
    if said != DONE:
        if door.state(world) not in (before, wanted[1] if door.may_be_done else before):
            return f"{said}, and the state is another", True
        if door.state(world) != before:
            return said, True
        answer = door.call(world)
    return said if (plain(answer), door.state(world)) == wanted else f"{said}, and then another answer", True


def _without_fault(door: Door) -> tuple[str, Any]:
    world = door.make()
    return plain(door.call(world)), door.state(world)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stride", type=int, default=1, help="try one point of so many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="the first point (default: %(default)s)")
    options = parser.parse_args()
    shim = Shim()
    for name, door in doors().items():
        _without_fault(door)  # what is imported at the first call is there
        world = door.make()
        points = shim.count(lambda: door.call(door.make()))  # noqa: B023  called at once
        for count in WINDOWS:
            for first in range(options.first, points + 1, options.stride):
                said, met = in_child(lambda: tried(door, world, shim, first, count))  # noqa: B023
                if met:
                    print(json.dumps([name, first, count, said]), flush=True)


if __name__ == "__main__":
    main()
