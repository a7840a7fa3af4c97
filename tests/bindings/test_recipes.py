"""Recipes of package managers: they carry the version of the library, and name files and options that it has."""

import json
import re
from pathlib import Path

from kernels.building import KERNELS, ROOT

BINDINGS = ROOT / "bindings"
VERSION = re.findall(r"VERSION (\d+\.\d+\.\d+)", (KERNELS / "CMakeLists.txt").read_text())[0]
PORT = BINDINGS / "vcpkg/tidegate"


def test_recipes_have_the_version_of_the_library() -> None:
    assert f'version = "{VERSION}"' in (BINDINGS / "conan/conanfile.py").read_text()
    assert json.loads((PORT / "vcpkg.json").read_text())["version"] == VERSION


def test_port_of_vcpkg_builds_the_engine_of_its_checkout() -> None:
    recipe = (PORT / "portfile.cmake").read_text()
    up = re.findall(r'"\$\{CURRENT_PORT_DIR\}/([./]+)"', recipe)
    assert [(PORT / path).resolve() for path in up] == [ROOT]
    for name in re.findall(r"\$\{checkout\}/([\w/]+)", recipe):
        assert (ROOT / name).exists(), name
    installed = (KERNELS / "CMakeLists.txt").read_text()
    assert "/cmake/tidegate)" in installed
    assert "CONFIG_PATH lib/cmake/tidegate" in recipe


def test_program_of_the_conan_package_calls_what_the_header_has() -> None:
    program = Path(BINDINGS / "conan/test_package/version.c").read_text()
    header = (KERNELS / "include/tidegate.h").read_text()
    assert all(f"{name}(" in header for name in re.findall(r"\b(tide_\w+)\(", program))
