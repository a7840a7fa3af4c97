"""The pages of the gallery: the committed ones are of the table, and hold no file of others."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from measuring import Figures
from pages import head, overview, page
from table import Model, read

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "models"
MODELS = read()
FIGURES = Figures(1.5e-6, 0.012, 1200, 8.96, 11.2, 0.00028, 673024, 1280, "a processor")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_page_of_a_model_is_of_the_table(model: Model) -> None:
    written = (FOLDER / f"{model.name}.md").read_text()
    assert written.startswith(head(model)), "run `make models`"
    for text in (*model.commands, *model.fetching, model.licence_link, model.owner):
        assert text in written
    assert all(f"]({file.link}) | `{file.sha256}`" in written for file in model.file)


def test_each_page_is_of_a_model_and_in_the_overview() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"README"}
    text = (ROOT / "docs" / "models.md").read_text()
    assert pages == {model.name for model in MODELS}
    assert all(f"(../examples/models/{name}.md)" in text for name in pages)


def test_no_file_of_others_is_in_the_folder() -> None:
    listed = subprocess.run(["git", "ls-files", FOLDER], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    assert {Path(name).suffix for name in listed.stdout.splitlines()} <= {".py", ".md", ".toml"}


def test_a_page_has_the_figures() -> None:
    text = page(MODELS[0], FIGURES)
    for cell in ("| 1.5e-06 |", "| 1.2e-02 |", "| 8.96 |", "| 11.2 |", "| 0.028 % |", "| 673,024 |", "| 1,280 |"):
        assert cell in text
    assert "over 1,200 frames" in text
    assert "one frame per push, the next push at once: a processor." in " ".join(text.split())


def test_samples_are_timed_in_chunks_and_letters_have_no_real_time() -> None:
    assert "64 frames per push" in page(replace(MODELS[0], chunk=64), FIGURES)
    assert "| share of real time | - |" in page(MODELS[0], replace(FIGURES, share=None))


def test_a_file_of_codes_has_no_float_file() -> None:
    text = page(replace(MODELS[0], codes=True), replace(FIGURES, float_error=None))
    assert "| largest error of the float file | - |" in text
    assert "Then the two commands:" in text
    assert "quantize" not in text


def test_a_refusal_is_on_the_page_in_its_words() -> None:
    text = page(MODELS[0], "Scan 'a|b': wanted\none of <LSTM>")
    assert "It does not stream yet: Scan 'a/b': wanted one of (LSTM)" in text
    assert "| figure |" not in text


def test_the_overview_tells_what_streams_and_what_does_not() -> None:
    first, second, *_ = MODELS
    both = overview([first, second], {first.name: FIGURES, second.name: "no Scan"})
    done, _, rest = both.partition("## Not yet")
    assert f"| [{first.title}](../examples/models/{first.name}.md) | {first.licence} |" in done
    assert "Streaming on the engine, 1 models; a processor:" in done
    assert f"| [{second.title}](../examples/models/{second.name}.md) | no Scan |" in rest
    assert "## Not yet" not in overview([first], {first.name: FIGURES})
