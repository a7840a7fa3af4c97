"""Pairs of state outputs and state inputs, by their names or as the caller says; never by position.

`states.routes` then checks in the graph that an output holds the next state of its input.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from ...runtime.errors import ContractError

# Prefix and suffix of an input's name, then those of its output's name, around the same stem; case does not matter.
_RULES: tuple[tuple[str, str, str, str], ...] = (
    ("", "_in", "", "_out"),  # h_in, h_out
    ("in_", "", "out_", ""),
    ("", "_input", "", "_output"),
    ("input_", "", "output_", ""),  # input_states_1, output_states_1 (NeMo)
    ("past_", "", "present_", ""),  # past_h, present_h
    ("past_key_values", "", "present", ""),
    ("", "_prev", "", "_next"),  # h_prev, h_next
    ("prev_", "", "next_", ""),
    ("", "_old", "", "_new"),
    ("old_", "", "new_", ""),
    ("initial_", "", "final_", ""),
    ("", "0", "", "n"),  # h0, hn
    ("", "_0", "", "_n"),
    ("", "", "", "n"),  # h, hn; state, stateN (Silero VAD)
    ("", "", "", "_n"),
    ("", "", "", "_out"),
    ("", "", "", "_new"),
    ("", "", "", "_next"),  # cache_last_channel, cache_last_channel_next (NeMo)
    ("", "", "new_", ""),  # cached_len_0, new_cached_len_0 (sherpa-onnx)
    ("", "", "next_", ""),  # h0, next_h0 (sherpa-onnx)
)


def pair_by_name(inputs: Sequence[str], outputs: Sequence[str], started: Collection[str] = ()) -> dict[str, str]:
    """Return the outputs that feed inputs, by the input's name, for the names that fit a rule.

    Args:
        inputs: The names of the inputs.
        outputs: The names of the outputs.
        started: Inputs that start a layer: such an input has an output for itself, if the name of another fits too.

    Raises:
        ContractError: An input fits several outputs or an output several inputs.
    """
    found = {name: fits for name in inputs if (fits := _fitting(name, outputs))}
    for name, fits in found.items():
        if len(fits) > 1:
            raise ContractError(
                f"state input {name!r} may be fed by any of the outputs {listed(fits)}; say which: "
                f"--state {name}={fits[0]}"
            )
    pairs = {name: fits[0] for name, fits in found.items()}
    for output in sorted(set(pairs.values())):
        sources = [name for name, fed in pairs.items() if fed == output]
        if len(own := [name for name in sources if name in started]) == 1:
            pairs = {name: fed for name, fed in pairs.items() if fed != output or name in own}
        elif len(sources) > 1:
            ways = " or ".join(f"--state {name}={output}" for name in sources)
            raise ContractError(f"output {output!r} may feed any of the inputs {listed(sources)}; say which: {ways}")
    return pairs


def check_pairs(pairs: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Check that the file has the names in the caller's pairs.

    Raises:
        ContractError: The file does not have a name, or an output occurs twice.
    """
    for names, known, what in ((pairs, inputs, "input"), (pairs.values(), outputs, "output")):
        for name in names:
            if name not in known:
                raise ContractError(f"states: there is no {what} {name!r}; the file has {listed(known)}")
    twice = [name for name in pairs.values() if list(pairs.values()).count(name) > 1]
    if twice:
        raise ContractError(f"states: output {twice[0]!r} feeds several inputs, wanted one output for each")


def _fitting(name: str, outputs: Sequence[str]) -> list[str]:
    """Return the outputs whose name fits an input's name by any rule."""
    lower = name.lower()
    wanted = set()
    for before, behind, new_before, new_behind in _RULES:
        stem = lower[len(before) : len(lower) - len(behind)]
        if stem and lower.startswith(before) and lower.endswith(behind):
            wanted.add(f"{new_before}{stem}{new_behind}")
    return [output for output in outputs if output.lower() in wanted]


def listed(names: Iterable[str]) -> str:
    """Return names as a list for messages."""
    return ", ".join(map(repr, names)) or "none"
