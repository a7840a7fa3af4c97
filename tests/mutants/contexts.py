"""A plugin of pytest that names each test to coverage, and notes how long it takes."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

SHARED = "shared"


class Contexts:
    """Tell coverage which test runs; a fixture that several tests use belongs to none of them."""

    def __init__(self, data: Path, files: list[str]) -> None:
        """Begin to count the lines of some files; `data` receives them, a file next to it the seconds of each test."""
        self.data = data
        self.seconds: dict[str, float] = {}
        self.coverage = Coverage(data_file=str(data), branch=True, include=files, config_file=False, context="")
        self.coverage.start()
        self.now = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Count for this test."""
        self.now, started = item.nodeid.partition("[")[0], time.monotonic()
        self.coverage.switch_context(self.now)
        result = yield
        self.seconds[self.now] = self.seconds.get(self.now, 0) + time.monotonic() - started
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
        self.data.with_suffix(".json").write_text(json.dumps(self.seconds))
