"""The parts of the engine that a plan needs."""

from pathlib import Path

import pytest
from tidegate.runtime.device.parts import definitions, engine_files, operations_of, sizes_of
from tidegate.runtime.device.targets import TARGETS
from tidegate.runtime.load import plan_of
from tidegate.runtime.operators import OPERATORS
from tools.onnx_files import write_lstm


@pytest.fixture
def plan(tmp_path: Path) -> bytes:
    return plan_of(write_lstm(tmp_path / "m.onnx", 2, 3))


def test_files_of_the_source_that_a_program_does_not_need_stay_away(plan: bytes) -> None:
    whole, less = (dict(engine_files([plan], ["scalar"], without)) for without in ((), {"group.c"}))
    assert set(whole) - set(less) == {"src/group.c"}
    assert "src/fixed.c" not in whole  # no integers


def test_the_engine_is_fitted_to_the_operations_of_a_plan(plan: bytes) -> None:
    assert "lstm" in operations_of([plan]).names
    flags = definitions([plan], ["scalar"])
    assert "-DTIDE_WITHOUT_gru" in flags
    assert "-DTIDE_WITHOUT_lstm" not in flags


def test_initial_states_are_left_out_unless_a_plan_has_some(plan: bytes) -> None:
    flag, starts = "-DTIDE_WITHOUT_starts", (Path(__file__).parents[2] / "vectors" / "starts.tide").read_bytes()
    assert flag in definitions([plan], ["scalar"])
    assert flag not in definitions([starts], ["scalar"])


def test_the_code_that_packs_weights_is_left_out_if_every_variant_reads_them_in_place(plan: bytes) -> None:
    flag = "-DTIDE_WITHOUT_packing"
    assert flag in definitions([plan], ["arm_dsp", "scalar"])
    assert flag not in definitions([plan], ["avx2", "scalar"])


def test_lists_of_operators_end_with_the_last_of_a_plan(plan: bytes) -> None:
    text = dict(engine_files([plan], ["scalar"]))["src/operators.inc"]
    listed = [operator.__name__.lower() for operator in OPERATORS]
    last = max(map(listed.index, operations_of([plan]).names))
    entries = [line for line in text.splitlines() if line.startswith("TIDE_")]
    assert len(entries) == last + 1  # a kind is a place in the list, from 1
    assert entries[last].startswith("TIDE_OPERATOR(")
    assert {entry for entry in entries if entry.startswith("TIDE_OPERATOR(")} == {
        f"TIDE_OPERATOR({name})" for name in operations_of([plan]).names
    }


def test_sizes_hold_for_every_variant_of_a_target(plan: bytes) -> None:
    assert sizes_of([plan], TARGETS["x86_64"])[0].model >= sizes_of([plan], TARGETS["generic"])[0].model
