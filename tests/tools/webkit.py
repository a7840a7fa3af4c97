"""WebKit (GTK's) without a screen, by the WebDriver protocol: Debian's webkit2gtk-driver and xvfb."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from kernels.building import require

BROWSERS = Path("/usr/lib")  # where Debian has MiniBrowser, in a folder of the architecture
SECONDS = 240  # until a page must have ended, also on a crowded machine
RESULT = """
    const answer = arguments[0];
    const asking = setInterval(() => {
      if (document.title !== "done" && window.result === undefined) return;
      clearInterval(asking);
      answer([window.result, navigator.userAgent]);
    }, 100);
"""


def result_of(address: str) -> Any:  # noqa: ANN401  whatever the page has
    """Open a page and return its `window.result` when it is there."""
    with _display() as display, _driver(display) as driver, _session(driver) as session:
        _ask(f"{session}/timeouts", {"script": SECONDS * 1000})
        _ask(f"{session}/url", {"url": address})
        result, browser = _ask(f"{session}/execute/async", {"script": RESULT, "args": []})
    assert "AppleWebKit" in browser
    return result


@contextmanager
def _display() -> Iterator[str]:
    """Start a screen in memory; give its name."""
    read, write = os.pipe()
    command = [require("Xvfb"), "-displayfd", str(write), "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL) as running:
        os.close(write)
        with os.fdopen(read) as said:
            number = said.readline().strip()
        try:
            yield f":{number}"
        finally:
            running.terminate()


@contextmanager
def _driver(display: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Without a graphics card: no compositing. As root, and in containers, there is no sandbox of its own.
    settings = {"DISPLAY": display, "WEBKIT_DISABLE_COMPOSITING_MODE": "1", "LIBGL_ALWAYS_SOFTWARE": "1"}
    settings |= {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
    command = [require("WebKitWebDriver"), f"--port={port}"]
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.DEVNULL) as running:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        os.sched_yield()
    raise TimeoutError(f"WebKitWebDriver does not listen after {SECONDS} s")


@contextmanager
def _session(driver: str) -> Iterator[str]:
    (browser,) = sorted(BROWSERS.glob("*/webkit2gtk-4.1/MiniBrowser"))
    options = {"binary": str(browser), "args": ["--automation"]}
    opened = _ask(f"{driver}/session", {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}})
    session = f"{driver}/session/{opened['sessionId']}"
    try:
        yield session
    finally:
        _ask(session, None, "DELETE")


def _ask(address: str, fields: Any, method: str = "POST") -> Any:  # noqa: ANN401  JSON
    body = None if fields is None else json.dumps(fields).encode()
    request = Request(address, body, {"Content-Type": "application/json"}, method=method)  # noqa: S310  of this machine
    with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return json.loads(answer.read())["value"]
