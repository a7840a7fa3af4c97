"""The taps of a kernel inside a frame: size, stride, dilation and zeros, of a convolution or a pool."""

from dataclasses import dataclass

import onnx

from ..graph.nodes import attributes
from .trace import unsupported


@dataclass(frozen=True)
class Taps:
    """A kernel along one axis.

    Attributes:
        size: Places of the axis.
        kernel: Taps.
        stride: Places from one answer to the next.
        dilation: Places from one tap to the next.
        before: Zeros before the first place.
        answers: The number of answers.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    answers: int


def taps_of(node: onnx.NodeProto, sizes: list[int], kernel: list[int]) -> list[Taps]:
    """Return the kernel of a node along each of its axes.

    Args:
        node: A convolution or a pool.
        sizes: Places of each axis.
        kernel: Taps of each axis.
    """
    given, rank = attributes(node), len(sizes)
    strides, dilations = (list(given.get(key, [1] * rank)) for key in ("strides", "dilations"))
    pads = list(given.get("pads", [0] * 2 * rank))
    if given.get("ceil_mode", 0):
        raise unsupported(node, "ceil_mode is 1, wanted 0: answers of whole windows only")
    return [_along(node, sizes[i], kernel[i], strides[i], dilations[i], (pads[i], pads[i + rank])) for i in range(rank)]


def _along(  # noqa: PLR0917
    node: onnx.NodeProto, size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]
) -> Taps:
    reach, method = (kernel - 1) * dilation, attributes(node).get("auto_pad", "NOTSET")
    if method in ("SAME_UPPER", "SAME_LOWER"):
        zeros = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        pads = (zeros // 2, zeros - zeros // 2) if method == "SAME_UPPER" else (zeros - zeros // 2, zeros // 2)
    answers = (size + sum(pads) - reach - 1) // stride + 1
    if answers < 1 or min(pads) < 0:
        raise unsupported(
            node, f"{kernel} taps {dilation} apart give {answers} answers inside a frame of {size} places"
        )
    return Taps(size, kernel, stride, dilation, pads[0], answers)
