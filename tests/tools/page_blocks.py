"""The blocks of a page, run one after the other in one folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Return the language of each block of a page, which may be empty, and its text."""
    return BLOCK.findall(page.read_text())


def run_block(kind: str, text: str, folder: Path) -> str:
    """Run a block in a folder; return what it prints. All but shell is saved under the name in its first line."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    here = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path}
    command = ["sh", "-e", "-c", text]
    if kind != "sh":
        script = folder / text.splitlines()[0].lstrip("#/ ")
        script.write_text(text)
        command = [sys.executable, str(script)]
    if kind not in {"sh", "python"}:
        return ""
    done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    return done.stdout
