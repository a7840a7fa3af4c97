"""The folder of a device is a library too: each build system finds what it expects, and builds the same bits."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernels.building import require
from tidegate.runtime.device.folder import write_files
from tidegate.runtime.device.targets import TARGETS
from tidegate.runtime.load import load, plan_of
from tools.onnx_files import write_lstm

FRAMES = np.random.default_rng(0).standard_normal((4, 2)).astype("<f4")

# What the two build systems offer a component: its C files and the folders that others may search.
STUBS = """
cmake_minimum_required(VERSION 3.18...4.4)
project(app LANGUAGES C)
set(out {folder})
function(idf_component_register)
  cmake_parse_arguments(given "" "" "SRCS;INCLUDE_DIRS" ${{ARGN}})
  add_library(esp-idf STATIC ${{given_SRCS}})
  target_include_directories(esp-idf PUBLIC ${{given_INCLUDE_DIRS}})
endfunction()
macro(zephyr_library_named name)
  add_library(zephyr STATIC)
endmacro()
macro(zephyr_library_sources)
  target_sources(zephyr PRIVATE ${{ARGN}})
endmacro()
macro(zephyr_include_directories)
  target_include_directories(zephyr PUBLIC ${{ARGN}})
endmacro()
set(ESP_PLATFORM 1)
add_subdirectory(${{out}} component)
add_subdirectory(${{out}}/zephyr module)
foreach(system esp-idf zephyr)
  add_executable(with-${{system}} ${{out}}/main.c ${{out}}/number.c ${{out}}/port_stdio.c)
  target_link_libraries(with-${{system}} ${{system}} m)
endforeach()
"""
ARDUINO = """
#include <cstdint>
struct {
  void begin(long) {}
  void print(float, int) {}
  void print(char) {}
  void println(const char *text = "") {}
} Serial;
void delay(unsigned long) {}
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two models, the first of which streams FRAMES."""
    away = tmp_path_factory.mktemp("library")
    plans = {name: plan_of(write_lstm(away / f"{name}.onnx", 2, 3)) for name in ("wake", "gain")}
    write_files(plans, TARGETS["generic"], away / "out")
    return away / "out"


def test_every_c_file_but_those_of_the_program_has_one_that_stands_for_it(out: Path) -> None:
    sources = {path.relative_to(out).as_posix() for path in out.glob("tidegate/**/*.c")} | {"wake.c", "gain.c"}
    included = [re.findall(r'#include "(.*\.c)"', path.read_text()) for path in sorted(out.glob("src/**/*.c"))]
    found = [path.parent / name for path, (name,) in zip(sorted(out.glob("src/**/*.c")), included, strict=True)]
    assert sorted(path.resolve().relative_to(out).as_posix() for path in found) == sorted(sources)


def test_row_265_build_system_with_flags_of_its_own_fuses_no_products(tmp_path: Path) -> None:
    """A compiler fuses a product and a sum on a Cortex-M4F unless told not to, and Arduino cannot tell it."""
    gcc = require("arm-none-eabi-gcc")
    write_files({"m": plan_of(write_lstm(tmp_path / "m.onnx", 2, 3))}, TARGETS["cortex-m4f"], tmp_path / "out")
    flags = ["-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Os", "-S", "-o", "-", "-I"]
    file = "out/src/tidegate/variants/arm_dsp.c"

    def fused() -> int:
        command = [gcc, *flags, "out/src", file]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return len(re.findall(r"\tvfn?m[as]", done.stdout))

    assert fused() == 0
    fit = tmp_path / "out/src/tidegate/fit.h"
    fit.write_text(fit.read_text().replace('"fp-contract=off", ', ""))
    assert fused() > 0  # so the test sees them


def test_component_of_esp_idf_and_module_of_zephyr_give_the_answers_of_python(out: Path, tmp_path: Path) -> None:
    """With stubs of the functions that the two build systems offer, and this machine's compiler without any flag."""
    cmake = require("cmake")
    (tmp_path / "CMakeLists.txt").write_text(STUBS.format(folder=out))
    for command in (["-S", ".", "-B", "build"], ["--build", "build"]):
        subprocess.run([cmake, *command], cwd=tmp_path, capture_output=True, check=True)
    stream = load(out.parent / "wake.onnx").stream()
    wanted = [stream.push(frame[None]) for frame in FRAMES]
    for system in ("esp-idf", "zephyr"):
        program = tmp_path / "build" / f"with-{system}"
        said = subprocess.run([program], input=FRAMES.tobytes(), capture_output=True, check=True).stdout
        np.testing.assert_allclose([list(map(float, line.split())) for line in said.splitlines()], wanted, atol=1e-6)


def test_sketch_compiles(out: Path, tmp_path: Path) -> None:
    """With what it uses of Arduino's library, as C++11: the standard of most boards."""
    (tmp_path / "Arduino.h").write_text(ARDUINO)
    flags = [
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Werror",
        "-fsyntax-only",
        "-include",
        "Arduino.h",
        "-x",
        "c++",
    ]
    command = [require("c++"), *flags, "-I", str(out / "src"), str(out / "examples/wake/wake.ino")]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_pack_lists_every_source(out: Path) -> None:
    described = (out / "tidegate.wake.pdsc").read_text()
    files = set(re.findall(r'<file category="(\w+)" name="([^"]+)"/>', described))
    sources = {path.relative_to(out).as_posix() for path in out.glob("src/**/*.c")}
    assert files == {("include", "src/"), *(("source", name) for name in sources)}


def test_descriptions_name_the_library_its_version_and_its_headers(out: Path) -> None:
    """docs/boards.md says by which schema each was checked."""
    arduino = dict(line.split("=", 1) for line in (out / "library.properties").read_text().splitlines())
    platformio = json.loads((out / "library.json").read_text())
    assert arduino["name"] == platformio["name"] == "wake"
    assert arduino["version"] == platformio["version"]
    assert f'version: "{arduino["version"]}"' in (out / "idf_component.yml").read_text()
    assert (out / "zephyr/module.yml").read_text() == "name: wake\nbuild:\n  cmake: zephyr\n"
    assert arduino["includes"].split(",") == platformio["headers"] == ["wake.h", "gain.h", "tidegate.h"]
    assert all((out / "src" / name).is_file() for name in platformio["headers"])


@pytest.mark.parametrize("old", ["out/library.json", "out/tidegate.wake.pdsc"])
def test_no_field_of_a_description_is_left_unfilled(out: Path, old: str) -> None:
    assert "@" not in (out.parent / old).read_text()
