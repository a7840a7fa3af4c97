"""The npm package in real browsers: in the page, in a worker and in an AudioWorklet, with the hashes of Python."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels.building import ROOT, VECTORS, vectors
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tools.browsers import BROWSERS, result_of, served
from tools.npm_package import write_package
from tools.random_layers import lstm
from tools.streams import contract_of
from vectors.generate import linear

pytestmark = pytest.mark.slow  # browsers start, and the engine is built

SAMPLES = 44_100


def amplifier() -> bytes:
    """Return the plan of a net of the size that models an amplifier, one sample a frame, with random weights."""
    rng = np.random.default_rng(22)
    ops = (lstm(rng, 0, (1, 32), Reading.FRAME, 16), linear(rng, 1, (32, 1), Reading.HIDDEN, 16))
    program = Program(1, ops, (("y", 2),))
    return compile_program(program, contract_of(program))


def hash_of(values: Floats) -> str:
    return blake2b(values.astype("<f4").tobytes(), digest_size=32).hexdigest()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the server has, by its places: the page, the package, golden vectors, a plan and its samples."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "plan.tide").write_bytes(amplifier())
    samples = (0.5 * np.sin(np.arange(SAMPLES) ** 1.2 / 40)).astype("<f4")
    samples.tofile(folder / "samples.f32")
    (folder / "job.json").write_text(json.dumps({"vectors": [stem.name for stem in vectors()]}))
    package = write_package(folder / "package")
    return {"/": folder, "/package/": package, "/vectors/": VECTORS, "/web/": ROOT / "tests" / "web"}


@pytest.fixture(scope="module", params=BROWSERS)
def seen(request: pytest.FixtureRequest, site: dict[str, Path]) -> dict[str, Any]:
    """What a browser found, under a strict content security policy and without cross-origin isolation."""
    with served(site) as address:
        result: dict[str, Any] = result_of(request.param, f"{address}/web/browser.html")
    assert "failed" not in result, result["failed"]
    assert result["isolated"] is False
    return result


def test_row_152_a_browser_gives_the_hash_of_every_golden_vector(seen: dict[str, Any]) -> None:
    wanted = {stem.name: hash_of(np.fromfile(stem.with_suffix(".answers"), "<f4")) for stem in vectors()}
    assert seen["vectors"] == wanted


def test_row_153_audio_through_a_worklet_has_the_hash_of_python(seen: dict[str, Any], site: dict[str, Path]) -> None:
    """Also in the page and in a worker. The processor takes blocks of 128 samples, the others all at once."""
    samples = np.fromfile(site["/"] / "samples.f32", "<f4")
    wanted = hash_of(NativeModel(amplifier()).stream().push(samples[:, None]))
    for place in ("page", "worker", "worklet"):
        assert seen[place]["hash"] == wanted, place
        assert seen[place]["backend"] == "wasm (wasm_simd128)"
    assert seen["worklet"]["blocks"] == -(-SAMPLES // 128)
    assert seen["worklet"]["refused"] == 0


def test_an_error_in_a_worker_keeps_its_name_and_its_words(seen: dict[str, Any]) -> None:
    refused = "chunk holds NaN at frame 0, feature 0; wanted finite values up to 2^64; chunk refused, state unchanged"
    assert seen["worker"]["refused"] == f"ChunkError: {refused}"


def test_more_values_than_a_node_has_channels_are_refused_with_a_way_out(seen: dict[str, Any]) -> None:
    """The live page takes the way out: its test drops the same plan."""
    too_many = "33 values of answers, and a node of Web Audio has at most 32 output channels"
    assert seen["worklet"]["tooWide"].startswith(
        f"UnsupportedError: {too_many}; take the first ones by the option values"
    )
