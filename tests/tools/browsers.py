"""Real browsers, without a window, and a web server for them with a strict content security policy."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kernels.building import ROOT, require
from tools import webkit

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src data:"
)
BROWSERS = ("chromium", "firefox", "webkit")
TOOLS = ROOT / "build" / "node"  # make node installs puppeteer-core there
BROWSE = ROOT / "tests" / "web" / "browse.mjs"
AUDIT = BROWSE.with_name("audit.mjs")


class _Handler(SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012  as in the standard library
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *given: Any, places: Mapping[str, Path], policy: str, **more: Any) -> None:  # noqa: ANN401
        self._places, self._policy = places, policy
        super().__init__(*given, **more)

    def translate_path(self, path: str) -> str:
        name = path.split("?", maxsplit=1)[0]
        first = max((place for place in self._places if name.startswith(place)), key=len)
        return str(self._places[first] / name[len(first) :])

    def end_headers(self) -> None:
        if self._policy:
            self.send_header("Content-Security-Policy", self._policy)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(places: Mapping[str, Path], policy: str = POLICY) -> Iterator[str]:
    """Serve folders at places such as `/vectors/`; yield the address of the server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, places=places, policy=policy)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def node_tool(name: str) -> Path:
    """Return the folder of a package of `make node`; if it is missing, the test is skipped (in CI it fails)."""
    found = TOOLS / "node_modules" / name
    if not found.is_dir():
        reason = f"{name} is not installed: make node"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


def result_of(browser: str, address: str) -> Any:  # noqa: ANN401  whatever the page has
    """Open a page and return its `window.result` when its title says `done`."""
    return browse(browser, address)["result"]


def browse(
    browser: str, address: str, *pictures: str | Path, click: str = "", shown: str = "", files: Sequence[Path] = ()
) -> dict[str, Any]:
    """Open a page and return what tests/web/browse.mjs prints; of WebKit only the result."""
    if browser == "webkit":
        return {"result": webkit.result_of(address)}
    node_tool("puppeteer-core")
    script = TOOLS / BROWSE.name  # beside the packages that it imports
    script.write_text(BROWSE.read_text())
    paths = {"CHROMIUM": require("chromium"), "FIREFOX": require("firefox-esr")}
    paths |= {"CLICK": click, "SHOWN": shown, "FILES": ",".join(map(str, files))}
    command = [require("node"), str(script), browser, address, *map(str, pictures)]
    done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["said"] == [], seen["said"]
    return seen


def audit(address: str) -> list[dict[str, Any]]:
    """Return what tests/web/audit.mjs prints of a page: for each width and colour scheme, what axe-core finds."""
    for name in ("puppeteer-core", "axe-core"):
        node_tool(name)
    script = TOOLS / AUDIT.name
    script.write_text(AUDIT.read_text())
    command = [require("node"), str(script), address]
    environment = os.environ | {"CHROMIUM": require("chromium")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
