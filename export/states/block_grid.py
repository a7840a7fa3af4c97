"""The options block, lookahead and limit of an export: the blocks in which backward directions run."""

from operator import index

import onnx

from ...runtime.contract import MOST_LOOKAHEAD, Blocks
from ...runtime.errors import ContractError
from ...runtime.graph.nodes import is_backward

LIMIT = 4096  # most frames of a stream that is one block, by default


def asked_blocks(block: int | None, lookahead: int, limit: int | None) -> Blocks:
    """Return the blocks that a caller asks for.

    Args:
        block: Frames per block; None: the whole stream is one block.
        lookahead: Frames after a block that its backward directions see.
        limit: Most frames of a stream that is one block; None: LIMIT.

    Raises:
        ContractError: The three options contradict each other, or a size is out of range.
    """
    frames = None if block is None else index(block)
    most = LIMIT if frames is None and limit is None else limit
    asked = Blocks(frames, index(lookahead), None if most is None else index(most))
    if frames is None and asked.lookahead:
        raise ContractError(
            f"lookahead is {lookahead} without a block; wanted block=, or 0: the block is the whole stream"
        )
    if frames is not None and asked.limit is not None:
        raise ContractError(f"limit is {limit} and block is {block}; wanted only one of them: blocks have no limit")
    if not all(size is None or 0 < size <= MOST_LOOKAHEAD for size in (frames, asked.limit)) or (
        not 0 <= asked.lookahead <= MOST_LOOKAHEAD
    ):
        raise ContractError(
            f"block is {block}, lookahead {lookahead}, limit {limit}; wanted 1 to {MOST_LOOKAHEAD}, or a lookahead of 0"
        )
    return asked


def used_blocks(model: onnx.ModelProto, asked: Blocks) -> Blocks | None:
    """Return the blocks for a model with a backward direction; None for a model without one.

    Raises:
        ContractError: The caller asks for blocks, but the model has no backward direction.
    """
    if any(is_backward(node) for node in model.graph.node):
        return asked
    if asked != asked_blocks(None, 0, None):
        raise ContractError(
            "block=, lookahead= and limit= are for bidirectional layers; this model has none, leave them out"
        )
    return None
