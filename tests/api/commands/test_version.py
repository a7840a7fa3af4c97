"""`tidegate --version`: version, engine and commit. What the build writes is tested with the other installs."""

import re
from pathlib import Path

import pytest
from tidegate import __version__
from tidegate.commands._version import NO_COMMIT, _commit, version_line
from tidegate.runtime import _kernels


def test_the_line_has_the_version_the_engine_and_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEGATE_ISA", raising=False)
    commit = rf"commit [0-9a-f]{{7,40}}(-dirty)?|{re.escape(NO_COMMIT)}"
    engine = re.escape(_kernels.variants()[0])
    assert re.fullmatch(rf"tidegate {re.escape(__version__)} \(engine {engine}, ({commit})\)", version_line())


def test_the_engine_is_the_one_that_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ISA", "scalar")
    assert "(engine scalar, " in version_line()


def test_a_build_outside_a_checkout_has_no_commit(tmp_path: Path) -> None:
    assert _commit(tmp_path) == NO_COMMIT
    (tmp_path / "commit.txt").write_text("\n")
    assert _commit(tmp_path) == NO_COMMIT
    (tmp_path / "commit.txt").write_text("0123abc-dirty\n")
    assert _commit(tmp_path) == "commit 0123abc-dirty"
