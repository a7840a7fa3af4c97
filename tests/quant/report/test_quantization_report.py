"""The report's answers: which weights changed precision, which stayed float, how much is quantized."""

import json

import pytest
from tidegate.quant.report.quantization_report import OptionRow, QuantizationReport, WeightRow
from tidegate.runtime.errors import QuantizationError


def row(name: str, precision: str, shape: tuple[int, ...] = (4, 10), *, asked: str = "", reason: str = "") -> WeightRow:
    bits, activations = {"W8A16": (8, 16), "W16A16": (16, 16), "float32": (32, 0)}[precision]
    recurrent = name.startswith("lstm")
    return WeightRow(name, "an operator", recurrent, shape, bits, 0, activations, 0.0, reason, asked=asked or precision)


def report(*rows: WeightRow) -> QuantizationReport:
    return QuantizationReport("q.onnx", 1000, 300, rows, "native")


ROWS = (
    row("lstm.W", "W8A16"),
    row("lstm.R", "float32", asked="W8A16", reason="not a constant of the graph"),
    row("lstm.P", "float32"),
    row("head", "W16A16", (2, 10), asked="W8A16"),
    row("conv", "float32", (10,), asked="W8A16", reason="has 1 axes"),
)


def test_recurrent_weights_that_were_asked_to_stay_float_are_no_surprise() -> None:
    assert [one.name for one in report(*ROWS).recurrent_float] == ["lstm.R"]


def test_moved_weights_have_another_precision_than_asked_for() -> None:
    assert [one.name for one in report(*ROWS).moved] == ["lstm.R", "head", "conv"]


def test_coverage_is_the_fraction_of_values() -> None:
    assert report(*ROWS).coverage == pytest.approx((40 + 20) / (3 * 40 + 20 + 10))
    assert report(row("lstm.W", "W8A16")).coverage == 1
    assert report().coverage == 0


def test_still_float_lists_matches_of_any_pattern() -> None:
    assert [one.name for one in report(*ROWS).still_float(["lstm.*"])] == ["lstm.R", "lstm.P"]
    assert [one.name for one in report(*ROWS).still_float(["head", "co?v"])] == ["conv"]
    assert report(*ROWS).still_float([]) == ()


def test_a_pattern_that_matches_no_weight_is_refused() -> None:
    with pytest.raises(QuantizationError, match=r"no weight matches 'gru\.\*'; there are lstm\.W, lstm\.R"):
        report(*ROWS).still_float(["lstm.*", "gru.*"])


def test_sensitivity_is_the_error_of_the_precision_that_was_chosen() -> None:
    options = (OptionRow("W8A16", 40, 0.5), OptionRow("W16A16", 80, 0.25))
    chosen = WeightRow("w", "an operator", True, (4, 10), 16, 0, 16, 0.0, options=options)
    assert chosen.precision == "W16A16"
    assert chosen.sensitivity == 0.25
    assert ROWS[0].sensitivity is None


def test_a_report_is_json() -> None:
    found = json.loads(json.dumps(report(*ROWS).to_dict()))
    assert found["coverage"] == pytest.approx(report(*ROWS).coverage)
    assert [one["name"] for one in found["weights"]] == [one.name for one in ROWS]
    assert found["calibration"] is None
