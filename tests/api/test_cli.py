"""The command line: each command, and every bad input as one clear line and a status."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from onnx import TensorProto, helper
from tidegate import cli
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.recall import Recall
from tidegate.benchmarks.suites.families import Cost
from tidegate.benchmarks.suites.streams_per_core import Capacity

SMALL = stacks.Case("small", 3, 5, 2)
SIGNAL = stacks.random_frames(SMALL, 20)
COMMANDS = ["export", "lift", "verify", "quantize", "inspect", "run", "bench", "compile"]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def tide(capfd: pytest.CaptureFixture[str]) -> Command:
    """Return a runner of the command in this process."""

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(int(caught.value.code or 0), out, err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in with a float file, an int8 file, a plan and a signal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    stacks.save_model(stacks.random_layers(SMALL), "m.onnx", sample_rate=50)
    tidegate.quantize("m.onnx", "m.int8.onnx")
    tidegate.compile_model("m.int8.onnx", "m.tide")
    np.save("x.npy", SIGNAL)
    return tmp_path


def assert_refused(outcome: Outcome, message: str) -> None:
    """One line on standard error, status 1, nothing on standard output."""
    assert outcome.status == 1
    assert outcome.out == ""
    assert re.fullmatch(r"tidegate: error: [^\n]+\n", outcome.err)
    assert re.search(message, outcome.err), outcome.err


# ---- what every command has ----


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, tide: Command) -> None:
    outcome = tide(command, "--help")

    assert outcome.status == 0
    assert f"Example:\n    tidegate {command}" in outcome.out


def test_help_fits_eighty_columns(tide: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    for command in COMMANDS:
        assert max(map(len, tide(command, "-h").out.splitlines())) <= 80


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from tidegate import cli
try:
    cli.main(['--help'])
except SystemExit:
    print([name for name in ('numpy', 'onnx', 'rich', 'torch', 'onnxruntime') if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_version(tide: Command) -> None:
    assert tide("--version") == Outcome(0, f"tidegate {tidegate.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["inspect"], "Missing argument 'FILE'"),
        (["quantize", "m.onnx"], "Missing option"),
        (["run", "m.tide", "--chunk", "0"], "--chunk"),
        (["bench", "m.tide", "--hop", "soon"], "'soon' is not a time"),
        (["bench", "m.tide", "--rate", "100", "--hop", "10ms"], "wanted --rate 100/s or --hop 10ms"),
        (["bench"], "wanted a file, --suite NAME, or compare"),
        (["bench", "compare", "a.json"], "compare takes two results"),
        (["bench", "m.tide", "--closed", "--against", "none/python"], "no such interpreter"),
        (["bench", "--suite", "cells", "--cases", "Z"], "there is no case 'Z'"),
        (["bench", "m.tide", "--suite", "cells"], "wanted a file, --suite NAME, or compare"),
        (["bench", "--suite", "families", "--rate", "100/s"], "--rate has no effect with families; it is for FILE"),
        (["bench", "m.tide", "--closed", "--cases", "A"], "--cases has no effect with FILE; it is for cells"),
        (["bench", "compare", "a.json", "b.json", "--html", "x.html"], "--html has no effect with compare"),
        (["run", "m.tide", "x.npy", "-o", "y.txt"], "ends in .npy or .csv"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], message: str, tide: Command, folder: Path) -> None:
    outcome = tide(*arguments)

    assert outcome.status == 2
    assert message in outcome.err
    assert not (folder / "y.txt").exists()


# ---- the commands ----


def test_export_prints_proof_and_contract(tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    Path("tiny_net.py").write_text("from torch import nn\ndef make():\n    return nn.LSTM(3, 4, batch_first=True)\n")
    monkeypatch.delitem(sys.modules, "tiny_net", raising=False)

    outcome = tide("export", "tiny_net:make", "--example", "1x9x3", "--sample-rate", "50", "-o", "tiny.onnx")

    assert outcome.status == 0, outcome.err
    assert "whole, at the example" in outcome.out
    assert "a frame every 20 ms" in outcome.out
    assert (folder / "tiny.onnx").exists()


def test_export_names_a_module_that_is_not_there(tide: Command, folder: Path) -> None:
    pytest.importorskip("torch")

    assert_refused(tide("export", "no_such:net", "--example", "1x9x3", "-o", "t.onnx"), "no module 'no_such'")
    assert not (folder / "t.onnx").exists()


def test_quantize_prints_the_coverage(tide: Command, folder: Path) -> None:
    outcome = tide("quantize", "m.onnx", "-o", "q.onnx")

    assert (outcome.status, outcome.err) == (0, "")
    assert re.search(r"w0 +20 x 3 +W8A16 +140 +0\.\d+%", outcome.out)
    assert (folder / "q.onnx").read_bytes() == (folder / "m.int8.onnx").read_bytes()


def test_quantize_takes_precisions_and_prints_json(tide: Command, folder: Path) -> None:
    wanted = ["--precision", "r*=W16A16", "--precision", "W4A8", "--precision", "r1=float32"]
    fields = json.loads(tide("quantize", "m.onnx", "-o", "q.onnx", *wanted, "--json").out)

    seen = {row["name"]: (row["bits"], row["group"], row["activation_bits"]) for row in fields["weights"]}
    assert seen == {"w0": (4, 0, 8), "r0": (16, 0, 16), "w1": (4, 0, 8), "r1": (32, 0, 0)}
    assert fields["bytes"] == (folder / "q.onnx").stat().st_size


def test_quantize_has_status_1_when_a_recurrent_weight_stayed_float(tide: Command, folder: Path) -> None:
    """Its weight is no constant: the file is written, and the table says why."""
    pytest.importorskip("onnxruntime")
    model = onnx.load("m.onnx")
    tensor = next(t for t in model.graph.initializer if t.name == "r1")
    tensor.name = "r1.stored"
    model.graph.node.insert(0, helper.make_node("Neg", ["r1.stored"], ["r1"]))
    onnx.save(model, "odd.onnx")

    outcome = tide("quantize", "odd.onnx", "-o", "q.onnx")

    assert outcome.status == 1
    assert "not a constant of the graph" in " ".join(outcome.out.split())
    assert outcome.err == "tidegate: error: weights stayed float: r1\n"
    assert (folder / "q.onnx").exists()


@pytest.mark.parametrize("name", ["m.int8.onnx", "m.tide"])
def test_inspect_shows_contract_layers_and_backend(name: str, tide: Command, folder: Path) -> None:
    outcome = tide("inspect", folder / name)

    assert (outcome.status, outcome.err) == (0, "")
    assert "lstm0.h_in <- lstm0.h_out" in outcome.out
    assert re.search(r"LSTM +3 -> 5 +W8A16, W8A16", outcome.out)
    assert "Runs on: native (" in outcome.out


def test_inspect_says_why_the_engine_does_not_run_a_file(tide: Command, folder: Path) -> None:
    model = onnx.load("m.int8.onnx")
    next(node for node in model.graph.node if node.op_type == "LSTM").attribute.append(
        helper.make_attribute("clip", 3.0)
    )
    onnx.save(model, folder / "odd.onnx")
    outcome = tide("inspect", folder / "odd.onnx")

    assert outcome.status == 0
    assert "Not on the engine: LSTM 'lstm0'" in " ".join(outcome.out.split())
    assert re.search(r"LSTM +3 -> 5 +W8, W8", outcome.out)
    assert json.loads(tide("inspect", folder / "odd.onnx", "--json").out)["backend"] == "onnxruntime"


def test_run_gives_the_same_lines_for_every_source_and_model(
    tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(",".join(map(str, frame)) + "\n" for frame in SIGNAL)
    Path("x.csv").write_text(lines)

    first = tide("run", "m.int8.onnx", "x.npy")

    assert (first.status, first.err) == (0, "")
    assert len(first.out.splitlines()) == 20
    for arguments in (["m.tide", "x.csv"], ["m.tide", "x.npy", "--chunk", "7"], ["m.tide", "x.npy", "--isa", "scalar"]):
        assert tide("run", *arguments).out == first.out
    for source in ([], ["-"]):
        with open("x.csv") as file:  # noqa: PTH123  a stream to stand in for standard input
            monkeypatch.setattr("sys.stdin", file)
            assert tide("run", "m.tide", *source).out == first.out
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["y.npy", "y.csv"])
def test_run_writes_a_file(name: str, tide: Command, folder: Path) -> None:
    wanted = tidegate.load("m.int8.onnx").stream().push(SIGNAL)

    assert tide("run", "m.int8.onnx", "x.npy", "-o", name) == Outcome(0, "", "")

    read = np.load(name) if name.endswith(".npy") else np.loadtxt(name, np.float32, delimiter=",")
    assert np.array_equal(read, np.asarray(wanted))
    assert folder.is_dir()


def test_run_on_onnxruntime(tide: Command, folder: Path) -> None:
    pytest.importorskip("onnxruntime")

    outcome = tide("run", "m.int8.onnx", "x.npy", "--backend", "onnxruntime")

    answers = np.array([line.split(",") for line in outcome.out.splitlines()], np.float32)
    np.testing.assert_allclose(answers, np.asarray(tidegate.load("m.int8.onnx").stream().push(SIGNAL)), atol=1e-3)
    assert folder.is_dir()


def test_run_asks_which_of_several_outputs(tide: Command, folder: Path) -> None:
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

    assert_refused(tide("run", "two.int8.onnx", "x.npy"), "outputs y, z; choose one with --answer")
    assert tide("run", "two.int8.onnx", "x.npy", "--answer", "z").out == tide("run", "m.tide", "x.npy").out
    assert folder.is_dir()


QUICK = ("--seconds", "0.05", "--processes", "2")


def test_bench_measures_beside_onnxruntime(tide: Command, folder: Path) -> None:
    pytest.importorskip("onnxruntime")

    outcome = tide("bench", "m.int8.onnx", "--input", "x.npy", "--json", "r.json", "--html", "r.html", *QUICK)

    assert (outcome.status, outcome.err) == (0, "")
    for word in ("tidegate as given push", "onnxruntime int8 IOBinding", "p99.9", "misses", "due every 20000 us"):
        assert word in outcome.out
    rows = json.loads((folder / "r.json").read_text())["rows"]
    assert {row["loop"] for row in rows} == {"open"}
    assert {row["rate_hz"] for row in rows} == {50.0}
    assert "<svg" in (folder / "r.html").read_text()


def test_bench_times_a_plan_alone_and_says_why(tide: Command, folder: Path) -> None:
    pytest.importorskip("hdrh")
    outcome = tide("bench", "m.tide", "--peers", "by_hand,onnxruntime", "--closed", "--json", "r.json", *QUICK)

    assert "closed loop" in outcome.out
    assert "onnxruntime int8 run: only tidegate runs a compiled plan" in " ".join(outcome.out.split())
    ours = json.loads((folder / "r.json").read_text())["rows"][0]
    assert ours["misses"] is None
    assert "a closed loop has no rate" in ours["reasons"]["misses"]
    assert "compiled plan" in ours["reasons"]["error_rms"]


@pytest.mark.parametrize("suite", ["families", "streams"])
def test_a_suite_of_tables_writes_every_file(
    suite: str, tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With figures that are given: what measures them has tests of its own."""
    pytest.importorskip("matplotlib")
    costs = [Cost("LSTM", 10, at, 1.0, 5) for at in (10, 100)]
    monkeypatch.setattr("tidegate.benchmarks.suites.families.costs", lambda **_: costs)
    monkeypatch.setattr(
        "tidegate.benchmarks.recall.recalls", lambda *_, **__: [Recall("LSTM", 1, 9, 0, 5, 9, 0.5, 1.0)]
    )
    monkeypatch.setattr(
        "tidegate.benchmarks.suites.streams_per_core.measure",
        lambda **_: [Capacity("x", "A", 9.0, 7, 5.0, 9, {7: 5.0})],
    )
    names = {"families": {"families", "recall"}, "streams": {"streams"}}[suite]

    outcome = tide("bench", "--suite", suite, "--json", "f.json", "--html", "f.html", "--pictures", "p")

    assert outcome.status == 0
    assert "Machine: " in outcome.out
    assert "engine unused" not in outcome.out
    assert {path.name for path in (folder / "p").iterdir()} == {
        f"{name}.{end}" for name in names for end in ("png", "svg")
    }
    assert (folder / "f.html").read_text().count("<svg") == len(names)
    assert json.loads((folder / "f.json").read_text()).keys() > {"environment"}


def test_bench_compares_two_results(tide: Command, folder: Path) -> None:
    pytest.importorskip("hdrh")
    tide("bench", "m.tide", "--peers", "none", "--closed", "--json", "a.json", *QUICK)
    slower = json.loads((folder / "a.json").read_text())
    for row in slower["rows"]:
        row["p50_us"] *= 10
        row["interval_us"] = [10 * time for time in row["interval_us"]]
    (folder / "b.json").write_text(json.dumps(slower))

    assert tide("bench", "compare", "a.json", "a.json").status == 0
    outcome = tide("bench", "compare", "a.json", "b.json", "--json", "changes.json")
    assert outcome.status == 1
    assert "1 of 1 rows slower" in outcome.out
    (change,) = json.loads((folder / "changes.json").read_text())["changes"]
    assert (change["verdict"], change["ratio"]) == ("slower", pytest.approx(10))


def test_compile_writes_a_plan(tide: Command, folder: Path) -> None:
    fields = json.loads(tide("compile", "m.int8.onnx", "-o", "n.tide", "--json").out)

    assert fields == {"path": "n.tide", "bytes": (folder / "n.tide").stat().st_size}
    assert (folder / "n.tide").read_bytes() == (folder / "m.tide").read_bytes()


def test_compile_writes_c_source(tide: Command, folder: Path) -> None:
    size = (folder / "m.tide").stat().st_size
    assert tide("compile", "m.int8.onnx", "-o", "n.c", "--format", "c").out == f"n.c: {size} bytes\n"
    assert "const unsigned char n_plan[] = {" in (folder / "n.c").read_text()
    refused = tide("compile", "m.int8.onnx", "-o", "n.tide", "--format", "c")
    assert refused.status == 2
    assert re.search(r"wanted a name that\s+ends in \.c", refused.err)


# ---- bad input ----


@pytest.fixture
def bad(folder: Path) -> Path:
    """Files that are not what they should be."""
    Path("garbage.onnx").write_bytes(b"\x00garbage\xff" * 50)
    Path("empty.onnx").write_bytes(b"")
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    relu = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    onnx.save(helper.make_model(relu), "relu.onnx")
    plan = Path("m.tide").read_bytes()
    Path("short.tide").write_bytes(plan[: len(plan) // 2])
    Path("altered.tide").write_bytes(plan[:-200] + bytes([plan[-200] ^ 1]) + plan[-199:])
    np.save("wide.npy", np.zeros((4, 7), np.float32))
    nan = SIGNAL.copy()
    nan[13, 2] = np.nan
    np.save("nan.npy", nan)
    Path("ragged.csv").write_text("1,2,3\n1,2\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quantize", "garbage.onnx", "-o", "out.onnx"], "garbage.onnx: not an ONNX file"),
        (["quantize", "empty.onnx", "-o", "out.onnx"], "empty.onnx: not an ONNX file"),
        (["quantize", "relu.onnx", "-o", "out.onnx"], "no recurrent node"),
        (["quantize", "m.int8.onnx", "-o", "out.onnx"], "already quantized"),
        (["quantize", "m.onnx", "-o", "out.onnx", "--precision", "W3A8"], "precision is 'W3A8', wanted W4, W8 or W16"),
        (["quantize", "m.onnx", "-o", "out.onnx", "--precision", "x=W4A8"], "no weight matches 'x'; there are w0, r0"),
        (["quantize", "nothing.onnx", "-o", "out.onnx"], "nothing.onnx: no such file"),
        (["quantize", "m.onnx", "-o", "no/such/out.onnx"], "no/such: there is no such folder"),
        (["quantize", "m.onnx", "-o", "."], r"\.: is a folder"),
        (["compile", "garbage.onnx", "-o", "out.tide"], "not an ONNX file"),
        (["inspect", "garbage.onnx"], "not an ONNX file"),
        (["inspect", "relu.onnx"], "no recurrent node"),
        (["inspect", "."], "not a regular file"),
        (["inspect", "short.tide"], "plan: "),
        (["run", "short.tide", "x.npy", "-o", "out.npy"], "plan: "),
        (["run", "altered.tide", "x.npy", "-o", "out.npy"], "plan: hash"),
        (["run", "garbage.onnx", "x.npy", "-o", "out.npy"], "not an ONNX file"),
        (["run", "m.tide", "wide.npy", "-o", "out.npy"], r"wide.npy, frame 0: chunk has shape \(1, 7\)"),
        (["run", "m.tide", "nan.npy", "-o", "out.npy"], "nan.npy, frame 13: chunk holds nan .* state unchanged"),
        (["run", "m.tide", "ragged.csv", "-o", "out.csv"], "ragged.csv, line 2: 2 values, wanted 3"),
        (["run", "m.tide", "garbage.onnx", "-o", "out.csv"], "garbage.onnx, about line 1: not text"),
        (["run", "m.tide", "nothing.csv", "-o", "out.csv"], "nothing.csv: No such file"),
        (["run", "m.tide", "x.npy", "-o", "out.csv", "--isa", "sse9"], "instruction set 'sse9' is not in this build"),
        (["run", "m.tide", "x.npy", "--backend", "onnxruntime", "-o", "out.csv"], "compiled plan runs on"),
        (["bench", "altered.tide"], "plan: hash"),
        (["bench", "m.tide", "--input", "nan.npy"], "nan.npy: chunk holds nan at frame 13, feature 2"),
        (["bench", "m.tide", "--input", "wide.npy"], "wide.npy: signal has shape"),
        (["bench", "m.tide", "--peers", "abacus"], "peer 'abacus' is unknown; there are tidegate"),
        (["bench", "compare", "garbage.onnx", "m.onnx"], "garbage.onnx: not a result"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments: list[str], message: str, tide: Command, bad: Path) -> None:
    before = sorted(bad.iterdir())

    assert_refused(tide(*arguments), message)

    assert sorted(bad.iterdir()) == before


def test_an_older_file_survives_a_failure(tide: Command, bad: Path) -> None:
    Path("out.onnx").write_text("kept")

    tide("quantize", "relu.onnx", "-o", "out.onnx")

    assert (bad / "out.onnx").read_text() == "kept"


def test_an_unexpected_error_is_one_line_too(tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("division\nby zero \x1b[31m")

    monkeypatch.setattr("tidegate.runtime.inspection.inspect_file", fail)

    outcome = tide("inspect", folder / "m.onnx")

    assert_refused(outcome, r"unexpected ZeroDivisionError: division by zero \?\[31m; .* TIDEGATE_TRACEBACK=1")
    monkeypatch.setenv("TIDEGATE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["inspect", "m.onnx"])


# ---- pipes ----


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start the command in a process of its own, with pipes."""
    command = [sys.executable, "-m", "tidegate", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_run_answers_each_line_before_the_next_is_there(folder: Path) -> None:
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
