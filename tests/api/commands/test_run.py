"""`tidegate run`: signals from files and pipes, answers to files and pipes, interrupts, and how it refuses."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import tidegate
from onnx import helper
from tools.commands import SIGNAL, Command, Outcome, assert_refused, assert_wrong_usage
from tools.onnx_files import write_ids, write_scalar


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.tide", "--chunk", "0"], "--chunk"),
        (["m.tide", "x.npy", "-o", "y.txt"], "ends in .npy or .csv"),
        (["m.tide", "x.npy", "--isa", "sse9"], "instruction set 'sse9' is not in this build, which has"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], message: str, tide: Command) -> None:
    outcome = tide("run", *arguments)

    assert_wrong_usage(outcome, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["short.tide", "x.npy", "-o", "out.npy"], "plan: "),
        (["altered.tide", "x.npy", "-o", "out.npy"], "plan: hash"),
        (["garbage.onnx", "x.npy", "-o", "out.npy"], "not an ONNX file"),
        (["m.tide", "wide.npy", "-o", "out.npy"], r"wide.npy: has shape \(4, 7\), wanted \(frames, 3\)"),
        (["m.tide", "nan.npy", "-o", "out.npy"], "nan.npy, frame 13: chunk holds nan .* state unchanged"),
        (["m.tide", "ragged.csv", "-o", "out.csv"], "ragged.csv, line 2: 2 values, wanted 3"),
        (["m.tide", "garbage.onnx", "-o", "out.csv"], "garbage.onnx, about line 1: not text in UTF-8"),
        (["m.tide", "nothing.csv", "-o", "out.csv"], "nothing.csv: No such file"),
        (["m.tide", "x.npy", "--backend", "onnxruntime", "-o", "out.csv"], "compiled plan runs on"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments: list[str], message: str, tide: Command, bad: Path) -> None:
    before = sorted(bad.iterdir())

    assert_refused(tide("run", *arguments), message)

    assert sorted(bad.iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_it_gives_the_same_lines_for_every_source_and_model(tide: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(",".join(map(str, frame)) + "\n" for frame in SIGNAL)
    Path("x.csv").write_text(lines)

    first = tide("run", "m.int8.onnx", "x.npy")

    assert (first.status, first.err) == (0, "")
    assert len(first.out.splitlines()) == 20
    for arguments in (["m.tide", "x.csv"], ["m.tide", "x.npy", "--chunk", "7"], ["m.tide", "x.npy", "--isa", "scalar"]):
        assert tide("run", *arguments).out == first.out
    for source in ([], ["-"]):
        with open("x.csv") as file:  # noqa: PTH123  used as standard input
            monkeypatch.setattr("sys.stdin", file)
            assert tide("run", "m.tide", *source).out == first.out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["y.npy", "y.csv", "y.NPY", "y.CSV"])
def test_it_writes_a_file(name: str, tide: Command) -> None:
    wanted = tidegate.load("m.int8.onnx").stream().push(SIGNAL)

    assert tide("run", "m.int8.onnx", "x.npy", "-o", name) == Outcome(0, "", "")

    read = np.load(name) if name.lower().endswith(".npy") else np.loadtxt(name, np.float32, delimiter=",")
    assert np.array_equal(read, np.asarray(wanted))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["none.npy", "none.csv"])
def test_a_signal_without_frames_has_no_answers_of_the_right_width(name: str, tide: Command) -> None:
    Path(name).write_bytes(b"")
    if name.endswith(".npy"):
        np.save(name, SIGNAL[:0])

    assert tide("run", "m.int8.onnx", name, "-o", "y.npy") == Outcome(0, "", "")
    assert tide("run", "m.int8.onnx", name) == Outcome(0, "", "")

    wanted = tidegate.load("m.int8.onnx").stream().push(SIGNAL[:0])
    assert np.load("y.npy").shape == np.asarray(wanted).shape


@pytest.mark.usefixtures("folder")
def test_onnxruntime_gives_the_same_answers_nearly(tide: Command) -> None:

    outcome = tide("run", "m.int8.onnx", "x.npy", "--backend", "onnxruntime")

    answers = np.array([line.split(",") for line in outcome.out.splitlines()], np.float32)
    np.testing.assert_allclose(answers, np.asarray(tidegate.load("m.int8.onnx").stream().push(SIGNAL)), atol=1e-3)


@pytest.mark.usefixtures("folder")
def test_one_of_several_outputs_must_be_chosen(tide: Command) -> None:
    model = onnx.load("m.onnx")
    model.graph.node.append(helper.make_node("Identity", ["y"], ["z"]))
    z = model.graph.output.add()
    z.CopyFrom(model.graph.output[0])
    z.name = "z"
    props = {p.key: p.value for p in model.metadata_props}
    contract = json.loads(props["tidegate.contract"])
    contract["outputs"].append(contract["outputs"][0] | {"name": "z"})
    helper.set_model_props(model, {"tidegate.contract": json.dumps(contract)})
    onnx.save(model, "two.onnx")
    tidegate.quantize("two.onnx", "two.int8.onnx")

    assert_wrong_usage(tide("run", "two.int8.onnx", "x.npy"), "outputs y, z; choose one with --answer")
    assert_wrong_usage(tide("run", "two.int8.onnx", "x.npy", "--answer", "w"), "outputs y, z, not 'w'; choose one")
    assert tide("run", "two.int8.onnx", "x.npy", "--answer", "z").out == tide("run", "m.tide", "x.npy").out


@pytest.mark.usefixtures("folder")
def test_an_unknown_answer_is_refused_if_there_is_one_output(tide: Command) -> None:
    assert_wrong_usage(tide("run", "m.tide", "x.npy", "--answer", "typo"), "the model has output y, not 'typo'")
    assert tide("run", "m.tide", "x.npy", "--answer", "y").out == tide("run", "m.tide", "x.npy").out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["x.wav", "x.FLAC"])
def test_a_recording_is_streamed_as_its_samples(name: str, tide: Command) -> None:
    soundfile.write(name, SIGNAL / 8, 50, subtype="PCM_16")
    np.save("samples.npy", soundfile.read(name, dtype="float32")[0])

    assert tide("run", "m.tide", name).out == tide("run", "m.tide", "samples.npy").out

    soundfile.write(name, SIGNAL / 8, 100)
    assert_refused(tide("run", "m.tide", name), f"{name}: has 100 samples per second, the model takes 50")


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_token_ids_are_streamed_from_arrays_and_text(backend: str, tide: Command, tmp_path: Path) -> None:
    path, ids = write_ids(tmp_path / "ids.onnx"), np.array([1, 8, 0, 3])
    np.save(tmp_path / "ids.npy", ids)
    (tmp_path / "ids.txt").write_text("1\n8\n0\n3\n")
    stream = tidegate.load(path, backend).stream()  # type: ignore[arg-type]
    wanted = [np.asarray(stream.push(ids[at : at + 1])).tolist() for at in range(4)]

    for name in ("ids.npy", "ids.txt"):
        out = tide("run", path, tmp_path / name, "--backend", backend).out
        assert np.array_equal(np.loadtxt(io.StringIO(out), np.float32, delimiter=","), np.array(wanted, np.float32))


def test_row_47_answers_that_are_one_number_are_lines_and_entries_of_a_file(tide: Command, tmp_path: Path) -> None:
    path, frames = write_scalar(tmp_path / "m.onnx"), np.ones((4, 6), np.float32)
    np.save(tmp_path / "x.npy", frames)
    stream = tidegate.load(path, "onnxruntime").stream()
    wanted = [np.asarray(stream.push(frame[None])).item() for frame in frames]

    printed = tide("run", path, tmp_path / "x.npy", "--backend", "onnxruntime")
    assert tide("run", path, tmp_path / "x.npy", "--backend", "onnxruntime", "-o", tmp_path / "y.npy").status == 0

    assert np.array(printed.out.split(), np.float32).tolist() == wanted
    assert np.load(tmp_path / "y.npy").tolist() == [[number] for number in wanted]


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start the command in its own process, with pipes."""
    command = [sys.executable, "-m", "tidegate", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_it_answers_each_line_before_the_next_is_there(folder: Path) -> None:
    with start("run", str(folder / "m.tide")) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            process.stdin.write("1,2,3\n")
            process.stdin.flush()
            assert len(process.stdout.readline().split(",")) == 5
        process.stdin.close()
        assert process.wait() == 0


def test_an_interrupt_ends_quietly_with_130(folder: Path) -> None:
    with start("run", str(folder / "m.tide")) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("1,2,3\n")
        process.stdin.flush()
        process.stdout.readline()  # the command is now reading
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (130, "")


def test_a_reader_that_goes_away_ends_it_quietly(folder: Path) -> None:
    with start("run", str(folder / "m.tide"), str(folder / "x.npy")) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.wait() == 1
        assert process.stderr.read() == ""
