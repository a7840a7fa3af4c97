"""Rows of the report: their figures describe the codes and scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.quant.file.weights import Weight
from tidegate.quant.report.quantization_report import WeightRow
from tidegate.quant.report.weight_rows import BINS, rows_of
from tidegate.quant.rounding.budget import Option, bytes_of
from tidegate.quant.rounding.choice import Choice, all_nearest
from tidegate.quant.rounding.nearest import Rounded, to_nearest
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.arrays import Floats

UNITS, INPUTS = 3, 10
VALUES = np.random.default_rng(0).normal(size=(1, 4 * UNITS, INPUTS)).astype(np.float32)


def weight(*, values: Floats = VALUES, gates: str = "iofc", reason: str = "") -> Weight:
    return Weight("w", "LSTM 'a'", recurrent=True, channel_axis=1, values=values, reason=reason, gates=gates)


def row(one: Weight, made: Rounded | None, choice: Choice | None = None, asked: Precision | None = None) -> WeightRow:
    asked = asked or (made.precision if made else Precision())
    (found,) = rows_of([one], {"w": asked}, {"w": made} if made else {}, choice or all_nearest({"w": asked}), {})
    return found


@given(st.sampled_from(["W4A16", "W8A8", "W16A16", "W8A16g8"]))
def test_a_quantized_row_says_what_the_codes_are(text: str) -> None:
    precision = Precision.parse(text)
    made = to_nearest(weight().by_channel(), precision)
    found = row(weight(), made)
    assert (found.precision, found.asked, found.method, found.reason) == (text, text, "nearest", "")
    assert (found.shape, found.bytes) == ((12, 10), bytes_of((12, 10), precision))
    exact = weight().by_channel().astype(np.float64)
    assert found.error == pytest.approx(np.sqrt(np.mean((made.values - exact) ** 2) / np.mean(exact**2)))
    assert (found.scale_min, found.scale_max) == (made.scales.min(), made.scales.max())
    most = 2 ** (precision.weight_bits - 1) - 1
    assert found.saturation == pytest.approx(np.mean(np.abs(made.codes.astype(int)) == most))
    assert found.range is None


def test_gates_are_parts_of_the_channels_in_their_order() -> None:
    values = VALUES * np.repeat([1.0, 2, 4, 8], UNITS)[None, :, None].astype(np.float32)
    one = weight(values=values)
    made = to_nearest(one.by_channel(), Precision())
    found = row(one, made)
    assert [gate.gate for gate in found.gates] == list("iofc")
    for number, gate in enumerate(found.gates):
        part = slice(number * UNITS, (number + 1) * UNITS)
        assert (gate.scale_min, gate.scale_max) == (made.scales[part].min(), made.scales[part].max())
        assert gate.sensitivity is None
    assert row(weight(gates=""), made).gates == ()


@pytest.mark.parametrize(("gates", "names"), [("iofc", list("iofc")), ("", [""])])
def test_histograms_count_every_code_and_every_error(gates: str, names: list[str]) -> None:
    found = row(weight(gates=gates), to_nearest(weight().by_channel(), Precision(4)))
    assert [histogram.gate for histogram in found.histograms] == names
    for histogram in found.histograms:
        assert sum(histogram.codes) == sum(histogram.errors) == 12 * 10 // len(names)
        assert len(histogram.codes) == 15
        assert len(histogram.errors) == BINS
        middle = BINS // 2
        assert sum(histogram.errors[middle - 6 : middle + 7]) == sum(histogram.errors), "nearest: half a step"


def test_calibration_fills_in_method_options_and_sensitivities() -> None:
    made = to_nearest(weight().by_channel(), Precision(16))
    options = [Option(Precision(), 120, 0.5), Option(Precision(16), 240, 0.25)]
    gates = dict(zip("iofc", (0.1, 0.2, 0.3, 0.4), strict=True))
    choice = Choice({"w": Precision(16)}, "guided", {"w": made}, [], {}, {"w": options}, {"w": gates})
    found = row(weight(), made, choice, asked=Precision())
    assert (found.method, found.asked, found.precision) == ("guided", "W8A16", "W16A16")
    assert [option.precision for option in found.options] == ["W8A16", "W16A16"]
    assert found.sensitivity == 0.25
    assert [gate.sensitivity for gate in found.gates] == [0.1, 0.2, 0.3, 0.4]


def test_a_weight_that_calibration_left_out_is_rounded_to_nearest() -> None:
    made = to_nearest(weight().by_channel(), Precision())
    choice = Choice({"w": Precision()}, "guided", {}, [], {}, {}, {})
    found = row(weight(), made, choice)
    assert (found.method, found.options) == ("nearest", ())


@pytest.mark.parametrize(
    ("one", "asked", "reason"),
    [
        (weight(reason="has 3 axes"), "W8A16", "has 3 axes"),
        (weight(reason="has 3 axes"), "float32", ""),
        (weight(), "float32", ""),
    ],
)
def test_a_float_row_gives_a_reason_only_if_integers_were_asked_for(one: Weight, asked: str, reason: str) -> None:
    found = row(one, None, asked=Precision.parse(asked))
    assert (found.precision, found.asked, found.reason, found.method) == ("float32", asked, reason, "")
    assert (found.bits, found.group, found.activation_bits, found.error) == (32, 0, 0, 0)
    assert found.bytes == 4 * VALUES.size


def test_a_fixed_range_is_in_the_row() -> None:
    made = to_nearest(weight().by_channel(), Precision())
    (found,) = rows_of(
        [weight()], {"w": Precision()}, {"w": made}, all_nearest({"w": Precision()}), {"w": np.float32(0.5)}
    )
    assert found.range == 0.5
