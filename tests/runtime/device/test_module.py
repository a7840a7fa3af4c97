"""Modules of WebAssembly: what they export and ask for, their size, and the same bytes each time."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest
from kernels.building import ROOT, require
from tidegate.runtime.device import module
from tidegate.runtime.device.module import EXPORTED, FLAGS, SIMD, WEB, build_module
from tidegate.runtime.device.parts import KERNELS
from tidegate.runtime.errors import DeviceError
from tools.web import MODULES, engine

MOST_BYTES = 80_000  # of the whole engine, gzipped
LOOK = """
const bytes = require("fs").readFileSync(process.argv[1]);
const of = WebAssembly.Module[process.argv[2]](new WebAssembly.Module(bytes));
console.log(JSON.stringify(of.map(({ name }) => name)));
"""


def names(path: Path, what: str) -> set[str]:
    done = subprocess.run([require("node"), "-e", LOOK, str(path), what], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("variant", MODULES)
def test_a_module_asks_for_nothing_and_exports_all_of_the_headers(variant: str) -> None:
    path = engine(variant)
    headers = (KERNELS / "include/tidegate.h", WEB / "web.h")
    declared = {name for header in headers for name in EXPORTED.findall(header.read_text())}
    assert names(path, "imports") == set()
    assert names(path, "exports") == {"memory", *declared}
    assert len(gzip.compress(path.read_bytes(), 9)) <= MOST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/browser.md", "bindings/npm/README.md", "bindings/npm/package.json"])
def test_the_pages_have_the_size_of_the_engine(page: str) -> None:
    said = re.findall(r"(\d+) KB gzipped", (ROOT / page).read_text())
    assert [int(kilobytes) for kilobytes in said] == [
        pytest.approx(len(gzip.compress(engine("wasm_simd128").read_bytes(), 9)) / 1000, abs=2)
    ]


@pytest.mark.slow
def test_a_second_build_gives_the_same_bytes() -> None:
    assert build_module(flags=MODULES["scalar"]) == engine("scalar").read_bytes()


def test_vectors_are_loaded_by_instructions_not_by_calls() -> None:
    """Else A takes 20 us in place of 8."""
    places = (module._zig().with_name("lib") / "include", WEB / "include", KERNELS / "include")
    include = [f"-I{place}" for place in places]
    flags = [*FLAGS, *SIMD, "-O2", *include, "-S", "-o", "-"]
    command = [module._zig(), "clang", *flags, KERNELS / "variants/wasm_simd128.c"]
    text = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    assert "i32x4.dot_i16x8_s" in text
    assert "call\tmemcpy" not in text


def test_without_its_compiler_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module._zig.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match=r"ziglang, is not installed; pip install 'tidegate\[wasm\]'"):
        build_module()


def test_what_the_compiler_says_is_in_the_refusal(tmp_path: Path) -> None:
    module._zig.cache_clear()
    for room in ("src", "include"):
        (tmp_path / room).mkdir()
    (tmp_path / "src/wrong.c").write_text("#error this is the reason\n")
    with pytest.raises(DeviceError, match="this is the reason"):
        build_module(tmp_path)
