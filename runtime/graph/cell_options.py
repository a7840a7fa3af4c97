"""The options of recurrent nodes: what the attributes of an LSTM, GRU or RNN change about its kind."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from ..cells import ACTIVATIONS, BY_NAME, GRU, Activation, CellKind, CellOptions
from ..errors import UnsupportedError
from .nodes import attributes, label

PEEPHOLES = 7  # their position among the inputs of an LSTM
LARGEST = 2.0**60  # of alpha, beta and clip, as of all constants of a plan
_NAMES = {name.lower(): name for name in ACTIVATIONS}  # onnxruntime takes any case


def cell_options(node: onnx.NodeProto, direction: int = 0) -> CellOptions:
    """Return the options of a recurrent node.

    Args:
        node: An LSTM, GRU or RNN, or the node that `with_weights` gives for an LSTM with projection.
        direction: Which direction of a bidirectional node; 0 for other nodes.

    Raises:
        UnsupportedError: An activation is unknown, a number is missing or too large, or the clip is negative.
    """
    given, kind = attributes(node), BY_NAME[node.op_type]
    count, directions = len(kind.activations[0]), 1 + (given.get("direction") == "bidirectional")
    names = [_text(name) for name in given.get("activations", ())] or list(kind.activations[0]) * directions
    if len(names) != count * directions:
        raise _refused(node, f"it has {len(names)} activations, wanted {count * directions}")
    clip = _number(node, "clip", given.get("clip", 0.0))
    if clip < 0:
        raise _refused(node, f"clip is {clip}, wanted a number above 0")
    return CellOptions(
        tuple(_activations(node, names))[count * direction : count * (direction + 1)],
        clip,
        coupled=given.get("input_forget", 0) == 1,
        reset_first=kind is GRU and given.get("linear_before_reset", 0) == 0,
    )


def option_attributes(kind: CellKind, options: CellOptions) -> dict[str, Any]:
    """Return the attributes of a node with these options, without those that have ONNX's default."""
    names = tuple(one.name for one in options.activations)
    numbers = [(one.alpha, one.beta)[: len(ACTIVATIONS[one.name][0])] for one in options.activations]
    given = {
        "activations": list(names) if names != kind.activations[0] else [],
        "activation_alpha": [own[0] for own in numbers if own],
        "activation_beta": [own[1] for own in numbers if len(own) > 1],
        "clip": options.clip,
        "input_forget": int(options.coupled),
        "linear_before_reset": int(kind is GRU and not options.reset_first),
    }
    return {key: value for key, value in given.items() if value}


def _activations(node: onnx.NodeProto, names: list[str]) -> Iterator[Activation]:
    """Give the functions; each takes its numbers from the lists of the node, in the order of the functions."""
    given = attributes(node)
    left = [list(given.get(key, ())) for key in ("activation_alpha", "activation_beta")]
    for name in names:
        known = _NAMES.get(name.lower())
        if known is None:
            raise _refused(node, f"activation {name} is unknown, wanted one of {', '.join(ACTIVATIONS)}")
        numbers = []
        for key, default, values in zip(("alpha", "beta"), ACTIVATIONS[known][0], left, strict=False):
            number = values.pop(0) if values else default
            if number is None:
                raise _refused(node, f"activation {known} has no activation_{key}, wanted a number for it")
            numbers.append(_number(node, f"activation_{key}", number))
        yield Activation(known, *numbers)


def _number(node: onnx.NodeProto, name: str, value: float) -> float:
    """Return a number as float32, 0 for magnitudes below 2^-60."""
    if not abs(value) <= LARGEST:
        raise _refused(node, f"{name} is {value}, wanted a finite number up to 2^60")
    return 0.0 if abs(value) < 1 / LARGEST else float(np.float32(value))


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _refused(node: onnx.NodeProto, why: str) -> UnsupportedError:
    return UnsupportedError(f"{label(node)}: {why}")
