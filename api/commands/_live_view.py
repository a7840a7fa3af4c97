"""Answers of a live stream as a picture in the terminal: curve, label, delays, misses."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from tidegate.commands._live_answers import Write
    from tidegate.runtime.arrays import Array
    from tidegate.runtime.live.answers import LiveAnswer
    from tidegate.runtime.live.notices import Notices
    from tidegate.runtime.live.running import Live

WIDTH = 60  # answers of the curve
BARS = "▁▂▃▄▅▆▇█"
PICTURES = 10  # per second, at most


class LiveView:
    """What the terminal shows of a stream: the largest value of its first output, and what happened to the frames.

    Args:
        running: The stream.
        title: What is streamed.
        labels: Names of the values of an answer; those without one have their number.
    """

    def __init__(self, running: "Live", title: str, labels: Sequence[str] = ()) -> None:
        self._running, self._title, self._labels = running, title, labels
        self._output = running.model.contract.outputs[0].name
        self._seconds = running.model.contract.frame_seconds
        self._values: deque[float] = deque(maxlen=WIDTH)
        self._label, self._at, self._notice = "", 0, ""

    def take(self, answer: "LiveAnswer", notices: Sequence[str] = ()) -> None:
        """Take an answer, and lines about what went wrong."""
        self._notice = notices[-1] if notices else self._notice
        self._at = answer.first + answer.frames
        values: Array = answer.values[self._output] if isinstance(answer.values, dict) else answer.values
        if not values.size:
            return
        newest = values.reshape(-1) if self._untimed else values.reshape(len(values), -1)[-1]
        place = int(np.argmax(newest)) if len(newest) > 1 else 0
        self._values.append(float(newest[place]))
        name = self._labels[place] if place < len(self._labels) else str(place)
        self._label = name if len(newest) > 1 else ""

    def picture(self) -> "RenderableType":
        """Return the picture."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, text in self.rows():
            table.add_row(name, text)
        return table

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the picture: a name and a text each."""
        counters = self._running.counters
        delays = counters.as_dict()["delays"]
        found = [
            ("stream", f"{self._title}  {self._place()}"),
            (self._output, curve(self._values)),
            ("now", f"{self._label} {self._values[-1]:.4g}".strip() if self._values else ""),
            ("chunks", f"{counters.on_time} on time, {counters.late} late, {counters.queue} frames wait"),
            ("frames", f"{counters.lost} lost, {counters.dropped} dropped, {counters.refused} refused"),
            ("delay", f"{_ms(delays['median'])}, 99 % {_ms(delays['p99'])}, worst {_ms(delays['worst'])}"),
        ]
        return [*found, ("last", self._notice)] if self._notice else found

    @property
    def _untimed(self) -> bool:
        return self._running.model.contract.outputs[0].time_axis is None

    def _place(self) -> str:
        if self._seconds is None:
            return f"frame {self._at}"
        seconds = self._at * self._seconds
        return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:04.1f}"


@contextmanager
def live_view(
    running: "Live", notices: "Notices", title: str, labels: Sequence[str], console: "Console | None" = None
) -> Iterator["Write"]:
    """Give a function that shows an answer. At the end the last picture stays."""
    from rich import live

    view, shown = LiveView(running, title, labels), 0.0
    with live.Live(console=console, auto_refresh=False) as screen:

        def write(answer: "LiveAnswer") -> None:
            nonlocal shown
            view.take(answer, notices.lines())
            if time.monotonic() - shown >= 1 / PICTURES:
                screen.update(view.picture(), refresh=True)
                shown = time.monotonic()

        yield write
        screen.update(view.picture(), refresh=True)
    for kind, count in notices.counts.items():
        typer.echo(f"tidegate: {kind}: {count} times", err=True)


def curve(values: Sequence[float] | deque[float]) -> str:
    """Return values as bars, the lowest and the highest as they are among them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(BARS[round((value - low) / step)] for value in values)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
