"""Pairs of state inputs and outputs by their names: what the rules pair, and what is ambiguous."""

import pytest
from tidegate.export.foreign.state_names import check_pairs, pair_by_name
from tidegate.runtime.errors import ContractError


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("h", "hn"),
        ("h0", "hn"),
        ("h_0", "h_n"),
        ("state", "stateN"),
        ("lstm.h_in", "lstm.h_out"),
        ("past_key_values.0.key", "present.0.key"),
        ("past_h", "present_h"),
        ("h_prev", "h_next"),
        ("prev_h", "next_h"),
        ("h_old", "h_new"),
        ("cached_len_0", "new_cached_len_0"),
        ("cache_last_channel", "cache_last_channel_next"),
        ("H_IN", "h_out"),
    ],
)
def test_names_that_fit(source: str, target: str) -> None:
    assert pair_by_name(["x", source], [target, "y"]) == {source: target}


def test_the_order_of_names_does_not_matter() -> None:
    assert pair_by_name(["c0", "x", "h0"], ["hn", "y", "cn"]) == {"c0": "cn", "h0": "hn"}


def test_names_that_say_nothing_are_left() -> None:
    assert pair_by_name(["input", "in", "x"], ["output", "out", "y"]) == {}


def test_one_output_for_two_inputs_is_refused() -> None:
    with pytest.raises(
        ContractError, match="output 'hn' may feed any of the inputs 'h', 'h0'; say which: --state h=hn"
    ):
        pair_by_name(["h", "h0"], ["hn"])


def test_an_output_cannot_feed_two_inputs() -> None:
    with pytest.raises(ContractError, match="states: output 'hn' feeds several inputs, wanted one output for each"):
        check_pairs({"h": "hn", "c": "hn"}, ["h", "c"], ["hn"])
