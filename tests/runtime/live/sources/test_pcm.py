"""Raw numbers: every format, cut anywhere."""

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.sources.pcm import TYPES, Decoder, Form

VALUES = {
    "u8": (np.array([0, 128, 255], "u1"), [-1, 0, 127 / 128]),
    "s8": (np.array([-128, 0, 127], "i1"), [-1, 0, 127 / 128]),
    "s16le": (np.array([-32768, 0, 16384], "<i2"), [-1, 0, 0.5]),
    "s16be": (np.array([-32768, 0, 16384], ">i2"), [-1, 0, 0.5]),
    "s24le": (np.frombuffer(bytes([0, 0, 128, 0, 0, 0, 0, 0, 64]), "u1"), [-1, 0, 0.5]),
    "s32le": (np.array([-(2**31), 0, 2**30], "<i4"), [-1, 0, 0.5]),
    "s32be": (np.array([-(2**31), 0, 2**30], ">i4"), [-1, 0, 0.5]),
    "f32le": (np.array([-3, 0, 0.5], "<f4"), [-3, 0, 0.5]),
    "f32be": (np.array([-3, 0, 0.5], ">f4"), [-3, 0, 0.5]),
    "f64le": (np.array([-3, 0, 1e300], "<f8"), [-3, 0, np.inf]),
}


@pytest.mark.parametrize("name", TYPES)
def test_integers_become_minus_one_to_one_and_other_numbers_stay(name: str) -> None:
    raw, wanted = VALUES[name]

    assert Form(name).rows(raw.tobytes())[:, 0].tolist() == wanted


def test_a_scale_is_what_integers_are_multiplied_with() -> None:
    assert Form("s16le", 2, 0.5).rows(np.array([[3, -4]], "<i2").tobytes()).tolist() == [[1.5, -2]]


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 1000])
def test_bytes_cut_anywhere_give_the_same_rows(size: int) -> None:
    values = np.arange(60, dtype="<i2").reshape(-1, 3)
    data, decoder = values.tobytes() + b"\1\2\3", Decoder(Form("s16le", 3, 1))

    found = np.concatenate([decoder.take(data[at : at + size]) for at in range(0, len(data), size)])

    assert np.array_equal(found, values)
    assert decoder.left == 3


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [("s12", 1, "format 's12' is unknown; wanted one of text, u8, s8"), ("u8", 0, "0 channels; wanted 1 or more")],
)
def test_unknown_formats_are_refused(name: str, channels: int, message: str) -> None:
    with pytest.raises(ChunkError, match=message):
        Form(name, channels)
