"""Python runs this file at its start: a module is then loaded from a mutated source, in every process of a test."""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Injected(importlib.abc.MetaPathFinder):
    """Find the module TIDEGATE_MUTANT in the file TIDEGATE_MUTANT_FILE."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        """Return where the module is; None for any other."""
        if name != os.environ["TIDEGATE_MUTANT"]:
            return None
        return importlib.util.spec_from_file_location(name, os.environ["TIDEGATE_MUTANT_FILE"])


if "TIDEGATE_MUTANT" in os.environ:
    sys.meta_path.insert(0, Injected())
