"""`tidegate compile`: plans, C source and folders for devices."""

import json
from pathlib import Path

import pytest
from tidegate import load
from tools.commands import Command, assert_refused, assert_wrong_usage
from tools.keys import write_keys


def test_it_writes_a_plan(tide: Command, folder: Path) -> None:
    fields = json.loads(tide("compile", "m.int8.onnx", "-o", "n.tide", "--json").out)

    assert fields == {"path": "n.tide", "bytes": (folder / "n.tide").stat().st_size}
    assert (folder / "n.tide").read_bytes() == (folder / "m.tide").read_bytes()


def test_it_writes_c_source(tide: Command, folder: Path) -> None:
    size = (folder / "m.tide").stat().st_size
    assert tide("compile", "m.int8.onnx", "-o", "n.c", "--format", "c").out == f"n.c: {size} bytes\n"
    assert "const unsigned char n_plan[] = {" in (folder / "n.c").read_text()


def test_it_writes_a_folder_for_a_device(tide: Command, folder: Path) -> None:
    fields = json.loads(tide("compile", "m.int8.onnx", "--target", "generic", "-o", "device", "--json").out)

    assert fields["path"] == "device"
    assert fields["plan_bytes"] == (folder / "m.tide").stat().st_size
    assert {"Makefile", "report.json"} <= {path.name for path in (folder / "device").iterdir()}


def test_it_writes_one_folder_for_two_models(tide: Command, folder: Path) -> None:
    names = ["--name", "wake", "--name", "gain"]
    outcome = tide("compile", "m.int8.onnx", "m.tide", "--target", "generic", "-o", "device", *names)
    assert outcome.status == 0, outcome.err
    assert {"wake.c", "wake.h", "gain.c", "gain.h"} <= {path.name for path in (folder / "device").iterdir()}
    assert "sources = wake.c gain.c number.c" in (folder / "device/Makefile").read_text().lower().replace(
        "$(main) ", ""
    )


def test_bad_input_is_one_line_and_leaves_no_file(tide: Command, bad: Path) -> None:
    before = sorted(bad.iterdir())

    assert_refused(tide("compile", "garbage.onnx", "-o", "out.tide"), "not an ONNX file")

    assert sorted(bad.iterdir()) == before


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "n.tide", "--format", "c"], "n.tide: wanted a name that ends in .c"),
        (["-o", "n", "--target", "toaster"], "--target is 'toaster', wanted one of cortex-m0,"),
        (["-o", "n", "--target", "generic", "--format", "c"], "--format has no effect with --target"),
        (["-o", "n.tide", "--name", "n"], "--name has no effect without --target"),
        (["m.tide", "-o", "n.tide"], "2 files, wanted one without --target; compile each to its own output"),
        (
            ["m.tide", "-o", "n", "--target", "generic"],
            "are called m, m, wanted different names; give --name for each",
        ),
        (
            ["-o", "n", "--target", "generic", "--name", "a", "--name", "b"],
            "2 times --name, wanted one for each of 1 files",
        ),
        (["-o", "m.tide", "--target", "generic"], "m.tide: is a file, wanted a folder for --target"),
    ],
)
def test_wrong_usage_has_status_2(options: list[str], message: str, tide: Command) -> None:
    assert_wrong_usage(tide("compile", "m.int8.onnx", *options), message)


@pytest.mark.usefixtures("folder")
def test_a_name_that_the_folder_has_is_refused_and_another_is_taken(tide: Command) -> None:
    """The message's way out: another name."""
    assert_refused(
        tide("compile", "m.tide", "--target", "generic", "-o", "d", "--name", "main"), "give one: --name NAME"
    )
    assert tide("compile", "m.tide", "--target", "generic", "-o", "d", "--name", "main_model").status == 0


def test_it_signs_the_plan_and_refuses_options_without_effect(tide: Command, folder: Path) -> None:
    pytest.importorskip("cryptography", reason="signatures need cryptography: pip install 'tidegate[sign]'")
    private, public = write_keys(folder, "maker")

    assert tide("compile", "m.int8.onnx", "-o", "n.tide", "--sign", private, "--release", 7).status == 0
    assert load(folder / "n.tide", require=public, release=7).stream().frames == 0
    assert_wrong_usage(
        tide("compile", "m.int8.onnx", "-o", "n.tide", "--release", 7), "--release has no effect without"
    )
    for_device = tide("compile", "m.int8.onnx", "-o", "device", "--target", "generic", "--sign", private)
    assert_wrong_usage(for_device, "--sign has no effect with --target; sign the plan alone")
    assert_refused(tide("compile", "m.int8.onnx", "-o", "o.tide", "--sign", public), r"maker\.pub: not a private key")
    assert not (folder / "o.tide").exists()
