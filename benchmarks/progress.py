"""A progress bar on standard error, shown only if standard error is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """A function that shows how far the work is."""

    def __call__(self, share: float, text: str | None = None, /) -> None:
        """Show the fraction done (0 to 1), and a new description if there is one."""


@contextmanager
def bar(text: str) -> Iterator[Progress | None]:
    """Show a bar with a text; give the function that moves it, or None if standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(text, total=1.0)

        def move(share: float, now: str | None = None, /) -> None:
            shown.update(task, completed=share, description=now or text)

        yield move
