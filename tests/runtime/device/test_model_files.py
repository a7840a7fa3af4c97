"""The files of each model in a device folder: several models in one program."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.contract import METADATA_KEY, Piece
from tidegate.runtime.device.compiling import name_of, write_device_folder
from tidegate.runtime.device.folder import write_files
from tidegate.runtime.device.model_files import NAME, check_names
from tidegate.runtime.device.targets import TARGETS
from tidegate.runtime.errors import DeviceError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load, plan_of
from tools.onnx_files import write_lstm

BOTH = Path(__file__).with_name("both.cpp")


@pytest.fixture
def both(tmp_path: Path) -> dict[str, Path]:
    """Two models of different sizes; the names of their files are not names in C."""
    return {
        "wake": write_lstm(tmp_path / "1-wake.onnx", 2, 3),
        "gain": write_lstm(tmp_path / "2-gain.onnx", 4, 5),
    }


def test_two_models_in_one_program_of_cpp_answer_as_python_does(both: dict[str, Path], tmp_path: Path) -> None:
    write_device_folder(both, "generic", tmp_path / "out")
    engine = sorted((tmp_path / "out/tidegate").glob("*/*.c"))
    flags = re.findall(r"-DTIDE_\S+", (tmp_path / "out/Makefile").read_text())
    (tmp_path / "objects").mkdir()
    include = ["-I..", "-I../out", "-I../out/tidegate/include"]
    c = ["cc", "-c", "-ffp-contract=off", *flags, *include, *engine, "../out/wake.c", "../out/gain.c"]
    subprocess.run(c, cwd=tmp_path / "objects", check=True)
    objects = sorted((tmp_path / "objects").glob("*.o"))
    cpp = ["c++", "-Wall", "-Werror", *include, str(BOTH), *map(str, objects), "-o", "both"]
    subprocess.run(cpp, cwd=tmp_path / "objects", check=True)
    said = subprocess.run([tmp_path / "objects/both"], capture_output=True, text=True, check=True).stdout
    for line, path, features in zip(said.splitlines(), both.values(), (2, 4), strict=True):
        stream = load(path).stream()
        wanted = [np.asarray(stream.push(np.full((1, features), 0.5, np.float32))).ravel() for _ in range(3)]
        assert np.array_equal(np.array(line.split(), np.float32), np.concatenate(wanted))


def test_the_program_runs_the_first_of_several_models(both: dict[str, Path], tmp_path: Path) -> None:
    report = write_device_folder(both, "generic", tmp_path / "out")
    alone = [write_device_folder({name: path}, "generic", tmp_path / name) for name, path in both.items()]
    assert report.plan_bytes == sum(one.plan_bytes for one in alone)
    assert report.multiply_adds == sum(one.multiply_adds for one in alone)
    build = ["make", "-C", "out"]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    frames = np.full((3, 2), 0.5, np.float32).tobytes()
    said = subprocess.run([tmp_path / "out/model"], input=frames, capture_output=True, check=True).stdout
    assert len(said.splitlines()) == 3


def test_the_name_of_a_model_is_its_files_name_up_to_the_first_dot() -> None:
    assert [name_of(path) for path in ("a/kws.int8.onnx", Path("2-wake.tide"))] == ["kws", "_2_wake"]


@pytest.mark.parametrize("name", ["math", "string", "Features", "float", "stdint"])
def test_a_name_of_a_header_of_c_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"would take its {name}.h for C's own header; give another: --name NAME"):
        check_names([name])


@pytest.mark.parametrize("target", ["generic", "x86_64", "cortex-m4f", "cortex-m55", "aarch64"])
def test_a_model_has_the_name_of_no_header_that_a_build_opens(target: str, tmp_path: Path) -> None:
    chosen = TARGETS[target]
    if shutil.which(chosen.compiler) is None:
        pytest.skip(f"{chosen.compiler} is not installed")
    write_files({"kws": plan_of(write_lstm(tmp_path / "m.onnx"))}, chosen, tmp_path)
    asked = [chosen.compiler, *chosen.flags, "-E", "-v", "-xc", "/dev/null"]
    searched = subprocess.run(asked, capture_output=True, text=True, check=True).stderr
    places = {Path(line.strip()).resolve() for line in searched.splitlines() if line.startswith(" /")}
    files = [tmp_path / "main.c", *tmp_path.glob("port*.c"), *tmp_path.glob("tidegate/*/*.c")]
    listed = [chosen.compiler, *chosen.flags, "-M", f"-I{tmp_path}", f"-I{tmp_path}/tidegate/include", *map(str, files)]
    opened = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.replace("\\\n", " ").split()
    headers = {Path(name).resolve() for name in opened if name.endswith(".h")}
    names = {path.stem for path in headers if path.parent in places}
    assert {"stdint", "string"} <= names
    for name in names:
        if NAME.fullmatch(name) and not name.endswith("intrin"):  # those only come with immintrin.h
            with pytest.raises(DeviceError, match="C's own header"):
                check_names([name])


def test_names_that_make_one_name_in_two_headers_are_refused(both: dict[str, Path], tmp_path: Path) -> None:
    named = {"wake": both["wake"], "wake_stream": both["gain"]}
    with pytest.raises(
        DeviceError, match=r"wake.h and wake_stream.h both define WAKE_STREAM_MEMORY; give a model another name: --name"
    ):
        write_device_folder(named, "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [("near", "near_features"), ("near.end", "near_end"), ("near", "Near")])
def test_signals_that_have_one_name_in_c_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    pieces = tuple(Piece(name, (1,)) for name in names)
    graph = Graph.load(write_lstm(tmp_path / "m.onnx", 2, 3))
    graph.set_metadata(METADATA_KEY, replace(graph.contract, pieces=pieces).to_json())
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(
        DeviceError, match=r"two inputs of m are both M_SIGNAL_NEAR.*; rename one in the module and exp"
    ):
        write_device_folder(tmp_path / "m.onnx", "generic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "a b", "2x", "main", "Port", "x" * 65, "größe"])
def test_a_name_that_c_or_the_folder_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"the name of a model is '{name}', wanted a name in C.*give one: --name"):
        check_names([name])


def test_names_that_are_the_same_in_macros_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"called 'Wake', wanted different names; give one for each: --name NAME"):
        check_names(["wake", "Wake"])
    check_names(["wake", "Sleep"])
    with pytest.raises(DeviceError, match="there are 0 models, wanted at least one"):
        check_names([])


def test_a_browser_folder_has_one_model(both: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="2 models, wanted one for wasm; write a folder for each"):
        write_device_folder(both, "wasm", tmp_path / "out")
    assert not (tmp_path / "out").exists()
