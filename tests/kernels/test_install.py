"""A C program uses the engine that `cmake --install` installed and a plan of `tidegate compile --format c`."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernels.building import KERNELS, engine_with, require, run
from tidegate import __version__
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.load import compile_model, load
from tools.onnx_files import write_lstm

pytestmark = pytest.mark.slow  # compiles the engine and programs that use it

USING = KERNELS / "tests" / "using"
EXAMPLE = KERNELS.parents[1] / "examples" / "c"
FUNCTIONS = set(re.findall(r"TIDE_API .*?\b(tide_\w+)\(", (KERNELS / "include/tidegate.h").read_text()))
FRAMES = np.random.default_rng(0).normal(0, 1, (50, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.int8.onnx and model.c, which was compiled from it."""
    folder = tmp_path_factory.mktemp("model")
    quantize(write_lstm(folder / "model.onnx"), folder / "model.int8.onnx")
    compile_model(folder / "model.int8.onnx", folder / "model.c", "c")
    return folder


def wanted(model: Path) -> Array:
    stream = load(model / "model.int8.onnx").stream()
    return np.array([stream.push(frame[None]) for frame in FRAMES])


def answers(program: Path, *emulator: str) -> Array:
    done = subprocess.run([*emulator, program], input=FRAMES.tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(len(FRAMES), -1)


def test_cmake_package_builds_a_program_with_the_bits_of_python(prefix: Path, model: Path, tmp_path: Path) -> None:
    cmake = require("cmake")
    run(cmake, "-S", USING, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DPLAN={model / 'model.c'}")
    run(cmake, "--build", tmp_path)
    np.testing.assert_array_equal(answers(tmp_path / "using"), wanted(model), strict=True)


def test_pkg_config_builds_the_same_program(prefix: Path, model: Path, tmp_path: Path) -> None:
    (place,) = prefix.glob("lib*/**/tidegate.pc")
    flags = run(require("pkg-config"), "--cflags", "--libs", place).split()
    sources = [USING / "using.c", model / "model.c"]
    run(require("cc"), "-std=c11", "-Wall", "-Werror", *sources, *flags, "-o", tmp_path / "using")
    np.testing.assert_array_equal(answers(tmp_path / "using"), wanted(model), strict=True)


@pytest.mark.parametrize(("compiler", "ending"), [("cc", "c"), ("c++", "cpp")])
def test_header_is_plain_c_and_cpp(prefix: Path, tmp_path: Path, compiler: str, ending: str) -> None:
    source = tmp_path / f"header.{ending}"
    source.write_text("#include <tidegate.h>\nint main(void) { return 0; }\n")
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{prefix / 'include'}"]
    run(require(compiler), *flags, source)


def test_only_the_expected_files_are_installed(prefix: Path) -> None:
    files = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    library = next(path for path in files if path.endswith("libtidegate.a")).rpartition("/")[0]
    package = [f"cmake/tidegate/tidegate-{name}.cmake" for name in ("config", "config-noconfig", "config-version")]
    rest = ["libtidegate.a", "pkgconfig/tidegate.pc", *package]
    assert files == {"include/tidegate.h", *(f"{library}/{name}" for name in rest)}


def test_shared_library_exports_the_functions_of_the_header_alone(model: Path, tmp_path: Path) -> None:
    """For ctypes, JNA, P/Invoke and Dart; a program finds it by CMake too, by its major and minor version."""
    cmake = require("cmake")
    build = ["-DBUILD_SHARED_LIBS=ON", "-DBUILD_TESTING=OFF", "-DTIDEGATE_OPTIMIZE=-O0"]
    run(cmake, "-S", engine_with(["scalar"], tmp_path), "-B", tmp_path / "build", *build)
    run(cmake, "--build", tmp_path / "build", "--parallel", "2")
    run(cmake, "--install", tmp_path / "build", "--prefix", tmp_path / "prefix")
    (library,) = tmp_path.glob("prefix/lib*/**/libtidegate.so")
    listed = run(require("nm"), "-D", "--defined-only", library)
    version = ".".join(__version__.split(".")[:2])
    assert set(re.findall(r" T (\S+)", listed)) == {f"{name}@@TIDEGATE_{version}" for name in FUNCTIONS}
    loaded = ctypes.CDLL(str(library))
    loaded.tide_version.restype = ctypes.c_char_p
    assert loaded.tide_version().decode() == __version__
    found = [f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}", f"-DPLAN={model / 'model.c'}"]
    run(cmake, "-S", USING, "-B", tmp_path / "using", *found)
    run(cmake, "--build", tmp_path / "using")
    assert f"libtidegate.so.{version}" in run(require("readelf"), "-d", tmp_path / "using/using")
    np.testing.assert_array_equal(answers(tmp_path / "using/using"), wanted(model), strict=True)


def test_header_cmake_and_python_have_one_version(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "version.c").write_text(
        "#include <stdio.h>\n#include <tidegate.h>\nint main(void) { return puts(tide_version()) < 0; }\n"
    )
    (library,) = prefix.glob("lib*/**/libtidegate.a")
    program = tmp_path / "version"
    run(require("cc"), f"-I{prefix / 'include'}", tmp_path / "version.c", library, "-lm", "-o", program)
    assert run(program).strip() == __version__
    assert f"project(tidegate VERSION {__version__} " in (KERNELS / "CMakeLists.txt").read_text()


def test_example_streams_lines_of_numbers(prefix: Path, model: Path, tmp_path: Path) -> None:
    """examples/c streams CSV lines through a plan file, in under 60 lines of C."""
    assert len((EXAMPLE / "stream.c").read_text().splitlines()) < 60
    compile_model(model / "model.int8.onnx", tmp_path / "model.tide")
    cmake = require("cmake")
    run(
        cmake, "-S", EXAMPLE, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_C_FLAGS=-Wall -Werror"
    )
    run(cmake, "--build", tmp_path / "build")
    lines = "".join(",".join(f"{value:.9g}" for value in frame) + "\n" for frame in FRAMES)
    command = [tmp_path / "build" / "stream", tmp_path / "model.tide"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    seen = np.array([line.split(",") for line in done.stdout.splitlines()], np.float32)
    np.testing.assert_array_equal(seen, wanted(model).reshape(len(FRAMES), -1), strict=True)
    refused = subprocess.run(command, input="1,2,three\n", capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "holds a line that is no frame" in refused.stderr


def written_by_the_build(root: Path) -> str:
    """Return the commit that a build in a checkout, or in a source archive, writes for `tidegate --version`."""
    kernels, built = root / "runtime" / "kernels", root / "build"
    kernels.mkdir(parents=True, exist_ok=True)
    built.mkdir(exist_ok=True)
    script = Path(shutil.copy(KERNELS / "commit.cmake", kernels))
    subprocess.run([require("cmake"), f"-DTIDEGATE_COMMIT_FILE={built / 'commit.txt'}", "-P", str(script)], check=True)
    return (built / "commit.txt").read_text().strip()


def git(root: Path, *arguments: str) -> None:
    name = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run([require("git"), *name, *arguments], cwd=root, check=True, capture_output=True)


def test_the_commit_is_that_of_the_checkout_and_a_change_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-qm", "a")
    assert re.fullmatch(r"[0-9a-f]{7,40}", written_by_the_build(tmp_path))
    (tmp_path / "a.txt").write_text("b")
    assert re.fullmatch(r"[0-9a-f]{7,40}-dirty", written_by_the_build(tmp_path))


def test_a_source_archive_has_no_commit_also_inside_another_checkout(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "--allow-empty", "-qm", "of another project")
    assert written_by_the_build(tmp_path / "unpacked") == ""
