"""Real recordings and weights, in a folder next to the checkout, because they have licences of their own."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = SHARED / "data"


def shared_folder(name: str) -> Path:
    """Return a folder of the data; if it is missing, the test is skipped (under CI it fails)."""
    return _found(DATA / name)


def model_folder(name: str) -> Path:
    """Return the folder of a public model; if it is missing, the test is skipped (under CI it fails)."""
    return _found(SHARED / "models" / name)


def _found(folder: Path) -> Path:
    if not folder.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {folder}; it holds third-party data")
    return folder
