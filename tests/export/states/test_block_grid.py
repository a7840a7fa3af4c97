"""Options of blocks: which are taken, which contradict each other, which have nothing to serve."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.export.states.block_grid import LIMIT, asked_blocks, used_blocks
from tidegate.runtime.contract import MOST_LOOKAHEAD, Blocks
from tidegate.runtime.errors import ContractError

MakeGraph = Callable[..., onnx.ModelProto]
FRAMES = st.integers(1, MOST_LOOKAHEAD)


def test_without_options_the_stream_is_one_block_of_limited_length() -> None:
    assert asked_blocks(None, 0, None) == Blocks(None, 0, LIMIT)


@given(block=FRAMES, lookahead=st.integers(0, MOST_LOOKAHEAD), limit=FRAMES)
def test_valid_options_are_taken_as_they_are(block: int, lookahead: int, limit: int) -> None:
    assert asked_blocks(block, lookahead, None) == Blocks(block, lookahead, None)
    assert asked_blocks(None, 0, limit) == Blocks(None, 0, limit)


def test_numpy_integers_become_integers_and_floats_are_refused() -> None:
    asked = asked_blocks(np.int64(8), np.int32(2), None)  # type: ignore[arg-type] # as a caller may have them
    assert (type(asked.frames), type(asked.lookahead)) == (int, int)
    with pytest.raises(TypeError):
        asked_blocks(8.0, 0, None)  # type: ignore[arg-type] # on purpose


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, 3, None), "lookahead is 3 without a block; wanted block=, or 0"),
        ((40, 0, 100), "limit is 100 and block is 40; wanted only one of them"),
        ((0, 0, None), f"block is 0, lookahead 0, limit None; wanted 1 to {MOST_LOOKAHEAD}"),
        ((40, -1, None), "block is 40, lookahead -1, limit None"),
        ((MOST_LOOKAHEAD + 1, 0, None), f"block is {MOST_LOOKAHEAD + 1}, lookahead 0"),
        ((None, 0, 0), "block is None, lookahead 0, limit 0"),
    ],
)
def test_other_options_are_refused(options: tuple[int | None, int, int | None], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        asked_blocks(*options)


def test_only_a_backward_direction_uses_blocks(make_graph: MakeGraph) -> None:
    asked = asked_blocks(40, 10, None)
    assert used_blocks(make_graph(direction="reverse"), asked) == asked
    assert used_blocks(make_graph(), asked_blocks(None, 0, None)) is None
    with pytest.raises(ContractError, match="are for bidirectional layers; this model has none"):
        used_blocks(make_graph(), asked)
