"""Snapshots on onnxruntime: what is packed is unpacked, and any other bytes are refused by the field."""

import numpy as np
import pytest
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.onnxruntime_snapshot import HASHED_FROM, HEADER, Snapshot, hash_of, pack, unpack
from tidegate.runtime.errors import SnapshotError

MODEL = hash_of(b"the model")
STATE = {"h": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "c": np.full((2, 1), -1.5, np.float32)}
SNAPSHOT = Snapshot(STATE, 7, 3)


def initial(frames: int, *, finished: bool) -> dict[str, Array]:
    """Return a state with one waiting value per frame of an unfinished stream."""
    waiting = {"waiting": np.zeros(0 if finished else frames, np.float32)} if frames != 7 else {}
    return {name: np.zeros_like(values) for name, values in STATE.items()} | waiting


def sealed(data: bytes) -> bytes:
    return data[:16] + hash_of(data[HASHED_FROM:]) + data[HASHED_FROM:]


def test_a_snapshot_is_unpacked_as_it_was_packed() -> None:
    found = unpack(pack(SNAPSHOT, MODEL), MODEL, initial)
    assert (found.frames, found.refused, found.finished) == (7, 3, False)
    for name, values in STATE.items():
        np.testing.assert_array_equal(found.state[name], values, strict=True)


def test_the_shapes_depend_on_the_frames_and_on_the_end() -> None:
    state = STATE | {"waiting": np.ones(5, np.float32)}
    assert unpack(pack(Snapshot(state, 5, 0), MODEL), MODEL, initial).state["waiting"].shape == (5,)
    with pytest.raises(SnapshotError, match="size is"):
        unpack(pack(Snapshot(state, 5, 0, finished=True), MODEL), MODEL, initial)


def test_every_changed_bit_and_every_cut_is_refused() -> None:
    data = pack(SNAPSHOT, MODEL)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(SnapshotError, match="stream unchanged"):
            unpack(bytes(changed), MODEL, initial)
        with pytest.raises(SnapshotError, match="stream unchanged"):
            unpack(data[:place], MODEL, initial)


def test_a_snapshot_of_another_model_is_named_as_such() -> None:
    with pytest.raises(SnapshotError, match=r"snapshot: model is .*; it was taken of another model, restore it there"):
        unpack(pack(SNAPSHOT, hash_of(b"another")), MODEL, initial)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**65])
def test_a_state_that_no_stream_has_is_refused(value: float) -> None:
    data = bytearray(pack(SNAPSHOT, MODEL))
    data[HEADER.size : HEADER.size + 4] = np.float32(value).tobytes()
    with pytest.raises(SnapshotError, match=r"state holds .*, wanted finite values up to 2\^64; stream unchanged"):
        unpack(sealed(bytes(data)), MODEL, initial)
