"""One door under Atheris, which keeps the inputs that reach new lines and changes them further.

`campaign.py` starts it: `guided.py DOOR COUNTS FOLDER... [options of libFuzzer]`. COUNTS is a file of three numbers:
how many cases there were, how many were refused and taken. A finding ends the process.
"""

import gc
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[1]))

import atheris
import numpy as np


class PlainFinder(MetaPathFinder):
    """Finds the modules of an editable package with the usual loader: Atheris leaves others alone."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where a module of tidegate is, as the finders behind this one say."""
        if name.partition(".")[0] != "tidegate":
            return None
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(name, path, target) for finder in behind)
        spec = next((one for one in found if one is not None), None)
        if spec is not None and (spec.origin or "").endswith(".py"):
            spec.loader = SourceFileLoader(name, str(spec.origin))
        return spec


class FindingError(Exception):
    """A case is neither refused nor taken."""


def main(door: str, counts: Path, arguments: Sequence[str]) -> None:
    """Try cases until libFuzzer ends the process."""
    sys.meta_path.insert(0, PlainFinder())
    with atheris.instrument_imports(include=["tidegate"]):
        from fuzzing import doors, guard, mutating

        guard.warm_up(door)
    counted = np.memmap(counts, np.int64, "r+", shape=(len(guard.COUNTED),))
    change, starts = doors.DOORS[door].change, doors.DOORS[door].starts()

    def changed(data: bytes, most: int, seed: int) -> bytes:
        random = np.random.default_rng(seed)
        found = change(mutating.pick(random, starts) if random.random() < doors.FROM_START else data, random)
        return found if len(found) <= most else data

    def enter(data: bytes) -> None:
        said = doors.entered(door, data)
        counted[0] += 1
        if said not in guard.COUNTED:
            raise FindingError(said)
        counted[guard.COUNTED.index(said)] += 1

    gc.freeze()
    guard.limit_memory()
    atheris.Setup(["guided", *arguments], enter, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
