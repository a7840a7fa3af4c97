"""A progress bar on standard error, where that is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Takes the share done, and what is going on where that changes."""

    def __call__(self, share: float, text: str | None = None, /) -> None:
        """Show it."""


@contextmanager
def bar(text: str) -> Iterator[Progress | None]:
    """Show a bar; gives what takes the share done, or None where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(text, total=1.0)

        def told(share: float, now: str | None = None, /) -> None:
            shown.update(task, completed=share, description=now or text)

        yield told
