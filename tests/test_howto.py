"""The pages of docs/howto, block by block, in a folder each."""

import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
from tools.page_blocks import blocks_of, run_block

pytestmark = pytest.mark.slow  # exports, compiles, and runs emulators and a server

ROOT = Path(__file__).parents[1]
NEEDS = {
    "firmware": ("arm-none-eabi-gcc", "make", "qemu-system-arm"),
    "server": (),
    "browser": ("node",),
}
SAYS = {
    "firmware": "the answers of Python: True",
    "server": "the bits of a stream alone: True",
    "browser": "the bits of Python: True",
}


def test_every_page_is_run() -> None:
    others = {"audio-plugin"}  # by tests/bindings/test_cpp.py, which has the engine installed
    assert {page.stem for page in (ROOT / "docs/howto").glob("*.md")} == {*SAYS, *others}
    assert set(SAYS) == set(NEEDS)


@pytest.mark.parametrize("name", SAYS)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    for package in ("torch", "picows", "websockets", "ziglang"):
        pytest.importorskip(package)
    missing = [tool for tool in NEEDS[name] if shutil.which(tool) is None]
    if missing:
        reason = f"{', '.join(missing)} is missing"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    port = free_port()
    try:
        blocks = blocks_of(ROOT / f"docs/howto/{name}.md")
        printed = [run_block(kind, text.replace("8002", port), tmp_path) for kind, text in blocks]
    finally:
        stop_server(tmp_path)
    assert SAYS[name] in "".join(printed)


def free_port() -> str:
    """Return a port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def stop_server(folder: Path) -> None:
    """End the server that a page started."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((folder / "server.pid").read_text()), signal.SIGTERM)
