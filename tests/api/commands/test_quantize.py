"""`tidegate quantize`: coverage, precisions, calibration, budgets, and how it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.runtime.arrays import Floats
from tools.commands import Command, assert_refused, assert_wrong_usage
from tools.onnx_files import write_lstm

CALIBRATED = ("quantize", "m.onnx", "-o", "q.onnx", "--calibration", "streams")


def frames(count: int, features: int = 6) -> Floats:
    """Return a smooth random signal."""
    walk = np.cumsum(np.random.default_rng(count).normal(0, 0.2, (count, features)), 0)
    return np.sin(walk).astype(np.float32)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a float file and a folder of streams; the terminal has 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_lstm(tmp_path / "m.onnx")
    Path("streams").mkdir()
    for name, count in (("b", 200), ("a", 100)):
        np.save(f"streams/{name}.npy", frames(count))
    np.savez("streams/c.npz", second=frames(60), first=frames(70))
    return tmp_path


# ---- without calibration ----


def test_it_prints_the_coverage(tide: Command, folder: Path) -> None:
    outcome = tide("quantize", "m.onnx", "-o", "q.onnx")

    assert (outcome.status, outcome.err) == (0, "")
    assert re.search(r"w0 +20 x 3 +W8A16 +140 +0\.\d+%", outcome.out)
    assert (folder / "q.onnx").read_bytes() == (folder / "m.int8.onnx").read_bytes()


def test_precisions_go_by_pattern_and_the_last_match_wins(tide: Command, folder: Path) -> None:
    wanted = ["--precision", "r*=W16A16", "--precision", "W4A8", "--precision", "r1=float32"]
    fields = json.loads(tide("quantize", "m.onnx", "-o", "q.onnx", *wanted, "--json").out)

    seen = {row["name"]: (row["bits"], row["group"], row["activation_bits"]) for row in fields["weights"]}
    assert seen == {"w0": (4, 0, 8), "r0": (16, 0, 16), "w1": (4, 0, 8), "r1": (32, 0, 0)}
    assert fields["bytes"] == (folder / "q.onnx").stat().st_size


def test_a_recurrent_weight_that_stayed_float_gives_status_1(tide: Command, folder: Path) -> None:
    """The weight is not a constant. The file is written, and the table gives the reason."""
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


@pytest.mark.usefixtures("recorded")
def test_a_required_weight_that_stayed_float_gives_status_1(tide: Command) -> None:
    float_head = ("quantize", "m.onnx", "-o", "q.onnx", "--precision", "V=float32")

    assert tide(*float_head).status == 0
    assert tide(*float_head, "--require", "[WR]").status == 0
    refused = tide(*float_head, "--require", "[WRV]")
    assert (refused.status, refused.err) == (1, "tidegate: error: weights stayed float: V\n")


@pytest.mark.usefixtures("recorded")
def test_answers_that_err_too_much_are_a_warning_in_words(tide: Command) -> None:
    """The exit status stays 0: the file is what was asked for."""
    write_lstm(Path("m.onnx"), hidden=32)
    four_bits = ("quantize", "m.onnx", "-o", "q.onnx", "--precision", "W4A16")

    outcome = tide(*four_bits)

    said = " ".join(outcome.out.split())
    assert (outcome.status, outcome.err) == (0, "")
    assert re.search(r"Error of the output on 8000 frames of tidegate's own making: [0-9.]+% on noise of 1,", said)
    found = re.search(r"warning: the answers err by \d+% .* above 10%; choose precision ([^:]+): then they err", said)
    assert found is not None
    report = json.loads(tide(*four_bits, "--json").out)
    assert report["answers"]["error"] == max(report["answers"]["levels"].values()) > 0.1
    assert said.endswith(report["warnings"][0])
    advice = [option for pattern in found[1].split(", ") for option in ("--precision", pattern)]
    assert "warning" not in tide(*four_bits, *advice).out


@pytest.mark.usefixtures("recorded")
def test_answers_within_the_bound_are_no_warning(tide: Command) -> None:
    outcome = tide("quantize", "m.onnx", "-o", "q.onnx")
    assert "tidegate's own making" in " ".join(outcome.out.split())
    assert "warning" not in outcome.out


@pytest.mark.usefixtures("recorded")
def test_warnings_are_on_the_page(tide: Command) -> None:
    pytest.importorskip("matplotlib")
    write_lstm(Path("m.onnx"), hidden=32)
    tide("quantize", "m.onnx", "-o", "q.onnx", "--precision", "W4A16", "--html", "r.html")
    text = Path("r.html").read_text()
    assert "warning: the answers err by" in text
    assert "making: " in text


# ---- with calibration ----


@pytest.mark.usefixtures("recorded")
def test_a_net_that_is_wholly_integer_is_named(tide: Command) -> None:
    options = ("--arithmetic", "integer", "--method", "nearest")

    outcome = tide(*CALIBRATED, *options)

    assert (outcome.status, outcome.err) == (0, "")
    assert "The whole net is integer" in outcome.out


@pytest.mark.usefixtures("recorded")
def test_the_report_is_json_and_a_page(tide: Command) -> None:
    pytest.importorskip("matplotlib")
    options = ("--method", "nearest", "--json", "--precision", "W8A8", "--ranges", "mse")

    outcome = tide(*CALIBRATED, *options, "--html", "r.html")

    assert (outcome.status, outcome.err) == (0, "")
    found = json.loads(outcome.out)["calibration"]
    assert [span["last"] for span in found["drift"]["decades"]] == [10, 100, 1000, 10_000, 100_000]
    assert found["drift"]["repeated"] > 0
    assert list(found["readings"])[:2] == ["minmax", "percentile"]
    text = Path("r.html").read_text()
    assert "Error of the output by position" in text
    assert "The same with other ranges of activations" in text
    assert_refused(tide(*CALIBRATED, *options, "--html", "absent/r.html"), "there is no such folder")


@pytest.mark.usefixtures("recorded")
def test_one_file_of_any_form_calibrates(tide: Command) -> None:
    np.save("x.npy", frames(200))
    np.savetxt("x.csv", frames(200), delimiter=",", header="a,b,c,d,e,f", comments="")
    reports = [
        tide("quantize", "m.onnx", "-o", "q.onnx", "--calibration", name, "--method", "nearest", "--json")
        for name in ("x.npy", "x.csv")
    ]
    errors = [json.loads(report.out)["calibration"]["error"] for report in reports]
    assert errors[0] == errors[1] > 0


@pytest.mark.usefixtures("recorded")
def test_calibration_is_shown_at_80_columns(tide: Command) -> None:
    outcome = tide(*CALIBRATED)

    assert (outcome.status, outcome.err) == (0, "")
    assert max(map(len, outcome.out.splitlines())) <= 80
    for text in ("Calibrated on 344 frames of 4 streams", "frames held out", "tried: nearest:", "saturated", "Gates:"):
        assert text in outcome.out
    assert "100.0% of the weights quantized" in " ".join(outcome.out.split())


@pytest.mark.usefixtures("recorded")
def test_json_has_all_of_the_report(tide: Command) -> None:
    outcome = tide(*CALIBRATED, "--method", "guided", "--extra", "0.5", "--json")

    report = json.loads(outcome.out)
    assert (outcome.status, report["coverage"]) == (0, 1)
    assert report["calibration"]["method"] in ("guided", "guided by channel")
    assert {gate["gate"] for gate in report["weights"][0]["gates"]} == set("iofc")
    assert all(option["error"] >= 0 for weight in report["weights"] for option in weight["options"])


@pytest.mark.usefixtures("recorded")
def test_a_limit_of_bytes_or_error_chooses_precisions(tide: Command) -> None:
    outcome = tide(*CALIBRATED, "--max-error", "0.05")

    assert outcome.status == 0
    assert "in place of W8A16" in outcome.out
    impossible = tide("quantize", "m.onnx", "-o", "r.onnx", "--calibration", "streams", "--max-bytes", "900")
    assert_refused(impossible, "give at most 900 bytes: the smallest file has about")
    assert not Path("r.onnx").exists()


# ---- refusals ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Missing option"),
        (["--precision", "W3A8"], "precision is 'W3A8', wanted W4, W8 or W16"),
        (["--precision", "x=W4A8"], "no weight matches 'x'; there are w0, r0"),
        (["--require", "lstm*"], "no weight matches 'lstm*'; there are w0, r0"),
        (["--require", "w0", "--require", ""], "no weight matches ''; there are w0, r0"),
        (["--arithmetic", "integer"], "integer arithmetic needs calibration"),
        (["--extra", "0.1"], "--extra has no effect without --calibration"),
        (["--max-bytes", "900"], "max_bytes and max_error need calibration"),
        (["--ranges", "mse", "--arithmetic", "integer", "--calibration", "x.npy"], "leave ranges out"),
    ],
)
def test_row_52_wrong_usage_has_status_2_and_leaves_no_file(
    options: list[str], message: str, tide: Command, folder: Path
) -> None:
    before = sorted(folder.iterdir())

    assert_wrong_usage(tide("quantize", "m.onnx", *(["-o", "q.onnx"] if options else []), *options), message)

    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["garbage.onnx", "-o", "out.onnx"], "garbage.onnx: not an ONNX file"),
        (["empty.onnx", "-o", "out.onnx"], "empty.onnx: not an ONNX file"),
        (["relu.onnx", "-o", "out.onnx"], "no recurrent node"),
        (["m.int8.onnx", "-o", "out.onnx"], "already quantized"),
        (["nothing.onnx", "-o", "out.onnx"], "nothing.onnx: no such file"),
        (["m.onnx", "-o", "no/such/out.onnx"], "no/such: there is no such folder"),
        (["m.onnx", "-o", "."], r"\.: is a folder"),
        (["m.onnx", "-o", "socket.onnx"], "socket.onnx: is a block device or a socket"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments: list[str], message: str, tide: Command, bad: Path) -> None:
    before = sorted(bad.iterdir())

    assert_refused(tide("quantize", *arguments), message)

    assert sorted(bad.iterdir()) == before


def test_an_older_file_survives_a_failure(tide: Command, bad: Path) -> None:
    Path("out.onnx").write_text("kept")

    tide("quantize", "relu.onnx", "-o", "out.onnx")

    assert (bad / "out.onnx").read_text() == "kept"
