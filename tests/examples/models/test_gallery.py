"""The command of the gallery, on a small model of the test's own making."""

import hashlib
import re
from pathlib import Path

import gallery
import onnx
import pytest
from tools.foreign_files import one_frame
from tools.gallery_table import ENTRY, FILE, HASH

OPTIONS = """
[model.options]
file = "net.onnx"
states = { h_prev = "h_next", c_prev = "c_next" }
signal = { kind = "features", frames = 50, width = 5, scale = 1.0 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gallery with one model, whose file is there."""
    (tmp_path / "files").mkdir()
    onnx.save(one_frame(), tmp_path / "files" / "net.onnx")
    digest = hashlib.sha256((tmp_path / "files" / "net.onnx").read_bytes()).hexdigest()
    text = ENTRY.replace("lift files/net.onnx", "lift files/net.onnx --hop 160 --sample-rate 16000")
    text += "sample_rate = 16000\nhop = 160\n" + OPTIONS + FILE.replace(HASH, digest)
    (tmp_path / "models.toml").write_text(text)
    return tmp_path


@pytest.mark.slow
def test_a_model_is_measured_and_its_pages_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main([], folder, folder / "models.md") == 0

    out = capsys.readouterr().out
    assert "[1/1] Net\nnet: tidegate lift files/net.onnx " in out
    assert "net: tidegate bench files/net.int8.onnx " in out
    page = (folder / "net.md").read_text()
    exact, rounded = (float(found) for found in re.findall(r"largest error .* \| ([\d.e-]+) \|", page))
    assert 0 < exact < 1e-5 < rounded < 0.05
    assert "| bytes of a stream's states | 48 |" in page
    assert "Streaming on the engine, 1 models" in (folder / "models.md").read_text()


def test_a_model_that_does_not_stream_is_in_the_overview_with_the_reason(folder: Path) -> None:
    path = folder / "models.toml"
    path.write_text(path.read_text().replace("lift files", "lift --context -1 files"))
    assert gallery.main([], folder, folder / "models.md") == 0
    assert "## Not yet" in (folder / "models.md").read_text()
    assert "It does not stream yet: " in (folder / "net.md").read_text()


def test_without_a_file_no_page_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "files" / "net.onnx").unlink()
    assert gallery.main([], folder, folder / "models.md") == 1
    assert "gallery: error: net: no files/net.onnx; fetch it: curl -L " in capsys.readouterr().err
    assert not list(folder.glob("*.md"))


def test_named_models_leave_the_overview_alone(folder: Path) -> None:
    path = folder / "models.toml"
    path.write_text(path.read_text().replace("lift files", "lift --context -1 files"))
    assert gallery.main(["net"], folder, folder / "models.md") == 0
    assert (folder / "net.md").exists()
    assert not (folder / "models.md").exists()


def test_an_unknown_name_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main(["nett"], folder, folder / "models.md") == 1
    assert "there is no model 'nett', wanted net" in capsys.readouterr().err
