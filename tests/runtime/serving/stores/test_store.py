"""Records of streams as bytes: read as written, and damaged ones refused."""

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.serving.held_stream import Kept
from tidegate.runtime.serving.stores.store import HASHES, HEAD, Record, StoreError

KEPT = st.builds(Kept, st.integers(0, 2**63), st.integers(0, 2**31), st.integers(0, 2**32 - 1), st.binary(max_size=20))


@given(st.integers(0, 2**63), st.booleans(), st.lists(KEPT, max_size=4), st.binary(max_size=50))
def test_a_record_is_read_as_written(position: int, ended: bool, kept: list[Kept], snapshot: bytes) -> None:
    record = Record(position, ended, deque(kept), snapshot)
    assert Record.from_bytes(record.to_bytes()) == record


@given(st.data())
def test_a_record_that_is_cut_off_or_damaged_is_refused_or_read_within_its_bytes(data: st.DataObject) -> None:
    whole = bytearray(Record(7, False, deque([Kept(1, 6, 5, b"answer")]), b"snapshot").to_bytes())
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        record = Record.from_bytes(cut)
    except StoreError:
        return
    assert len(record.to_bytes()) - len(cut) in (0, HASHES.size)  # the version before had no hashes


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "cut off"),
        (b"x" * 40, "begins with b'xxxxxxxx' and version"),
        (Record(0, False, deque([Kept(0, 1, 2, b"long")]), b"").to_bytes()[:-1], "ends within an answer of 4 bytes"),
    ],
)
def test_a_damaged_record_is_refused_by_name(data: bytes, text: str) -> None:
    with pytest.raises(StoreError, match=text):
        Record.from_bytes(data)


def test_a_record_of_the_version_before_is_read() -> None:
    """It had no hashes of the model: a server that is upgraded goes on with what is stored."""
    record = Record(7, False, deque([Kept(5, 2, 9, b"ab")]), b"snapshot", b"s" * 16, b"l" * 16)
    data = record.to_bytes()
    old = data[:8] + (1).to_bytes(4, "little") + data[12 : HEAD.size] + data[HEAD.size + HASHES.size :]
    assert Record.from_bytes(data) == record
    assert Record.from_bytes(old) == replace(record, source=bytes(16), layout=bytes(16))
