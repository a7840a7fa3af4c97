"""An npz in the form of g2p_en's, of the test's own making: modules and formula agree, from given first states too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from g2p_en import FILE, LONGEST, START, WORDS, Decoder, Encoder, decoder_reference, encoder_reference, ids_of, read

UNITS = 5


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the weights of a small net."""
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    random, made = np.random.default_rng(0), {"fc_w": (74, UNITS), "fc_b": (74,)}
    for part, count in (("enc", 29), ("dec", 74)):
        gates = 3 * UNITS
        shapes = {
            "emb": (count, UNITS),
            "w_ih": (gates, UNITS),
            "w_hh": (gates, UNITS),
            "b_ih": (gates,),
            "b_hh": (gates,),
        }
        made |= {f"{part}_{name}": shape for name, shape in shapes.items()}
    arrays: dict[str, Any] = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in made.items()}
    np.savez(FILE, **arrays)


def test_the_encoder_equals_the_formula() -> None:
    streams = encoder_reference()
    assert len(streams) == len(WORDS)
    for stream in streams:
        with torch.no_grad():
            seen = Encoder()(torch.from_numpy(stream.frames)[None])[0]
        np.testing.assert_allclose(seen, stream.answers, atol=1e-6)


def test_the_decoder_equals_the_formula_from_the_encoder_s_last_h() -> None:
    encoder, decoder = Encoder(), Decoder()
    for stream, letters in zip(decoder_reference(), encoder_reference(), strict=True):
        with torch.no_grad():
            h = encoder(torch.from_numpy(letters.frames)[None])[:, -1:].transpose(0, 1)
            seen = decoder.head(decoder.gru(decoder.table(torch.from_numpy(stream.frames)[None]), h)[0])[0]
        np.testing.assert_allclose(stream.start["gru.h_in"], h, atol=1e-6)
        np.testing.assert_allclose(seen, stream.answers, atol=1e-5)
        assert stream.frames[0] == START
        assert len(stream.frames) == len(stream.answers) <= LONGEST


def test_each_phoneme_is_the_likeliest_after_the_ones_before() -> None:
    for stream in decoder_reference():
        np.testing.assert_array_equal(stream.frames[1:], stream.answers.argmax(1)[:-1])


def test_letters_have_the_package_s_ids() -> None:
    np.testing.assert_array_equal(ids_of("az"), [3, 28, 2])


def test_a_pickle_in_the_file_is_refused() -> None:
    np.savez(FILE, enc_emb=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read()
