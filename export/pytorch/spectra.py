"""Spectra of a whole signal in a forward: torch.stft, which torchaudio's transforms call, refused with what streams."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from ...runtime.errors import UnsupportedError
from ..frontend import __all__ as front_ends

_ASKED = ("input", "n_fft", "hop_length", "win_length", "window", "center")


@contextmanager
def refusing_spectra(module: nn.Module) -> Iterator[None]:
    """Refuse a forward that calls torch.stft, after it ran inside this context; name the front end to use.

    Raises:
        UnsupportedError: It does.
    """
    calls: list[dict[str, Any]] = []
    plain = torch.stft

    def stft(*listed: Any, **named: Any) -> Any:  # noqa: ANN401  as torch takes them
        calls.append(dict(zip(_ASKED, listed, strict=False)) | named)
        return plain(*listed, **named)

    with patch.object(torch, "stft", stft):
        yield
    if calls:
        raise UnsupportedError(_refusal(module, calls[0]))


def _refusal(module: nn.Module, call: dict[str, Any]) -> str:
    length, hop = int(call["n_fft"]), call.get("hop_length")
    options = f"n_fft={length}, hop_length={length // 4 if hop is None else int(hop)}"
    peers = {
        name: type(child).__name__
        for name, child in module.named_modules()
        if type(child).__module__.startswith("torchaudio.") and type(child).__name__ in front_ends
    }
    kind, where = next(
        iter((kind, f"module {name!r} ") for name, kind in peers.items()), ("Spectrogram", "the forward ")
    )
    return (
        f"{where}calls torch.stft ({options}, center={call.get('center', True)}), which reads the whole signal; wanted "
        f"a front end that streams: tidegate.frontend.{kind}({options}), with frames before features; see "
        "docs/frontend.md"
    )
