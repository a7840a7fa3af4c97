"""The live page: its hash is Python's, and the curve moves when a sound plays."""

import runpy
from pathlib import Path

import pytest
from kernels.building import ROOT
from tools.browsers import browse, served
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
