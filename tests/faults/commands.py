"""Each command that writes a file, with an allocation that fails.

    LD_PRELOAD=failing_allocations.so PYTHONMALLOC=malloc python tests/faults/commands.py 'COMMAND ...' --stride 1000

runs in a folder with the files that the command reads, and prints a line for each point: the point, how many
allocations fail there, and what came of it. The file that the command writes must then be the old one or the new one,
and the new one if the command said so.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.shim import Shim, in_child
from tidegate import cli

OLD = b"old" * 1000


def status(arguments: list[str]) -> int:
    """Run a command in this process and return its status."""
    try:
        cli.main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
    except MemoryError:  # there was none for the message either: Python prints its traceback
        return 1
    return 0


def tried(arguments: list[str], shim: Shim, first: int, count: int) -> tuple[str, bool]:
    """Return the status of a command whose allocations fail from the `first` on, and whether one did fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    with shim.failing(first, count):
        ended = status(arguments)
    return str(ended), shim.met(count)


def verdict(target: Path, new: bytes, ended: str) -> str:
    """Return what came of a command that ended so: the file's state, how it ended, what it said."""
    content = target.read_bytes()
    found = "new" if content == new else "old" if content == OLD else "half"
    left = [path for path in Path.cwd().iterdir() if path.name.startswith(".tidegate-")]
    for path in left:
        path.unlink()
    return f"{ended}, {found}, {len(left)} left: {Path('said').read_text()[-2000:]}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", type=shlex.split, help="the command that is tried; its last word is its file")
    parser.add_argument("--stride", type=int, default=1, help="try one point of so many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="the first point (default: %(default)s)")
    options = parser.parse_args()
    target, shim = Path(options.command[-1]), Shim()
    assert status(options.command) == 0  # and so all modules are loaded before the forks
    new = target.read_bytes()
    points = shim.count(lambda: status(options.command))
    print(json.dumps(points))
    for count in (1, 20):
        for first in range(options.first, points + 1, options.stride):
            target.write_bytes(OLD)
            ended, met = in_child(lambda: tried(options.command, shim, first, count))  # noqa: B023  called at once
            if met:
                print(json.dumps([first, count, verdict(target, new, ended)]), flush=True)


if __name__ == "__main__":
    main()
