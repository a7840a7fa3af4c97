"""The package g2p_en: its npz into torch, an encoder of letters and a decoder of phonemes, and their formula."""

from pathlib import Path

import numpy as np
import torch
from cells import Doubles, gru
from nam import set_weights
from numpy.typing import NDArray
from signals import Stream
from torch import nn

FILE = Path("files/checkpoint20.npz")
LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")  # the ids of the package
START, END = 2, 3  # ids of phonemes: <s>, </s>
LONGEST = 20  # phonemes that the package decodes at most
WORDS = ("tidegate", "streaming", "quantized", "recurrent", "amplifier", "phoneme", "lookahead", "smartwatch")


def read(path: Path = FILE) -> dict[str, Doubles]:
    """Return the arrays of the file in float64, by name. Nothing is unpickled."""
    with np.load(path, allow_pickle=False) as kept:
        return {name: kept[name].astype(np.float64) for name in kept.files}


def _gru(weights: dict[str, Doubles], part: str) -> nn.GRU:
    w, r, b_w, b_r = (weights[f"{part}_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    made = nn.GRU(w.shape[1], r.shape[1], batch_first=True)
    set_weights(made, 0, w, r, b_w, b_r)
    return made


def _table(weights: Doubles) -> nn.Embedding:
    made = nn.Embedding(*weights.shape)
    made.load_state_dict({"weight": torch.from_numpy(weights)})
    return made


class Encoder(nn.Module):
    """Ids of letters `[batch, time]` to h `[batch, time, 256]`; h after `</s>` starts the decoder."""

    def __init__(self, path: Path = FILE) -> None:
        super().__init__()
        weights = read(path)
        self.table, self.gru = _table(weights["enc_emb"]), _gru(weights, "enc")

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return h of each letter."""
        h: torch.Tensor = self.gru(self.table(ids))[0]
        return h


class Decoder(nn.Module):
    """Ids of the phonemes so far `[batch, time]` to logits of the next `[batch, time, 74]`."""

    def __init__(self, path: Path = FILE) -> None:
        super().__init__()
        weights = read(path)
        self.table, self.gru = _table(weights["dec_emb"]), _gru(weights, "dec")
        self.head = nn.Linear(*weights["fc_w"].shape[::-1])
        self.head.load_state_dict(
            {"weight": torch.from_numpy(weights["fc_w"]), "bias": torch.from_numpy(weights["fc_b"])}
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits of each next phoneme."""
        logits: torch.Tensor = self.head(self.gru(self.table(ids))[0])
        return logits


def ids_of(word: str) -> NDArray[np.int64]:
    """Return the ids of a word's letters, `</s>` at the end."""
    return np.array([LETTERS.index(letter) for letter in [*word, "</s>"]])


def _encoded(weights: dict[str, Doubles], ids: NDArray[np.int64]) -> Doubles:
    return _run(weights, "enc", ids, np.zeros(weights["enc_w_hh"].shape[1]))


def _run(weights: dict[str, Doubles], part: str, ids: NDArray[np.int64], h: Doubles) -> Doubles:
    w, r, b_w, b_r = (weights[f"{part}_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    return gru(weights[f"{part}_emb"][ids], w, r, b_w, b_r, h=h)


def _decoded(weights: dict[str, Doubles], h: Doubles) -> tuple[NDArray[np.int64], Doubles]:
    """Return the ids that the decoder is given when it decodes a word, and its logits `[ids, 74]`."""
    ids: list[int] = [START]
    while True:
        logits = _run(weights, "dec", np.array(ids), h) @ weights["fc_w"].T + weights["fc_b"]
        best = int(logits[-1].argmax())
        if best == END or len(ids) == LONGEST:
            return np.array(ids), logits
        ids.append(best)


def encoder_reference() -> list[Stream]:
    """Return the letters of some words, a stream for each, and h by the formula."""
    weights = read()
    return [Stream(ids, _encoded(weights, ids)) for ids in map(ids_of, WORDS)]


def decoder_reference() -> list[Stream]:
    """Return the phonemes of some words, a stream for each from the encoder's last h; the logits by the formula."""
    weights, made = read(), []
    for ids in map(ids_of, WORDS):
        h = _encoded(weights, ids)[-1]
        phonemes, logits = _decoded(weights, h)
        made.append(Stream(phonemes, logits, {"gru.h_in": h[None, None].astype(np.float32)}))
    return made
