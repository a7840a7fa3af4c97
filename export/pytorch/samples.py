"""Modules that read samples: how many of them make a frame, and their framing traced as markers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import index
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ...runtime.errors import ContractError, ExportError
from ..frontend.framing import Framing, Preemphasis
from ..frontend.over_time import RunningNorm
from ..graph.markers import AVERAGE, EARLIER, FRAMES
from ..rewrites.rows import Rows


@dataclass(frozen=True)
class Front:
    """How a forward reads samples.

    Attributes:
        hop: The samples of a frame; None: it takes frames.
        after: The samples that its last frame needs after the last hop: a stream has that answer later.
    """

    hop: int | None
    after: int = 0

    def frames(self, signal: Tensor) -> Tensor:
        """Return a signal as frames."""
        return signal if self.hop is None else as_frames(signal, self.hop)

    def taken(self, frames: Tensor) -> Tensor:
        """Return frames as the forward takes them; zeros follow the last one, if it needs samples there."""
        return frames if self.hop is None else nn.functional.pad(frames.flatten(-2), (0, self.after))


@dataclass(frozen=True)
class RowFront(Front):
    """How a forward with strides over time reads rows: several of them make a frame.

    Attributes:
        rows: The rows of a frame.
    """

    rows: Rows = field(kw_only=True)

    def frames(self, signal: Tensor) -> Tensor:
        """Return rows as frames."""
        return torch.from_numpy(self.rows.frames(signal.numpy()))

    def taken(self, frames: Tensor) -> Tensor:
        """Return frames as the forward takes them; zeros follow the last one, if it needs rows there."""
        return torch.from_numpy(self.rows.taken(frames.cpu().numpy())).to(frames.device)


def front_of_rows(front: Front, signal: Tensor, rows: Rows) -> tuple[Front, Tensor]:
    """Return how a forward reads a signal of which several rows, or frames of a front end, make a frame, and it.

    Args:
        front: How it reads the signal so far.
        signal: The example, as frames so far.
        rows: The rows of a frame.
    """
    if front.hop is not None:
        wider = Front(front.hop * rows.count, front.after + front.hop * rows.after)
        return wider, wider.frames(signal.flatten(-2))
    made = RowFront(rows.hop, rows=rows)
    return made, made.frames(signal)


def agreed_hop(front: Front, asked: int | None) -> int | None:
    """Return the samples from one frame to the next, as the front end or the caller says.

    A caller's hop is that of a row, if several rows make a frame.

    Raises:
        ContractError: They say two numbers.
    """
    hop = None if asked is None else index(asked)
    if front.hop is None:
        return hop * front.rows.count if hop is not None and isinstance(front, RowFront) else hop
    if hop not in (None, front.hop):
        raise ContractError(f"hop is {hop}, the front end of the module has hop_length {front.hop}; leave hop out")
    return front.hop


def hop_of(module: nn.Module) -> int | None:
    """Return the samples of a frame of a module with a front end; None for a module that reads frames.

    Raises:
        ExportError: It has front ends of several hops.
    """
    hops = {name: child.hop_length for name, child in module.named_modules() if isinstance(child, Framing)}
    if len(set(hops.values())) > 1:
        seen = ", ".join(f"{name} {hop}" for name, hop in hops.items())
        raise ExportError(f"the front ends have several hops ({seen}), wanted the same hop_length for all")
    return next(iter(hops.values()), None)


def front_paths(module: nn.Module) -> list[str]:
    """Return the paths of the modules of front ends, ours and torchaudio's, which have no trained weights."""
    homes = Framing.__module__.rpartition(".")[0], "torchaudio.transforms"
    bases = {name: [base.__module__ for base in type(child).__mro__] for name, child in module.named_modules()}
    return [name for name, own in bases.items() if name and any(one.startswith(homes) for one in own)]


def as_frames(samples: Tensor, hop: int) -> Tensor:
    """Return samples `[batch, samples]` or `[samples]` as frames of a hop; the rest of an example is left out.

    Raises:
        ExportError: They have other axes, are no floats, or make no frame.
    """
    if samples.dim() > 2 or not samples.is_floating_point() or samples.size(-1) < hop:
        raise ExportError(
            f"the example is {samples.dtype} {list(samples.shape)}, wanted samples for a front end: floats "
            f"[batch, samples], at least {hop} of them"
        )
    return samples[..., : samples.size(-1) // hop * hop].reshape(*samples.shape[:-1], -1, hop)


class _Frames(torch.autograd.Function):
    """Samples `[..., samples]` -> frames `[..., frames, length]`; the first one starts `before` the first sample."""

    @staticmethod
    def forward(_: object, samples: Tensor, before: int, length: int, hop: int) -> Tensor:
        return nn.functional.pad(samples, (before, 0)).unfold(-1, length, hop)

    @staticmethod
    def symbolic(graph: Any, samples: Any, before: int, length: int, hop: int) -> Any:  # noqa: ANN401  torch's own values
        lead = [None] * (samples.type().dim() - 1)
        made = graph.op(FRAMES, samples, before_i=before, length_i=length, hop_i=hop)
        made.setType(samples.type().with_sizes([*lead, None, length]))
        return made


def cut_frames(samples: Tensor, length: int, hop: int, before: int = 0) -> Tensor:
    """Return frames of samples; a trace has them as a marker."""
    made: Tensor = _Frames.apply(samples, before, length, hop)  # type: ignore[no-untyped-call]
    return made


class _Earlier(torch.autograd.Function):
    """Samples -> for each sample the one before it."""

    @staticmethod
    def forward(_: object, samples: Tensor) -> Tensor:
        return nn.functional.pad(samples, (1, -1))

    @staticmethod
    def symbolic(graph: Any, samples: Any) -> Any:  # noqa: ANN401  torch's own values
        made = graph.op(EARLIER, samples)
        made.setType(samples.type())
        return made


class _Average(torch.autograd.Function):
    """Frames `[batch, frames, features]`, a start `[features]` -> the running average at each frame."""

    @staticmethod
    def forward(_: object, x: Tensor, start: Tensor, momentum: float) -> Tensor:
        del start, momentum  # only their place in the graph counts
        return x.clone()

    @staticmethod
    def symbolic(graph: Any, x: Any, start: Any, momentum: float) -> Any:  # noqa: ANN401  torch's own values
        made = graph.op(AVERAGE, x, start, momentum_f=momentum)
        made.setType(x.type())
        return made


@contextmanager
def marking_frames() -> Iterator[None]:
    """Trace the framing of samples and running averages as markers, inside this context."""

    def frames(self: Framing, samples: Tensor) -> Tensor:
        return cut_frames(samples, self.frame_length, self.hop_length, self.frame_length - self.hop_length)

    def earlier(_: Preemphasis, samples: Tensor) -> Any:  # noqa: ANN401
        return _Earlier.apply(samples)  # type: ignore[no-untyped-call]

    def averages(self: RunningNorm, x: Tensor, start: Tensor) -> Any:  # noqa: ANN401
        return _Average.apply(x, start, self.momentum)  # type: ignore[no-untyped-call]

    marked_averages = patch.object(RunningNorm, "averages", averages)
    with marked_averages, patch.object(Framing, "forward", frames), patch.object(Preemphasis, "earlier", earlier):
        yield
