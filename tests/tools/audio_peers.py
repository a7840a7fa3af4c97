"""torchaudio and librosa, what front ends are compared with; if one is missing, the test is skipped (CI: it fails)."""

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

import pytest


def torchaudio() -> Any:  # noqa: ANN401  its modules are not typed
    """Return torchaudio. Only its Python is used: its compiled part needs the libraries of CUDA."""
    if "torchaudio" not in sys.modules:
        without: Any = ModuleType("torchaudio._extension")
        without._IS_TORCHAUDIO_EXT_AVAILABLE, without.fail_if_no_align = False, lambda function: function
        sys.modules["torchaudio._extension"] = without
    return _found("torchaudio")


def librosa() -> Any:  # noqa: ANN401
    """Return librosa."""
    return _found("librosa")


def _found(name: str) -> Any:  # noqa: ANN401
    if importlib.util.find_spec(name) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return importlib.import_module(name)
