"""Output of commands: errors in one line, the tables of proofs and contracts, sizes with units."""

import json
from pathlib import Path

import pytest
from tidegate.commands._output import complain, contract_table, print_json, proof_table, save_json, size
from tidegate.export import Check
from tidegate.runtime.contract import Contract, Port, State


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (1000, "1.0 kB"), (63_123, "63.1 kB"), (1_234_567, "1.23 MB")]
)
def test_sizes_have_units(count: int, text: str) -> None:
    assert size(count) == text


def test_an_error_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    complain("two\nlines \x1b[31m and   blanks")

    assert capsys.readouterr() == ("", "tidegate: error: two lines ?[31m and blanks\n")


def test_json_is_printed_and_saved_alike(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fields = {"path": Path("a"), "bytes": 3}

    print_json(fields)
    save_json(tmp_path / "f.json", fields)

    assert capsys.readouterr().out == (tmp_path / "f.json").read_text()
    assert json.loads((tmp_path / "f.json").read_text()) == {"path": "a", "bytes": 3}


def test_a_proof_names_what_failed() -> None:
    checks = [
        Check("whole", 1e-7, 1e-5),
        Check("in chunks", 1e-3, 1e-5),
        Check("the state matters", 0.5, 1e-3, must_differ=True),
    ]

    rows = proof_table(checks).rows

    assert [row[0] for row in rows] == ["whole", "in chunks", "the state matters"]
    assert [row[2] for row in rows] == ["up to 1e-05", "up to 1e-05", "above 1e-03"]
    assert [row[3] for row in rows] == ["ok", "FAILED", "ok"]


def test_a_contract_names_ports_states_and_rate() -> None:
    state = State("h_in", "h_out", "h", (1, "batch", 4))
    contract = Contract((Port("x", 0, 1),), (Port("y", None, None),), (state,), sample_rate=16000, hop=160)

    table = contract_table(contract)

    assert table.title == "Contract: a frame every 10 ms"
    assert table.rows == [
        ["input", "x", "time on axis 0, streams on axis 1"],
        ["output", "y", "one answer per chunk"],
        ["state h", "h_in <- h_out", "1 x batch x 4"],
    ]


def test_a_contract_names_what_a_state_starts_from() -> None:
    state = State("h_in", "h_out", "h", (1, "batch", 4), "h_0")
    rows = contract_table(Contract((Port("x", 0, 1),), (Port("y", 0, 1),), (state,))).rows
    assert rows[-1] == ["state h", "h_in <- h_out", "1 x batch x 4, starts from h_0"]
