"""What is measured of a model, and why a model is not measured."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import measuring
import numpy as np
import pytest
import tidegate as tg
from measuring import FilesError, NotMeasuredError, check, error_of, fetch, pushed, run, state_bytes, streams_of, times
from signals import Stream
from table import File, Model
from tools.onnx_files import write_frames_lstm, write_lstm

DATA = b"weights"
LINK = f"https://github.com/owner/net/raw/{'a' * 40}/net.onnx"
FILE = File("net.onnx", LINK, hashlib.sha256(DATA).hexdigest(), ("touch files/fetched",))
MODEL = Model("net", "Net", "task", "", "", "owner", "MIT", LINK, "lift files/net.onnx", "json:loads", "", (FILE,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path


def test_a_missing_file_is_named_with_its_command(folder: Path) -> None:
    with pytest.raises(FilesError, match=r"no files/net\.onnx; fetch it: touch files/fetched"):
        check(MODEL, folder)


def test_a_file_with_another_hash_is_refused(folder: Path) -> None:
    (folder / "files" / "net.onnx").write_bytes(DATA)
    check(MODEL, folder)
    (folder / "files" / "net.onnx").write_bytes(DATA + b"!")
    with pytest.raises(FilesError, match=r"files/net\.onnx has SHA-256 \w{64}, wanted \w{64}: fetch it again"):
        check(MODEL, folder)


def test_a_file_that_is_made_is_needed_too(folder: Path) -> None:
    (folder / "files" / "net.onnx").write_bytes(DATA)
    model = replace(MODEL, made="more.npy", making="python more.py")
    with pytest.raises(FilesError, match=r"no files/more\.npy; fetch it: .* && python more\.py"):
        check(model, folder)


def test_only_missing_files_are_fetched(folder: Path) -> None:
    (folder / "files" / "net.onnx").write_bytes(DATA)
    fetch(MODEL, folder)
    assert not (folder / "files" / "fetched").exists()
    (folder / "files" / "net.onnx").unlink()
    fetch(MODEL, folder)
    assert (folder / "files" / "fetched").exists()
    failing = replace(FILE, fetch=("python -c 'raise ValueError(1)'",))
    with pytest.raises(FilesError, match=r"^python -c .*: ValueError: 1$"):
        fetch(replace(MODEL, file=(failing,)), folder)


def test_a_command_runs_in_the_folder_with_the_programs_of_this_environment(folder: Path) -> None:
    run("""python -c 'import sys; open("seen", "w").write(sys.prefix)'""", folder)
    assert (folder / "seen").read_text() == sys.prefix


def test_a_refusal_is_told_in_its_own_words(folder: Path) -> None:
    with pytest.raises(NotMeasuredError, match=r"^files/none\.onnx: "):
        run("tidegate lift files/none.onnx -o files/out.onnx", folder)
    with pytest.raises(NotMeasuredError, match=r"^ValueError: odd$"):
        run("python -c 'raise ValueError(\"odd\")'", folder)
    with pytest.raises(NotMeasuredError, match=r"^exit status 3$"):
        run("python -c 'raise SystemExit(3)'", folder)


def test_a_command_that_does_not_end_is_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LONGEST", 0.01)
    with pytest.raises(NotMeasuredError, match=r"no end within 0\.01 seconds: python -c "):
        run("python -c 'while True: pass'", folder)


def test_a_reference_is_computed_in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "files" / "made").write_text("here")
    text = """
from pathlib import Path

from signals import Stream


def signal(end):
    return [Stream(Path("files/made").read_text() + end, None)]
"""
    (folder / "reader_of_a_test.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    before = Path.cwd()
    (stream,) = streams_of(replace(MODEL, reference="reader_of_a_test:signal", options={"end": "!"}), folder)
    assert str(stream.frames) == "here!"
    assert Path.cwd() == before


def frames_and_answers(folder: Path) -> tuple[tg.Model, Stream]:
    """Return a model that answers each frame, and a stream with its own answers."""
    model = tg.load(write_frames_lstm(folder / "m.onnx", 4))
    frames = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    return model, Stream(frames, np.asarray(model.stream().push(frames)))


def test_errors_are_relative_to_the_largest_answer_of_all_streams(tmp_path: Path) -> None:
    model, stream = frames_and_answers(tmp_path)
    assert error_of(model, [stream]) == 0
    quarter = replace(stream, answers=stream.answers + 0.25)
    double = replace(stream, answers=stream.answers * 2)
    largest = 2 * float(np.abs(stream.answers).max())
    assert error_of(model, [stream, quarter, double]) == pytest.approx(max(0.25, largest / 2) / largest)
    assert error_of(model, [double]) == pytest.approx(0.5)


def test_a_stream_starts_from_given_states(tmp_path: Path) -> None:
    model, stream = frames_and_answers(tmp_path)
    name = model.contract.states[0].input
    started = replace(stream, start={name: np.full((1, 1, 4), 0.5, np.float32)})
    assert error_of(model, [started]) > 0.01


def test_the_last_answer_may_be_the_only_one(tmp_path: Path) -> None:
    model, stream = frames_and_answers(tmp_path)
    whole = pushed(model, stream)
    assert whole.shape == (9, 4)
    one = tg.load(write_lstm(tmp_path / "one.onnx"))
    frames = np.ones((5, 6), np.float32)
    assert pushed(one, Stream(frames, np.zeros(3), last=True)).size == 3


def test_answers_of_another_size_are_no_answers(tmp_path: Path) -> None:
    model, stream = frames_and_answers(tmp_path)
    with pytest.raises(NotMeasuredError, match="36 values for a stream, the original has 32"):
        error_of(model, [replace(stream, answers=stream.answers[1:])])


def test_the_bytes_of_a_state_are_those_of_one_stream() -> None:
    assert state_bytes((2, "batch", 128)) == state_bytes((2, 1, 128)) == 1024


def test_times_are_per_frame(folder: Path) -> None:
    environment = {"processor": "P", "isa": ["avx2"], "core": 1, "date": "2026-11-29 12:30 UTC"}
    row = {"p50_us": 64.0, "p99_us": 128.0, "reasons": {}}
    path = folder / MODEL.timed
    path.write_text(json.dumps({"environment": environment, "rows": [row]}))
    assert times(replace(MODEL, chunk=64), folder) == (1, 2, "P, avx2, pinned to core 1, 2026-11-29")
    path.write_text(json.dumps({"rows": [{"p50_us": None, "reasons": {"row": "ChunkError: no"}}]}))
    with pytest.raises(NotMeasuredError, match="no time: ChunkError: no"):
        times(MODEL, folder)
