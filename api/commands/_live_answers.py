"""Answers of a live stream as lines of JSON: to standard output, or to a socket."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from tidegate.runtime.errors import ChunkError

if TYPE_CHECKING:
    from tidegate.runtime.arrays import Answer
    from tidegate.runtime.live.answers import LiveAnswer
    from tidegate.runtime.live.notices import Notices
    from tidegate.runtime.live.running import Live

Write = Callable[["LiveAnswer"], None]


@contextmanager
def json_lines(running: "Live", notices: "Notices", to: str | None) -> Iterator[Write]:
    """Give a function that writes an answer as a line. At the end, a line with the counters is written.

    Args:
        running: The stream.
        notices: What went wrong; printed on standard error.
        to: Where to write, `tcp://host:port`; None: to standard output.

    Raises:
        ChunkError: There is no standard output, or `to` is no address.
        OSError: Nobody answers there.
    """
    with _destination(to) as send:
        step = running.model.contract.frame_seconds

        def write(answer: "LiveAnswer") -> None:
            send(json.dumps(fields_of(answer, running, step)))
            for line in notices.lines():
                typer.echo(f"tidegate: {line}", err=True)

        try:
            yield write
        finally:
            for line in notices.lines():
                typer.echo(f"tidegate: {line}", err=True)
        send(json.dumps({"counters": running.counters.as_dict(), "notices": notices.counts}))


def fields_of(answer: "LiveAnswer", running: "Live", step: float | None) -> dict[str, Any]:
    """Return an answer as the fields of its line; times are in seconds."""
    return {
        "first": answer.first,
        "frames": answer.frames,
        **({} if step is None else {"seconds": answer.first * step}),
        "delay": round(answer.delay, 6),
        "late": answer.late,
        "lost": answer.lost,
        "policy": answer.policy,
        "answers": by_name(answer.values, running),
    }


def by_name(values: "Answer", running: "Live") -> dict[str, Any]:
    """Return the values of each output as lists, by its name."""
    if isinstance(values, dict):
        return {name: each.tolist() for name, each in values.items()}
    return {running.model.contract.outputs[0].name: values.tolist()}


@contextmanager
def _destination(to: str | None) -> Iterator[Callable[[str], None]]:
    """Give a function that sends a line."""
    if to is None:
        if sys.stdout is None:
            raise ChunkError("there is no standard output, it is closed; give --to tcp://HOST:PORT")
        yield lambda line: print(line, flush=True)  # noqa: T201
        return
    from tidegate.runtime.live.sources.sockets import address

    if not to.startswith("tcp://"):
        raise ChunkError(f"--to is {to!r}, wanted tcp://HOST:PORT")
    try:
        connection = socket.create_connection(address(to.removeprefix("tcp://"), to), timeout=10)
    except OSError as error:
        raise OSError(f"{to}: nobody takes the answers there ({error})") from None
    with connection:
        yield lambda line: connection.sendall(line.encode() + b"\n")
