"""TCP and UDP with a real peer on loopback."""

import socket
import struct
import threading
from collections.abc import Callable

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.live import live
from tidegate.runtime.live.sources.pcm import Form
from tidegate.runtime.live.sources.sockets import Tcp, Udp, address
from tools.live import frames, small_model

MODEL = small_model()
X = frames(100)
RAW = Form("f32le", 3)


def started(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_peer_that_connects_is_answered_however_its_bytes_are_cut(size: int) -> None:
    source = Tcp("", 0, RAW, listen=True)

    def send() -> None:
        data = X.tobytes()
        with socket.create_connection(("127.0.0.1", source.port)) as peer:
            for at in range(0, len(data), size):
                peer.sendall(data[at : at + size])

    peer = started(send)
    with live(MODEL, source, chunk=4) as running:
        found = np.concatenate([answer.values for answer in running])
    peer.join()

    assert np.array_equal(found, MODEL.stream().push(X))


def test_a_chunk_in_many_packets_is_one_block_and_the_rest_comes_at_the_end() -> None:
    source = Tcp("", 0, RAW, listen=True)

    def send() -> None:
        with socket.create_connection(("127.0.0.1", source.port)) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for row in X[:25]:
                peer.sendall(row.tobytes())

    peer = started(send)
    blocks = list(source.blocks(10))
    peer.join()
    source.close()

    assert [(block.at, len(block.rows)) for block in blocks] == [(0, 10), (10, 10), (20, 5)]
    assert np.array_equal(np.concatenate([block.rows for block in blocks]), X[:25])


def test_it_connects_to_a_peer_and_reads_lines() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def send() -> None:
            with server.accept()[0] as peer:
                peer.sendall(b"half a li\n")
                for row in X.tolist():
                    peer.sendall(f"{row[0]!r} {row[1]!r} {row[2]!r}\n".encode())

        peer = started(send)
        notes: list[str] = []
        with live(MODEL, f"tcp://127.0.0.1:{port}", note=lambda kind, _: notes.append(kind)) as running:
            found = list(running)
        peer.join()

    stream = MODEL.stream()
    assert np.array_equal(np.concatenate([answer.values for answer in found]), stream.push(X))
    assert notes == []  # a first line without numbers is a line of names


def test_nobody_who_answers_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(OSError, match=f"tcp://127.0.0.1:{port}: nobody answers there"):
        list(live(MODEL, f"tcp://127.0.0.1:{port}"))


def test_datagrams_with_numbers_tell_what_was_lost_and_what_came_twice() -> None:
    source = Udp("", 0, RAW, numbered=True)
    notes: list[str] = []
    source._note = lambda kind, _: notes.append(kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(("127.0.0.1", source.port))
        for at in (0, 10, 10, 0, 40, 30, 50):
            peer.send(struct.pack("<Q", at) + X[at : at + 10].tobytes())
        peer.send(b"short")
        peer.send(b"")

        running = live(MODEL, source, chunk=10, late="oldest", gap="zeros", queue=1000)
        found = list(running)
    running.close()

    assert [(answer.first, answer.lost) for answer in found] == [(0, 0), (10, 0), (40, 20), (50, 0)]
    assert running.counters.repeated == 30
    assert notes == ["a datagram without a number"]


def test_plain_datagrams_are_rows_one_after_another() -> None:
    source = Udp("127.0.0.1", 0, Form())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(("127.0.0.1", source.port))
        peer.send(b"1,2,3\n4,5,6\n")
        peer.send(b"7,8,9")
        peer.send(b"")
        found = [(block.at, block.rows.tolist()) for block in source.blocks(1)]
    source.close()

    assert found == [(0, [[1, 2, 3]]), (1, [[4, 5, 6]]), (2, [[7, 8, 9]])]


def test_close_wakes_a_thread_that_waits_for_a_peer() -> None:
    for source in (Tcp("", 0, RAW, listen=True), Udp("", 0, RAW)):
        running = live(MODEL, source)
        running.close()
        assert not running._feed._thread.is_alive()  # type: ignore[attr-defined]


def test_an_address_has_a_port() -> None:
    assert address("[::1]:80", "x") == ("::1", 80)
    for text in ("host", "host:", "host:99999", "host:x"):
        with pytest.raises(ChunkError, match=r"wanted a host and a port, e.g. tcp://127.0.0.1:9000"):
            address(text, "x")
