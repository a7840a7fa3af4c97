"""`tidegate quantize` with streams from a folder, and what it requires."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tidegate import cli
from tidegate.commands._stream_files import read_streams
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ChunkError
from tools.onnx_files import write_lstm

Capture = pytest.CaptureFixture[str]


def run(capfd: Capture, *arguments: object) -> tuple[int, str, str]:
    """Run the command in this process; return status, output and errors."""
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(caught.value.code or 0), out, err


def frames(count: int, features: int = 6) -> Floats:
    walk = np.cumsum(np.random.default_rng(count).normal(0, 0.2, (count, features)), 0)
    return np.sin(walk).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A float file and a folder of streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_lstm(tmp_path / "m.onnx")
    Path("streams").mkdir()
    for name, count in (("b", 200), ("a", 100)):
        np.save(f"streams/{name}.npy", frames(count))
    np.savez("streams/c.npz", second=frames(60), first=frames(70))
    Path("streams/notes.txt").write_text("nothing to read")
    return tmp_path


def test_files_are_streams_in_the_order_of_their_names(folder: Path) -> None:
    streams = list(read_streams(folder / "streams", None))
    assert [len(stream) for stream in streams] == [100, 200, 70, 60]
    np.testing.assert_array_equal(streams[3], frames(60))


@pytest.mark.usefixtures("folder")
def test_integer_arithmetic_is_told(capfd: Capture) -> None:
    arguments = ("quantize", "m.onnx", "-o", "q.onnx", "--arithmetic", "integer", "--method", "nearest")
    status, out, err = run(capfd, *arguments, "--calibration", "streams")
    assert (status, err) == (0, "")
    assert "The whole net is integer" in out
    status, _, err = run(capfd, *arguments)
    assert status == 1
    assert "integer arithmetic needs calibration" in err


@pytest.mark.usefixtures("folder")
def test_the_report_is_a_page_too(capfd: Capture) -> None:
    arguments = ("quantize", "m.onnx", "-o", "q.onnx", "--calibration", "streams", "--method", "nearest", "--json")
    status, out, err = run(capfd, *arguments, "--html", "r.html", "--precision", "W8A8", "--ranges", "mse")
    assert (status, err) == (0, "")
    found = json.loads(out)["calibration"]
    assert [span["last"] for span in found["drift"]["decades"]] == [10, 100, 1000, 10_000, 100_000]
    assert found["drift"]["repeated"] > 0
    assert list(found["readings"])[:2] == ["minmax", "percentile"]
    text = Path("r.html").read_text()
    assert "Error of the output by position" in text
    assert "The same with other ranges of activations" in text
    status, _, err = run(capfd, *arguments, "--html", "absent/r.html")
    assert status == 1
    assert "there is no such folder" in err


@pytest.mark.usefixtures("folder")
def test_calibration_is_shown_at_80_columns(capfd: Capture) -> None:
    status, out, err = run(capfd, "quantize", "m.onnx", "-o", "q.onnx", "--calibration", "streams")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for text in ("Calibrated on 344 frames of 4 streams", "frames held out", "tried: nearest:", "saturated", "Gates:"):
        assert text in out
    assert "100.0% of the weights quantized" in " ".join(out.split())


@pytest.mark.usefixtures("folder")
def test_json_has_all_of_the_report(capfd: Capture) -> None:
    options = ["--method", "guided", "--extra", "0.5", "--json"]
    status, out, _ = run(capfd, "quantize", "m.onnx", "-o", "q.onnx", "--calibration", "streams", *options)
    report = json.loads(out)
    assert (status, report["coverage"]) == (0, 1)
    assert report["calibration"]["method"] in ("guided", "guided by channel")
    assert {gate["gate"] for gate in report["weights"][0]["gates"]} == set("iofc")
    assert all(option["error"] >= 0 for weight in report["weights"] for option in weight["options"])


@pytest.mark.usefixtures("folder")
def test_budgets(capfd: Capture) -> None:
    status, out, _ = run(capfd, "quantize", "m.onnx", "-o", "q.onnx", "--calibration", "streams", "--max-error", "0.05")
    assert status == 0
    assert "in place of W8A16" in out
    status, _, err = run(capfd, "quantize", "m.onnx", "-o", "r.onnx", "--calibration", "streams", "--max-bytes", "900")
    assert status == 1
    assert "give at most 900 bytes: the smallest file has about" in err
    assert not Path("r.onnx").exists()


@pytest.mark.usefixtures("folder")
def test_what_is_required_must_not_stay_float(capfd: Capture) -> None:
    float_head = ["--precision", "V=float32"]
    assert run(capfd, "quantize", "m.onnx", "-o", "q.onnx", *float_head)[0] == 0
    assert run(capfd, "quantize", "m.onnx", "-o", "q.onnx", *float_head, "--require", "[WR]")[0] == 0
    status, _, err = run(capfd, "quantize", "m.onnx", "-o", "q.onnx", *float_head, "--require", "[WRV]")
    assert (status, err) == (1, "tidegate: error: weights stayed float: V\n")
    status, _, err = run(capfd, "quantize", "m.onnx", "-o", "q.onnx", "--require", "lstm*")
    assert status == 1
    assert "no weight matches 'lstm*'; there are W, R, V" in err


def test_recordings_are_streams_of_samples(tmp_path: Path) -> None:
    samples = np.linspace(-0.5, 0.5, 64).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.flac", np.stack([samples, samples], 1), 16000)
    first, second = read_streams(tmp_path, 16000.0)
    np.testing.assert_array_equal(first, samples[:, None])
    assert second.shape == (64, 2)
    with pytest.raises(ChunkError, match=r"a\.wav: has 16000 samples per second, the model takes 44100; resample it"):
        list(read_streams(tmp_path, 44100.0))


def hostile(shape: tuple[int, ...]) -> bytes:
    """Return an array of eight bytes that says it is larger."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(8)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", b"no array", "a.npy: not a .npy file of numbers"),
        ("a.npy", hostile((2**40, 6)), "a.npy: not a .npy file of numbers"),
        ("a.npz", b"no archive", "a.npz: not a .npz file of numbers"),
        ("a.wav", b"no sound", "a.wav: not a recording that can be read"),
        ("a.txt", b"text", r"has no streams, wanted files that end in .npy, .npz, .wav, .flac"),
    ],
)
def test_files_that_are_no_streams_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ChunkError, match=message):
        list(read_streams(tmp_path, None))


def test_an_archive_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", hostile((2**40, 6)))
    with pytest.raises(ChunkError, match=r"a\.npz: x\.npy states \d+ bytes, the archive holds \d+"):
        list(read_streams(tmp_path, None))


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ChunkError, match=r"a\.npz: not a \.npz file of numbers"):
        list(read_streams(tmp_path, None))
