"""Settings for all tests, and the sample of them that `make quick` runs."""

import os
from collections import defaultdict
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

# Before NumPy and torch are imported: each worker has one core. With threads for all cores in each, they wait for each
# other: 440 tests of export and quant took 196 s on two busy cores, and 49 s with one thread.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import pytest
from hypothesis import HealthCheck, settings
from tidegate.runtime.errors import BackendError
from tools.processors import header

# No test may depend on the speed or the load of the machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_report_header() -> list[str]:
    """Say which processor the tests run on: what holds on one may fail on another."""
    return header()


def skip_what_lacks_onnxruntime() -> Generator[None, object, object]:
    """Skip a test that ends because onnxruntime is not installed: tests/wheel.sh runs without it.

    A test that sees only the status of a command, or catches the error, skips by `pytest.importorskip`.
    """
    try:
        return (yield)
    except (BackendError, ImportError) as error:
        if "onnxruntime" in str(error) and find_spec("onnxruntime") is None:
            pytest.skip(str(error))
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """See `skip_what_lacks_onnxruntime`."""
    return (yield from skip_what_lacks_onnxruntime())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """See `skip_what_lacks_onnxruntime`."""
    return (yield from skip_what_lacks_onnxruntime())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --sample."""
    parser.addoption("--sample", type=int, default=0, metavar="N", help="run at most N tests of each file")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put slow tests first, and keep the sample: N functions of each file, evenly spread, with their first parameters.

    A slow file that comes last runs alone, next to workers with nothing to do. The tests at the top of tests/ look at
    the whole checkout: all of them stay.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not (most := config.getoption("sample")):
        return
    functions: dict[object, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        functions[item.path].setdefault(item.nodeid.partition("[")[0], item)
    kept = {item for found in functions.values() for item in list(found.values())[:: -(-len(found) // most)]}
    kept |= {item for item in items if item.path.parent == Path(__file__).parent}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]
