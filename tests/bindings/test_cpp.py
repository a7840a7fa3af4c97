"""The C++ wrapper: golden vectors, what it refuses, and its example with the bits of Python."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernels.building import ROOT, require, run
from tidegate.runtime.load import load
from tools.page_blocks import blocks_of, run_block

pytestmark = pytest.mark.slow  # compiles the engine and programs that use it

CPP = ROOT / "bindings/cpp"
REPLAY = Path(__file__).with_name("cpp") / "replay.cpp"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-exceptions", "-fno-rtti"]


@pytest.mark.parametrize(("compiler", "version"), [("c++", "c++17"), ("clang++", "c++20")])
def test_golden_vectors_and_refusals(
    prefix: Path, stems: list[Path], tmp_path: Path, compiler: str, version: str
) -> None:
    """Also under the address and undefined-behaviour sanitizers, without exceptions."""
    (library,) = prefix.glob("lib*/**/libtidegate.a")
    flags = [f"-std={version}", "-g", "-fsanitize=address,undefined", *STRICT, f"-I{CPP}", f"-I{prefix / 'include'}"]
    run(require(compiler), *flags, REPLAY, library, "-lm", "-o", tmp_path / "replay")
    assert run(tmp_path / "replay", *stems) == f"{len(stems)} vectors equal\n"
    assert len(stems) > 30


def test_the_example_gives_the_bits_of_python(prefix: Path, model: Path, tmp_path: Path) -> None:
    """As its README builds it."""
    cmake = require("cmake")
    run(cmake, "-S", CPP, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_CXX_FLAGS=-Wall -Werror")
    run(cmake, "--build", tmp_path)
    frames = np.random.default_rng(0).normal(0, 1, (50, 6)).astype(np.float32)
    done = subprocess.run([tmp_path / "stream", model], input=frames.tobytes(), capture_output=True, check=True)
    stream = load(model).stream()
    assert done.stdout == b"".join(np.asarray(stream.push(frame[None])).tobytes() for frame in frames)
    (tmp_path / "bad.tide").write_bytes(b"no plan")
    refused = subprocess.run([tmp_path / "stream", tmp_path / "bad.tide"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"{tmp_path / 'bad.tide'}: the plan is refused for its size\n")
    missing = subprocess.run([tmp_path / "stream", "none.tide"], capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stderr) == (1, "none.tide: cannot be read\n")
    half = subprocess.run([tmp_path / "stream", model], input=frames.tobytes()[:-5], capture_output=True, check=False)
    assert (half.returncode, half.stderr) == (1, b"standard input: 19 bytes at its end, wanted 24 for a frame\n")
    assert half.stdout == done.stdout[: len(half.stdout)]
    assert len(half.stdout) == len(done.stdout) * 49 // 50


def test_the_page_for_audio_plugins(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/howto/audio-plugin.md, block by block; the fixture installed the engine with the page's command."""
    pytest.importorskip("torch")
    monkeypatch.setenv("TIDEGATE", str(ROOT))
    (tmp_path / "installed").symlink_to(prefix)
    blocks = blocks_of(ROOT / "docs/howto/audio-plugin.md")
    printed = [run_block(kind, text, tmp_path) for kind, text in blocks if "cmake --install" not in text]
    assert printed[-1] == "the bits of Python: True\n"
