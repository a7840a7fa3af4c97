"""Which C files of the engine call functions of which others, read from their source."""

import re
from pathlib import Path

from tools.imports import ROOT

KERNELS = ROOT / "runtime" / "kernels"
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DEFINITION = re.compile(r"^(?!static\b)[a-z][\w *]*?\b(\w+)\([^;{)]*\)\s*\{", re.MULTILINE)


def call_graph() -> dict[Path, set[Path]]:
    """Return the C files that each C file calls.

    Calls through the tables of operators and variants do not count: a table holds pointers, and any file may be in it.
    """
    files = [file for folder in ("src", "operators") for file in sorted((KERNELS / folder).glob("*.c"))]
    text = {file.relative_to(KERNELS): COMMENT.sub("", file.read_text()) for file in files}
    defined = {name: file for file, source in text.items() for name in DEFINITION.findall(source)}
    return {
        file: {defined[name] for name in _words(source) if name in defined} - {file} for file, source in text.items()
    }


def _words(source: str) -> set[str]:
    return set(re.findall(r"\w+", source))
