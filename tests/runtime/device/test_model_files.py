"""The files of each model in a device folder: several models in one program."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.device.compiling import name_of, write_device_folder
from tidegate.runtime.device.model_files import check_names
from tidegate.runtime.errors import DeviceError
from tidegate.runtime.load import load
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
