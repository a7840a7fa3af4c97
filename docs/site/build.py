"""Write the pages of the documentation to build/site (`make site`); they open from a folder, and fetch nothing.

The pages of the repository are gathered under the names that they have in it, so that their links lead to the same
places. Three pages of the reference are made here: of Python by the docstrings, of C by the header, of the command by
its own help.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from c_reference import c_page
from python_reference import python_page
from tidegate.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "build" / "site-pages"
WORKER = ROOT / "build/node/node_modules/iframe-worker"
HEADER = "runtime/kernels/include/tidegate.h"
WIDTH = 78  # of the help in a terminal of 80 columns or more
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)")


def main() -> None:
    """Gather the pages, write those of the reference, and build; a warning is an error."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for name in [*tracked("*.md"), "docs/site/style.css"]:
        gather(name)
    write("docs/site/iframe-worker.js", worker())
    c = c_page((ROOT / HEADER).read_text(), f"../../{HEADER}")
    for name, text in {"c": c, "python": python_page(), "command": command_page()}.items():
        write(f"docs/reference/{name}.md", text)
    sys.exit(built())


def built() -> int:
    """Run mkdocs; return its exit status, and print what it says if a warning or an error is among it.

    Its option --quiet would hide warnings from --strict too.
    """
    config = Path(__file__).with_name("mkdocs.yml")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config)]
    here = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # of its successor
    done = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    return done.returncode


def worker() -> str:
    """Return a script of another project, with its licence: workers on pages opened from a folder, for the search."""
    if not WORKER.is_dir():
        name = WORKER.relative_to(ROOT)
        sys.exit(f"build.py: there is no {name}: make node")
    return f"/*\n{(WORKER / 'LICENSE').read_text()}*/\n{(WORKER / 'shim/index.js').read_text()}"


def tracked(pattern: str) -> list[str]:
    """Return the files of the repository with a pattern."""
    command = ["git", "ls-files", pattern]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def gather(name: str) -> None:
    """Copy a page, and what it links to that is no page."""
    text = (ROOT / name).read_text()
    write(name, text)
    for target in linked_files(name, text):
        copy = PAGES / target
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / target, copy)


def linked_files(name: str, text: str) -> Iterator[Path]:
    """Yield the files of the repository, other than pages, that a page links to."""
    for link in LINK.findall(text):
        if not link.startswith(("https://", "http://")) and not link.endswith(".md"):
            yield (ROOT / name).parent.joinpath(link).resolve().relative_to(ROOT)


def write(name: str, text: str) -> None:
    """Write a page that is to be built."""
    path = PAGES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def command_page() -> str:
    """Return the page of the command: what `--help` prints, of the command and of each of its subcommands."""
    parts = ["# The command line\n\nWhat `--help` prints.", _help("tidegate")]
    parts += [_help(f"tidegate {command.name}") for command in app.registered_commands]
    return "\n\n".join(parts) + "\n"


def _help(command: str) -> str:
    printed = CliRunner().invoke(app, [*command.split()[1:], "--help"], prog_name="tidegate", terminal_width=WIDTH)
    return f"## {command}\n\n```text\n{printed.output.strip()}\n```"


if __name__ == "__main__":
    main()
