"""The Rust crates: their own tests with the golden vectors, what they declare, and an example with Python's bits."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernels.building import KERNELS, ROOT, require
from tidegate import __version__
from tidegate.runtime.load import load

pytestmark = pytest.mark.slow  # compiles the engine

RUST = ROOT / "bindings/rust"
DECLARED = (RUST / "tidegate-sys/src/lib.rs").read_text()
HEADER = (KERNELS / "include/tidegate.h").read_text()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rust")


def cargo(target: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [require("cargo"), *arguments, "--offline", "--locked", "--target-dir", str(target)]
    environment = {**os.environ, "RUSTFLAGS": "-D warnings"}
    return subprocess.run(command, cwd=RUST, env=environment, capture_output=True, check=False)


def test_golden_vectors_and_refusals(target: Path) -> None:
    done = cargo(target, "test")
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert b"test golden_vectors_have_the_same_bits ... ok" in done.stdout


def test_the_example_gives_the_bits_of_python(target: Path, model: Path) -> None:
    built = cargo(target, "build", "--example", "stream")
    assert built.returncode == 0, built.stderr.decode()
    frames = np.random.default_rng(0).normal(0, 1, (50, 6)).astype("<f4")
    program = [target / "debug/examples/stream", model]
    done = subprocess.run(program, input=frames.tobytes(), capture_output=True, check=True)
    stream = load(model).stream()
    assert done.stdout == b"".join(np.asarray(stream.push(frame[None])).tobytes() for frame in frames)
    half = subprocess.run(program, input=frames.tobytes()[:-5], capture_output=True, check=False)
    assert half.returncode == 1
    assert b"UnexpectedEof" in half.stderr
    assert half.stdout == done.stdout[: len(done.stdout) * 49 // 50]
    missing = subprocess.run([program[0], "none.tide"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert missing.stderr.startswith('Error: "none.tide: No such file')


def test_every_function_and_status_of_the_header_is_declared() -> None:
    """With as many parameters, and with the header's values."""
    in_header = {
        name: parameters.count(",") + (parameters != "void")
        for name, parameters in re.findall(r"TIDE_API [^(]*?\b(tide_\w+)\(([^)]*)\)", HEADER)
    }
    found = re.findall(r"pub fn (tide_\w+)\(([^)]*)\)", DECLARED)
    in_rust = {name: len(re.findall(r"\w+:", parameters)) for name, parameters in found}
    assert in_rust == in_header
    statuses = re.findall(r"(TIDE_OK|TIDE_E_\w+) = (-?\d+),", HEADER)
    assert re.findall(r"pub const (TIDE_OK|TIDE_E_\w+): tide_status = (-?\d+);", DECLARED) == statuses


def test_crates_have_the_version_of_python() -> None:
    assert f'version = "{__version__}"' in (RUST / "Cargo.toml").read_text()
    assert f'version = "{__version__}"' in (RUST / "tidegate/Cargo.toml").read_text()
