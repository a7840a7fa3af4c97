"""Snapshots on onnxruntime: what is packed is unpacked, and any other bytes are refused by the field."""

import struct

import numpy as np
import pytest
from tidegate.runtime.backends.onnxruntime_snapshot import (
    HASHED_FROM,
    HEADER,
    MOST_COUNTED,
    Snapshot,
    hash_of,
    pack,
    unpack,
)
from tidegate.runtime.errors import SnapshotError

MODEL = hash_of(b"the model")
STATE = {"h": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "c": np.full((2, 1), -1.5, np.float32)}
SNAPSHOT = Snapshot(STATE, 7, 3)


def shapes(frames: int, *, finished: bool) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state with one waiting value per frame of an unfinished stream."""
    waiting = {"waiting": (0 if finished else frames,)} if frames != 7 else {}
    return {name: values.shape for name, values in STATE.items()} | waiting


def sealed(data: bytes) -> bytes:
    return data[:16] + hash_of(data[HASHED_FROM:]) + data[HASHED_FROM:]


def test_a_snapshot_is_unpacked_as_it_was_packed() -> None:
    found = unpack(pack(SNAPSHOT, MODEL), MODEL, shapes)
    assert (found.frames, found.refused, found.finished) == (7, 3, False)
    for name, values in STATE.items():
        np.testing.assert_array_equal(found.state[name], values, strict=True)


def test_the_shapes_depend_on_the_frames_and_on_the_end() -> None:
    state = STATE | {"waiting": np.ones(5, np.float32)}
    assert unpack(pack(Snapshot(state, 5, 0), MODEL), MODEL, shapes).state["waiting"].shape == (5,)
    with pytest.raises(SnapshotError, match="size is"):
        unpack(pack(Snapshot(state, 5, 0, finished=True), MODEL), MODEL, shapes)


def test_every_changed_bit_and_every_cut_is_refused() -> None:
    data = pack(SNAPSHOT, MODEL)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(SnapshotError, match="stream unchanged"):
            unpack(bytes(changed), MODEL, shapes)
        with pytest.raises(SnapshotError, match="stream unchanged"):
            unpack(data[:place], MODEL, shapes)


def test_a_snapshot_of_another_model_is_named_as_such() -> None:
    with pytest.raises(SnapshotError, match=r"snapshot: model is .*; it was taken of another model, restore it there"):
        unpack(pack(SNAPSHOT, hash_of(b"another")), MODEL, shapes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**65])
def test_a_state_that_no_stream_has_is_refused(value: float) -> None:
    data = bytearray(pack(SNAPSHOT, MODEL))
    data[HEADER.size : HEADER.size + 4] = np.float32(value).tobytes()
    with pytest.raises(SnapshotError, match=r"state holds .*, wanted finite values up to 2\^64; stream unchanged"):
        unpack(sealed(bytes(data)), MODEL, shapes)


@pytest.mark.parametrize("frames", [2**32, 2**62, 2**63, 2**64 - 1])
def test_row_18_snapshot_that_says_many_frames_takes_no_memory(frames: int) -> None:
    with pytest.raises(SnapshotError, match=r"snapshot: size is \d+, wanted \d+; it is damaged"):
        unpack(pack(Snapshot(STATE, frames, 0), MODEL), MODEL, shapes)


def test_more_frames_than_a_stream_may_have_are_refused() -> None:
    state = STATE | {"waiting": np.ones(9, np.float32)}
    data = pack(Snapshot(state, 9, 0), MODEL)
    assert unpack(data, MODEL, shapes, 9).frames == 9
    with pytest.raises(SnapshotError, match="snapshot: frames is 9, wanted 8; it is damaged"):
        unpack(data, MODEL, shapes, 8)


def refused(data: bytes, said: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        unpack(data, MODEL, shapes)
    assert str(caught.value) == f"snapshot: {said}; stream unchanged"


def with_field(at: int, kind: str, value: object) -> bytes:
    """Return a snapshot with another value in its header, and the hash of that."""
    data = bytearray(pack(SNAPSHOT, MODEL))
    struct.pack_into(kind, data, at, value)
    return sealed(bytes(data))


def test_each_field_is_refused_by_its_name_and_with_a_way_out() -> None:
    data, again = pack(SNAPSHOT, MODEL), "it is damaged, take it again"
    assert (len(data), HEADER.size) == (144, 112)
    refused(data[:50], f"size is 50, wanted 144; {again}")
    refused(data[:-1], f"size is 143, wanted 144; {again}")
    refused(data + b"x", f"size is 145, wanted 144; {again}")
    refused(with_field(0, "<B", 0), rf"magic is b'\x00IDESNAP', wanted b'TIDESNAP'; {again}")
    refused(with_field(8, "<I", 3), "version is 3, wanted 2; it is of another version of the format, take it again")
    refused(with_field(12, "<I", 1), "backend is 1, wanted 2; it was taken on another backend, restore it there")
    refused(with_field(48, "<Q", 143), f"size is 144, wanted 143; {again}")
    for finished in (2, 3, 2**63):
        refused(with_field(104, "<Q", finished), f"finished is 2, wanted 1; {again}")
    wrong = bytearray(data)
    wrong[16:48] = bytes(32)
    refused(bytes(wrong), f"hash is '{'0' * 64}', wanted '{data[16:48].hex()}'; {again}")


def test_a_size_that_is_wrong_for_the_state_is_refused() -> None:
    other = pack(Snapshot(STATE, 5, 0), MODEL)  # five frames wait, by the header
    refused(other, "size is 144, wanted 164; it is damaged, take it again")
    refused(b"", "size is 0, wanted 144; it is damaged, take it again")


def test_counters_and_the_end_come_back_up_to_their_limits() -> None:
    found = unpack(pack(Snapshot(STATE, 7, 2**64 - 1, finished=True), MODEL), MODEL, shapes)
    assert (found.frames, found.refused, found.finished) == (7, 2**64 - 1, True)
    assert MOST_COUNTED == 2**64 - 1
    assert [*found.state] == ["h", "c"]
    state = STATE | {"c": np.array([[2.0**64], [-(2.0**64)]], np.float32)}
    np.testing.assert_array_equal(unpack(pack(Snapshot(state, 7, 0), MODEL), MODEL, shapes).state["c"], state["c"])


def test_a_stream_without_state_has_only_a_header() -> None:
    data = pack(Snapshot({}, 1, 2), MODEL)
    assert len(data) == HEADER.size
    assert unpack(data, MODEL, lambda *_, **__: {}) == Snapshot({}, 1, 2)
