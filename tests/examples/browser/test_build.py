"""The live page: its hash is Python's, and the curve moves when a sound plays."""

import runpy
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from kernels.building import ROOT, VECTORS
from numpy.typing import NDArray
from tidegate import load
from tools.browsers import audit, browse, served
from tools.npm_package import write_package

pytestmark = pytest.mark.slow  # trains a net, and starts browsers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    runpy.run_path(str(ROOT / "examples/browser/build.py"))["build"](folder, write_package)
    return folder


@pytest.mark.parametrize(
    ("browser", "button"),
    [("chromium", "#play"), ("chromium", "#watch"), ("chromium", "#microphone"), ("firefox", ""), ("webkit", "")],
)
def test_the_page_has_the_hash_of_python_and_answers_to_a_sound(site: Path, browser: str, button: str) -> None:
    """The browsers give a microphone of their own, with beeps; the button is pressed by the keyboard.

    Firefox renders offline, but plays nothing on a machine without a sound card.
    """
    with served({"/": site}, policy="") as address:  # the page has its own policy
        seen = browse(
            browser, f"{address}/index.html", click=button, shown="#exercise" if button == "#watch" else "#now,#missed"
        )
    result = seen["result"]
    assert "failed" not in result, result["failed"]
    assert result["hash"] == result["python"]
    assert result["watch"]["hash"] == result["watch"]["python"]
    assert result["backend"] == "wasm (wasm_simd128)"
    if button == "#watch":
        assert seen["shown"]["#exercise"].endswith(" %")
    elif button:
        assert -1 < float(seen["shown"]["#now"]) < 2
        assert ", " not in seen["shown"]["#missed"]  # none was refused


def test_a_plan_that_is_dropped_runs_and_a_file_that_is_none_is_one_line(site: Path, tmp_path: Path) -> None:
    plan, damaged, text = VECTORS / "lstm_16_bits.tide", tmp_path / "damaged.tide", tmp_path / "photo.png"
    damaged.write_bytes(plan.read_bytes()[:-1] + b"?")
    text.write_bytes(b"\x89PNG" + bytes(300))
    with served({"/": site}, policy="") as address:
        seen = browse("chromium", f"{address}/index.html", files=(plan, damaged, text))
    own = hash_of_first_values(plan, np.fromfile(site / "recording.wav", "<i2", offset=44))
    (said, found), *others = seen["dropped"]
    assert (said, found) == ("lstm_16_bits.tide is ready.", own)
    assert others[0][0].startswith("damaged.tide: PlanError: plan: hash is ")
    assert others[1][0].startswith("photo.png: PlanError: this is no plan; `tidegate compile model.onnx -o model.tide`")
    assert [found for _, found in others] == [own] * 2  # what ran before goes on


def hash_of_first_values(plan: Path, samples: NDArray[np.int16]) -> str:
    """Return what the page says of a plan of one's own."""
    model = load(plan)
    width = model.frame_shape[-1]
    frames = (samples[: len(samples) // width * width].astype("<f4") / 32768).reshape(-1, width)
    answers = np.asarray(model.stream().push(frames))  # has answers for each frame, so they may be pushed at once
    return blake2b(np.ascontiguousarray(answers[:, 0]).tobytes(), digest_size=32).hexdigest()


def test_the_page_is_wide_enough_and_accessible_on_phones_and_in_the_dark(site: Path) -> None:
    with served({"/": site}, policy="") as address:
        found = audit(f"{address}/index.html")
    assert [one["violations"] for one in found] == [[]] * 6
    assert all(one["over"] <= 0 for one in found)
