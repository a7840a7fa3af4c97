"""Python runs this file at its start: a module is then loaded from a mutated source, in every process of a test."""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType


class Unsaved(SourceFileLoader):
    """Load a source whose bytecode is of no use to others."""

    def set_data(self, *_: object, **__: object) -> None:
        """Write nothing."""


class Injected(importlib.abc.MetaPathFinder):
    """Find the module TIDEGATE_MUTANT in the file TIDEGATE_MUTANT_FILE."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        """Return where the module is; None for any other."""
        if name != os.environ["TIDEGATE_MUTANT"]:
            return None
        file = os.environ["TIDEGATE_MUTANT_FILE"]
        loader = Unsaved(name, file) if file.endswith(".py") else None
        return importlib.util.spec_from_file_location(name, file, loader=loader)


if "TIDEGATE_MUTANT" in os.environ:
    sys.meta_path.insert(0, Injected())
