"""A Redis server of a test's own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server at a socket in a folder; give its process and URL. Without it the test is skipped (CI: it fails)."""
    program = shutil.which("redis-server")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not installed")
    socket = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder, "--loglevel", "notice"]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while "ready to accept" not in (line := process.stdout.readline()).lower():
                assert line, "redis-server ended"
            yield process, f"unix://{socket}"
        finally:
            process.kill()
