"""torch.stft in a forward, which torchaudio's transforms call: what it reads of the samples, and its trace in parts.

In a stream a spectrum is framing and a product with a matrix, as in `tidegate.frontend.Spectrogram`. ONNX has no
complex numbers, so inside a trace `Complex` stands for them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ...runtime.errors import UnsupportedError
from ..frontend import __all__ as front_ends
from ..frontend.spectrum import waves
from ..graph.markers import STFT
from .samples import Front, cut_frames

_ASKED = ("input", "n_fft", "hop_length", "win_length", "window", "center", "pad_mode", "normalized", "onesided")
_PLAIN = torch.stft


@dataclass(frozen=True, eq=False)
class Call:
    """One call of torch.stft."""

    samples: Tensor
    given: dict[str, Any]

    @classmethod
    def of(cls, listed: Sequence[Any], named: dict[str, Any]) -> Self:
        """Return a call by its arguments."""
        given = dict(zip(_ASKED, listed, strict=False)) | named
        return cls(given["input"], given)

    @property
    def length(self) -> int:
        """The samples of a frame."""
        return int(self.given["n_fft"])

    @property
    def hop(self) -> int:
        """The samples from one frame to the next."""
        hop = self.given.get("hop_length")
        return self.length // 4 if hop is None else int(hop)

    @property
    def reason(self) -> str:
        """Why no stream has such frames; '' if one can."""
        if self.given.get("center", True):
            return "center=True: it reads samples that come later, and mirrors both ends of the signal"
        if self.given.get("onesided") is False or self.given.get("align_to_window"):
            return "onesided=False or align_to_window=True"
        return ""

    def front(self, samples: int) -> Front:
        """Return how it reads a signal of a number of samples: zeros in front make up for samples that come later."""
        before = self.samples.size(-1) - samples
        return Front(self.hop, max(self.length - self.hop - before, 0))

    def spectrum(self) -> Any:  # noqa: ANN401  Complex, or real and imaginary parts side by side
        """Return the spectrum as torch.stft does, from parts that a trace can hold; bins come before frames."""
        window, length = self._window(), self.length
        start = (length - window.size(0)) // 2
        frames = cut_frames(self.samples, length, self.hop)[..., start : start + window.size(0)]
        with _inside(STFT):
            both = torch.matmul(frames, _untraced(lambda: waves(window.double(), length).float()))
        real, imaginary = (part.transpose(-1, -2) for part in torch.split(both, length // 2 + 1, -1))
        found = Complex(real, imaginary)
        return found if self.given.get("return_complex") else found.view_as_real()

    def _window(self) -> Tensor:
        window, size = self.given.get("window"), self.given.get("win_length")
        made = torch.ones(self.length if size is None else size) if window is None else window.detach().cpu()
        return _untraced(lambda: made * self.length**-0.5 if self.given.get("normalized") else made * 1.0)


class Complex:
    """Complex numbers as two tensors, for what a forward does with a spectrum; anything else is refused by name."""

    def __init__(self, real: Tensor, imag: Tensor) -> None:
        self.real, self.imag = real, imag

    @property
    def shape(self) -> torch.Size:
        """The sizes."""
        return self.real.shape

    def size(self, *axis: int) -> Any:  # noqa: ANN401  one size or all
        """Return the sizes, or one of them."""
        return self.real.size(*axis)

    def __abs__(self) -> Tensor:
        return torch.sqrt(self.real * self.real + self.imag * self.imag)

    absolute = abs = __abs__

    def view_as_real(self) -> Tensor:
        """Return real and imaginary parts along a new last axis."""
        return torch.stack((self.real, self.imag), -1)

    def conj(self) -> "Complex":
        """Return the conjugate numbers."""
        return Complex(self.real, -self.imag)

    def __mul__(self, factor: Tensor | float) -> "Complex":
        return Complex(self.real * factor, self.imag * factor)

    def __truediv__(self, divisor: Tensor | float) -> "Complex":
        return Complex(self.real / divisor, self.imag / divisor)

    def __getitem__(self, index: Any) -> "Complex":  # noqa: ANN401  as torch takes it
        return Complex(self.real[index], self.imag[index])

    __rmul__ = __mul__

    def __getattr__(self, name: str) -> Callable[..., "Complex"]:
        if name not in _MOVES:
            raise UnsupportedError(
                f"the forward uses {name!r} of a complex spectrum, wanted abs, real, imag or view_as_real of it"
            )

        def moved(*listed: Any, **named: Any) -> Complex:  # noqa: ANN401
            return Complex(getattr(self.real, name)(*listed, **named), getattr(self.imag, name)(*listed, **named))

        return moved

    @classmethod
    def __torch_function__(
        cls,
        function: Any,  # noqa: ANN401  a function of torch
        kinds: object,
        listed: Sequence[Any] = (),
        named: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Take a function of torch as the method of its name."""
        del kinds
        found = getattr(listed[0], function.__name__)
        return found(*listed[1:], **(named or {})) if callable(found) else found


_MOVES = frozenset(
    (
        *("contiguous", "flatten", "movedim", "permute", "reshape", "squeeze", "swapaxes"),
        *("transpose", "unflatten", "unsqueeze", "view"),
    )
)


@contextmanager
def listing_spectra() -> Iterator[list[Call]]:
    """List the calls of torch.stft inside this context."""
    calls: list[Call] = []

    def stft(*listed: Any, **named: Any) -> Any:  # noqa: ANN401  as torch takes them
        calls.append(Call.of(listed, named))
        return _PLAIN(*listed, **named)

    with patch.object(torch, "stft", stft):
        yield calls


@contextmanager
def tracing_spectra() -> Iterator[None]:
    """Trace each call of torch.stft in parts, inside this context."""
    with patch.object(torch, "stft", lambda *listed, **named: Call.of(listed, named).spectrum()):
        yield


def front_of(module: nn.Module, calls: Sequence[Call], signal: Tensor, known: Front) -> Front:
    """Return how a forward reads its samples, by its calls of torch.stft.

    Args:
        module: The module, for messages.
        calls: The calls.
        signal: The example, in frames if that is known.
        known: What is known without them.

    Raises:
        UnsupportedError: A call reads samples that a stream does not have, or two calls disagree.
    """
    refused = next((call for call in calls if call.reason), None)
    if refused is not None:
        raise UnsupportedError(_refusal(module, refused))
    samples = known.taken(signal).size(-1)
    found = {call.front(samples) for call in calls} | ({known} if known.hop is not None else set())
    if len(found) > 1:
        seen = ", ".join(sorted(f"hop_length {one.hop} and {one.after} samples ahead" for one in found))
        raise UnsupportedError(
            f"calls of torch.stft and front ends differ ({seen}), wanted the same hop_length, and n_fft - hop_length "
            "zeros in front of each (torch.nn.functional.pad)"
        )
    return found.pop() if found else known


def _refusal(module: nn.Module, call: Call) -> str:
    options = f"n_fft={call.length}, hop_length={call.hop}"
    peers = {
        name: type(child).__name__
        for name, child in module.named_modules()
        if type(child).__module__.startswith("torchaudio.") and type(child).__name__ in front_ends
    }
    kind, where = next(
        iter((kind, f"module {name!r} ") for name, kind in peers.items()), ("Spectrogram", "the forward ")
    )
    return (
        f"{where}calls torch.stft({options}, {call.reason}); wanted center=False after n_fft - hop_length zeros in "
        f"front: torch.nn.functional.pad(samples, ({max(call.length - call.hop, 0)}, 0)); or "
        f"tidegate.frontend.{kind}({options}), with frames before features; see docs/frontend.md"
    )


@contextmanager
def _inside(name: str) -> Iterator[None]:
    """Let nodes of a trace have a name in their path, inside this context."""
    state = torch._C._get_tracing_state()  # noqa: SLF001  as torch's own modules do
    if state is None:
        yield
        return
    state.push_scope(f"tidegate::{name}")
    try:
        yield
    finally:
        state.pop_scope()


def _untraced(made: Callable[[], Tensor]) -> Tensor:
    """Return a tensor that is a constant of a trace, however it is computed."""
    state = torch._C._get_tracing_state()  # noqa: SLF001  as torch's own `_get_trace_graph`
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined] # noqa: SLF001
    try:
        return made()
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined] # noqa: SLF001
