"""A server in a process of its own, and what it costs."""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.serving import opened_door


@dataclass(frozen=True)
class Node:
    """A `tidegate serve` that runs.

    Attributes:
        process: The process.
        ports: The ports of its doors: ws, grpc, http.
    """

    process: subprocess.Popen[str]
    ports: dict[str, int]

    def cpu(self) -> float:
        """Return the CPU time of all its threads until now, in seconds."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def memory(self) -> int:
        """Return its resident memory, in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def counters(self) -> dict[str, float]:
        """Return the totals of its model, by the names of `Counters`, from the websocket door's page."""
        found = re.findall(r'^tidegate_(\w+)_total\{model="\w+"\} (\S+)$', self._metrics(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def judged(self) -> int:
        """Return how many chunks its model answered or refused, from the same page."""
        found = re.findall(r"^tidegate_(?:chunks|again|refused)_total\{.*\} (\S+)$", self._metrics(), re.MULTILINE)
        return sum(int(value) for value in found)

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['ws']}/metrics") as page:
            text: str = page.read().decode()
        return text


@contextmanager
def node(plan: Path, *options: object, doors: Mapping[str, int], stderr: IO[str] | None = None) -> Iterator[Node]:
    """Run `tidegate serve` on this machine.

    Args:
        plan: The model.
        options: Further options of the command.
        doors: The ports of ws, grpc and http; 0: any free one.
        stderr: Takes what the server complains of; None: that of this process.
    """
    command = [sys.executable, "-m", "tidegate", "serve", str(plan), *map(str, options)]
    for door, port in doors.items():
        command += [f"--{door}", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        try:
            yield Node(process, dict(opened_door(process) for _ in doors))
        finally:
            process.kill()
