"""`tidegate inspect`: contract, layers, backend and picture of a file."""

import json
import re
from pathlib import Path

import onnx
import pytest
from onnx import helper
from tools.commands import Command, assert_refused, assert_wrong_usage


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'FILE'"),
        (["m.onnx", "--svg", "m.pdf"], "m.pdf: wanted a name that ends in .svg or .png"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], message: str, tide: Command) -> None:
    outcome = tide("inspect", *arguments)

    assert_wrong_usage(outcome, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["garbage.onnx"], "not an ONNX file"),
        (["relu.onnx"], "no recurrent node"),
        (["."], "not a regular file"),
        (["short.tide"], "plan: "),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments: list[str], message: str, tide: Command, bad: Path) -> None:
    before = sorted(bad.iterdir())

    assert_refused(tide("inspect", *arguments), message)

    assert sorted(bad.iterdir()) == before


@pytest.mark.parametrize("name", ["m.int8.onnx", "m.tide"])
def test_it_shows_contract_layers_and_backend(name: str, tide: Command, folder: Path) -> None:
    outcome = tide("inspect", folder / name)

    assert (outcome.status, outcome.err) == (0, "")
    assert "lstm0.h_in <- lstm0.h_out" in outcome.out
    assert re.search(r"LSTM +3 -> 5 +W8A16, W8A16", outcome.out)
    assert "Runs on: native (" in outcome.out


def test_it_says_why_the_engine_does_not_run_a_file(tide: Command, folder: Path) -> None:
    model = onnx.load("m.int8.onnx")
    next(node for node in model.graph.node if node.op_type == "LSTM").attribute.append(
        helper.make_attribute("clip", 1e30)
    )
    onnx.save(model, folder / "odd.onnx")
    outcome = tide("inspect", folder / "odd.onnx")

    assert outcome.status == 0
    assert "Not on the engine: LSTM 'lstm0'" in " ".join(outcome.out.split())
    assert re.search(r"LSTM +3 -> 5 +W8, W8", outcome.out)
    assert json.loads(tide("inspect", folder / "odd.onnx", "--json").out)["backend"] == "onnxruntime"


def test_it_draws_a_picture_beside_the_tables(tide: Command, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    outcome = tide("inspect", "m.int8.onnx", "--svg", "m.svg")

    assert (outcome.status, outcome.err) == (0, "")
    assert "Runs on: native (" in outcome.out
    assert (folder / "m.svg").read_text().count("to the next push") == 2
