"""The files of each release are read by this version: with the same bits, and streams go on from their snapshots."""

import json
from pathlib import Path

import numpy as np
import pytest
import tidegate
from golden.generate import CELLS, PRECISIONS, RELEASE, SAVED, SIGNED, frames_for, hash_of
from tidegate.runtime import _kernels
from tidegate.runtime.contract import Contract

HERE = Path(__file__).parent
RELEASES = sorted(path for path in HERE.iterdir() if (path / "answers.json").is_file())
PLANS = [plan for release in RELEASES for plan in sorted(release.glob("*.tide"))]
FILES = [file for release in RELEASES for file in sorted(release.glob("*.onnx"))]


def named(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def test_every_cell_and_precision_is_there() -> None:
    wanted = {f"{cell}-{precision}" for cell in CELLS for precision in (*PRECISIONS, "integer")} | {"blocks"}
    assert "0.1.0" in {release.name for release in RELEASES}
    for release in RELEASES:
        assert {plan.stem for plan in release.glob("*.tide")} == wanted
        assert set(json.loads((release / "answers.json").read_text())) == wanted


@pytest.mark.parametrize("plan", PLANS, ids=named)
def test_a_plan_gives_its_bits_and_goes_on_from_its_snapshot(plan: Path) -> None:
    """On the best variant and in plain C."""
    stored = json.loads((plan.parent / "answers.json").read_text())[plan.stem]
    for variant in {_kernels.variants()[0], "scalar"}:
        model = tidegate.load(plan, isa=variant)
        frames = frames_for(model, np.load(plan.parent / "frames.npy"))
        stream = model.stream()
        seen = stream.push(frames[:SAVED]), stream.push(frames[SAVED:]), stream.finish()
        assert hash_of(*seen) == stored["all"]
        later = model.stream()
        later.restore(plan.with_suffix(".snapshot").read_bytes())
        assert later.frames == SAVED
        assert hash_of(later.push(frames[SAVED:]), later.finish()) == stored["after"]


@pytest.mark.parametrize("file", FILES, ids=named)
def test_an_onnx_file_streams_by_its_contract(file: Path) -> None:
    """On the engine with the bits of the release's plan."""
    frames = np.load(file.parent / "frames.npy")
    model = tidegate.load(file)
    assert isinstance(model.contract, Contract)
    stored = json.loads((file.parent / "answers.json").read_text())[file.stem]["all"]
    assert hash_of(model.stream().push(frames)) == stored


@pytest.mark.parametrize("file", FILES, ids=named)
def test_onnxruntime_goes_on_from_its_snapshot(file: Path) -> None:
    """Its own bits change with its version, by a few units in the last place."""
    frames, stored = np.load(file.parent / "frames.npy"), np.load(file.with_suffix(".npy"))
    stream = tidegate.load(file, backend="onnxruntime").stream()
    np.testing.assert_allclose(stream.push(frames), stored, rtol=0, atol=1e-5)
    stream.restore(file.with_suffix(".onnxruntime.snapshot").read_bytes())
    assert stream.frames == SAVED
    np.testing.assert_allclose(stream.push(frames[SAVED:]), stored[SAVED:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_signature_is_accepted(release: Path) -> None:
    pytest.importorskip("cryptography")
    plan = release / f"{SIGNED}.tide"
    assert tidegate.load(plan, require=release / "maker.pub", release=RELEASE).contract.inputs
    with pytest.raises(tidegate.SignatureError, match="release"):
        tidegate.load(plan, require=release / "maker.pub", release=RELEASE + 1)
