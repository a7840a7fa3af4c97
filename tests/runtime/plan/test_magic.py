"""A plan is recognized by its first bytes."""

from pathlib import Path

import pytest
from tidegate.runtime.load import compile_graph, compile_model
from tidegate.runtime.plan.magic import MAGIC, has_shapes, is_plan, text_of
from tidegate.runtime.plan.text import read_text
from tools.drafts import HIDDEN, Draft
from tools.onnx_files import write_lstm


@pytest.mark.parametrize(("data", "plan"), [(MAGIC, True), (MAGIC + b"x", True), (MAGIC[:-1], False), (b"", False)])
def test_first_bytes_decide(tmp_path: Path, data: bytes, *, plan: bool) -> None:
    (tmp_path / "m.tide").write_bytes(data)
    assert is_plan(tmp_path / "m.tide") == plan


def test_a_missing_file_and_a_folder_are_no_plans(tmp_path: Path) -> None:
    assert not is_plan(tmp_path / "none.tide")
    assert not is_plan(tmp_path)


def test_the_text_of_a_plan_is_found(tmp_path: Path) -> None:
    compile_model(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.tide")
    assert read_text(text_of((tmp_path / "m.tide").read_bytes())).outputs == ("output",)


def test_only_a_plan_with_shapes_has_their_flag() -> None:
    """So the plans of before are written as before, and a tidegate of before refuses such a plan by its flags."""
    flat, shaped = Draft(), Draft()
    flat.answer(flat.layer("x"))
    shaped.answer(shaped.lstm("x"), 0, 2)
    plans = [compile_graph(draft.graph()) for draft in (flat, shaped)]
    assert [has_shapes(plan) for plan in plans] == [False, True]
    assert [read_text(text_of(plan)).shapes for plan in plans] == [(), ((1, HIDDEN),)]
