"""A plugin of pytest that names each test to coverage, and notes how long it takes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

SHARED = "shared"


class Contexts:
    """Tell coverage which test runs; a fixture that several tests use belongs to none of them."""

    def __init__(self, data: Path, files: list[str], digest: str) -> None:
        """Begin to count the lines of some files.

        `data` receives them, a file next to it `digest` and the seconds of processor time that each test takes.
        """
        self.data, self.digest = data, digest
        self.seconds: dict[str, float] = {}
        self.coverage = Coverage(data_file=str(data), branch=True, include=files, config_file=False, context="")
        self.coverage.start()
        self.now = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Count for this test."""
        self.now, started = item.nodeid.partition("[")[0], processor_time()
        self.coverage.switch_context(self.now)
        result = yield
        self.seconds[self.now] = self.seconds.get(self.now, 0) + processor_time() - started
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:  # noqa: ANN401
        """Count for all tests if the fixture lives longer than one."""
        shared = fixturedef.scope != "function"
        if shared:
            self.coverage.switch_context(SHARED)
        try:
            return (yield)
        finally:
            if shared:
                self.coverage.switch_context(self.now)

    def save(self) -> None:
        """Write what was counted."""
        self.coverage.stop()
        self.coverage.save()
        self.data.with_suffix(".json").write_text(json.dumps({"digest": self.digest, "seconds": self.seconds}))


def processor_time() -> float:
    """Return the seconds of processor time of this process and of those that it started and that ended."""
    return sum(os.times()[:4])
