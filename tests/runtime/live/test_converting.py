"""Rows become frames: order, channels, rates, and what happens at a gap."""

from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.converting import Framer, InOrder, Resampler, framing_of, picked
from tidegate.runtime.live.sources.source import Block
from tidegate.runtime.load import load
from tools.live import frames, small_model, with_gaps
from tools.onnx_files import write_ids

SINE = np.sin(np.arange(48_000) * 0.02).astype(np.float32)[:, None]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=20))
def test_each_row_is_given_once_and_in_order(sent: list[tuple[int, int]]) -> None:
    x, order = frames(80, 1), InOrder()

    found = [block for at, size in sent if (block := order.take(Block(at, x[at : at + size])))]

    places = [block.at + i for block in found for i in range(len(block.rows))]
    assert places == sorted(set(places))
    assert all(np.array_equal(block.rows, x[block.at : block.at + len(block.rows)]) for block in found)
    assert order.repeated == sum(size for _, size in sent) - len(places)


def test_one_number_far_ahead_is_left_out_and_two_that_agree_are_a_gap() -> None:
    order, far, rows = InOrder(), 2**63, frames(4, 1)
    sent = [0, far, 4, far, far + 4]
    found = [order.take(Block(at, rows)) for at in sent]
    assert [block and block.at for block in found] == [0, None, 4, None, far + 4]
    assert order.repeated == 8


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), st.data())
def test_a_framer_gives_each_whole_frame_and_no_other(rows: int, chunk: int, size: int, data: st.DataObject) -> None:
    x = frames(97, 2)
    start = data.draw(st.integers(0, 90))
    lost = [(start, start + data.draw(st.integers(1, 20)))]
    framer = Framer(rows, chunk)

    found = [made for block in with_gaps(x, lost, size) for made in framer.take(block)]
    found += list(framer.finish())

    kept = [f for f in range(97 // rows) if not any(f * rows < end and (f + 1) * rows > at for at, end in lost)]
    assert [block.at + i for block in found for i in range(len(block.rows))] == kept
    for block in found:
        wanted = x[block.at * rows : (block.at + len(block.rows)) * rows].reshape(len(block.rows), -1)
        assert np.array_equal(block.rows, wanted)
        assert len(block.rows) <= chunk


@pytest.mark.parametrize("size", [1, 160, 4999])
def test_a_resampled_signal_is_that_of_soxr_however_it_is_cut(size: int) -> None:
    resampler = Resampler(48_000, 16_000, 1)

    found = [made for block in with_gaps(SINE[:9000], [], size) for made in resampler.take(block)]
    found += list(resampler.finish())

    rows = np.concatenate([block.rows for block in found])[:, 0]
    assert [block.at for block in found] == [0, *np.cumsum([len(block.rows) for block in found])[:-1]]
    assert abs(len(rows) - 3000) <= 1
    assert np.abs(rows[:3000] - soxr.resample(SINE[:9000, 0], 48_000, 16_000)[: len(rows)]).max() < 1e-5


def test_a_gap_stays_a_gap_at_its_place_in_the_other_rate() -> None:
    resampler = Resampler(48_000, 16_000, 1)

    found = [made for block in with_gaps(SINE, [(12_000, 30_000)], 100) for made in resampler.take(block)]
    found += list(resampler.finish())

    place = np.concatenate([block.at + np.arange(len(block.rows)) for block in found])
    rows = np.concatenate([block.rows for block in found])[:, 0]
    assert (place < 4000).sum() == pytest.approx(4000, abs=1)
    assert not ((place >= 4001) & (place < 10_000)).any()
    inside = (np.abs(place - 4000) > 100) & (np.abs(place - 10_000) > 100) & (place > 100) & (place < 15_900)
    assert np.abs(rows - np.sin(place * 0.06))[inside].max() < 1e-4


def test_rows_are_samples_or_frames_by_their_values() -> None:
    audio = small_model(sample_rate=16_000, hop=4, features=4)

    assert framing_of(audio, 1, "x").rows == 4
    assert framing_of(audio, 1, "x").rate == 16_000
    assert framing_of(audio, 4, "x").rows == 1
    assert framing_of(audio, 4, "x").rate == 4_000
    message = (
        "x: has 2 values in a row, the model takes frames of 4: give rows of 4 features, one every 4 samples; or "
        "pick channels; or export the model with its front end inside, so that it takes samples"
    )
    with pytest.raises(ChunkError, match=message):
        framing_of(audio, 2, "x")
    assert framing_of(small_model(sample_rate=16_000, hop=2, features=4), 2, "x").rows == 2  # takes the samples


def test_a_model_of_ids_is_refused(tmp_path: Path) -> None:
    write_ids(tmp_path / "ids.onnx")

    with pytest.raises(ChunkError, match=r"x: the model reads token ids, and a live .*; use `tidegate run`"):
        framing_of(load(tmp_path / "ids.onnx"), 1, "x")


def test_channels_are_picked_in_any_order() -> None:
    x = frames(5, 4)

    assert np.array_equal(picked(x, (3, 1), "x"), x[:, [3, 1]])
    assert picked(x, (), "x") is x
    with pytest.raises(ChunkError, match="x: has 4 channels, counted from 0; there is no channel 4"):
        picked(x, (4,), "x")
