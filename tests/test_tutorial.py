"""docs/tutorial.md, block by block, in one folder."""

import os
import re
import shutil
from pathlib import Path

import pytest
from tools.page_blocks import blocks_of, run_block

pytestmark = pytest.mark.slow  # trains a model, compiles a firmware and runs it under an emulator

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
DEVICE = ("arm-none-eabi-gcc", "make", "qemu-system-arm")


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    for package in ("torch", "soundfile"):
        pytest.importorskip(package)
    missing = [tool for tool in DEVICE if shutil.which(tool) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{', '.join(missing)} is missing")
    printed = []
    for kind, text in blocks_of(PAGE):
        if missing and ("firmware" in text):
            continue
        printed.append(run_block(kind, text, tmp_path))
        print(printed[-1], end="")
    whole = "\n".join(printed)
    right = re.search(r"(\d+)% of new words are right", whole)
    assert right is not None
    assert int(right[1]) >= 90
    assert re.search(r"^128 True ", whole, re.MULTILINE)
    assert re.search(r"^\d+ -> \d+ bytes, error 0\.\d+%, of the front end 0\.00%$", whole, re.MULTILINE)
    assert "features.0.spectrogram.weight float32" in whole
    assert re.findall(r"s  (\w+)$", whole, re.MULTILINE)
    assert (tmp_path / "answers.npy").is_file()
    assert '"answered": 187, "lost": 0' in whole
    assert missing or "the same answers" in whole
