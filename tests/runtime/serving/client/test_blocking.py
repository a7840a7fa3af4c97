"""A stream on a server, without an event loop: the answers of a stream alone, over servers that stop."""

import signal as signals
import ssl
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError, ServerError
from tidegate.runtime.load import load
from tools.serving import alone, certificate, overflowing_plan, served, signal, small_plan

pytest.importorskip("picows")
pytest.importorskip("websockets")
from tidegate.client import Stream


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "m.tide").write_bytes(small_plan())
    return tmp_path / "m.tide"


def test_pushes_give_the_answers_of_a_stream_alone(plan: Path) -> None:
    (plan.parent / "two.tide").write_bytes(overflowing_plan())
    frames = signal(50)
    with served(plan, plan.parent / "two.tide", "--frames", 8) as (_, port):
        with Stream(f"ws://127.0.0.1:{port}/m") as stream:
            answers = np.concatenate([stream.push(frames[:20]), stream.push(frames[20:20]), stream.push(frames[20:])])
            assert answers.tobytes() == alone(frames)
            with pytest.raises(ChunkError, match=r"chunk is float32 \(50, 3\), wanted float32 \(frames, 6\)"):
                stream.push(frames[:, :3])
            stream.finish()
        with Stream(f"ws://127.0.0.1:{port}/two") as stream:
            found, wanted = stream.push(frames), load(overflowing_plan()).stream().push(frames)
            for name in ("y", "gain"):
                np.testing.assert_array_equal(found[name], wanted[name])
            with pytest.raises(ChunkError, match="chunk refused"):
                stream.push(frames * np.float32(1e30))


def test_a_server_that_is_stopped_hands_its_streams_to_the_next(plan: Path, tmp_path: Path) -> None:
    frames = signal(30)
    with (
        served(plan, "--store", tmp_path / "store") as (process, port),
        served(plan, "--store", tmp_path / "store") as (_, other),
    ):
        stream = Stream([f"ws://127.0.0.1:{port}/m", f"ws://127.0.0.1:{other}/m"])
        found = stream.push(frames[:10]).tobytes()
        process.send_signal(signals.SIGTERM)
        assert process.wait(60) == 0
        found += stream.push(frames[10:]).tobytes()
        stream.finish()

    assert found == alone(frames)


def test_a_server_that_is_not_there_is_an_error_after_the_patience() -> None:
    with pytest.raises(ServerError, match=r"no answer within 0.2 seconds from ws://127.0.0.1:9/m"):
        Stream("ws://127.0.0.1:9/m", patience=0.2).push(signal(1))


def test_a_door_that_refuses_is_an_error_with_its_status(plan: Path) -> None:
    with served(plan) as (_, port), pytest.raises(ServerError, match="HTTP 404"):
        Stream(f"ws://127.0.0.1:{port}/other", patience=5).push(signal(1))


def test_row_197_owners_are_known_by_their_tokens_and_reach_only_their_streams(plan: Path, tmp_path: Path) -> None:
    """Over TLS, with two owners that name their streams alike, one that is not known, and one that does not trust."""
    made, key = certificate(tmp_path)
    (tmp_path / "tokens").write_text("ann 0123456789abcdef\nbob fedcba9876543210\n")
    tls = ssl.create_default_context(cafile=made)
    frames, others = signal(20), signal(20, 2)
    with served(plan, "--tokens", tmp_path / "tokens", "--tls-cert", made, "--tls-key", key) as (_, port):
        address = f"wss://127.0.0.1:{port}/m"
        ann = Stream(address, name="s", token="0123456789abcdef", tls=tls)  # noqa: S106
        bob = Stream(address, name="s", token="fedcba9876543210", tls=tls)  # noqa: S106
        with ann, bob:
            found = [(ann.push(frames[at : at + 10]), bob.push(others[at : at + 10])) for at in (0, 10)]
        for stream in (
            Stream(address, token="unknown-unknown-unknown", tls=tls, patience=6),  # noqa: S106
            Stream(address, tls=tls, patience=6),
        ):
            with pytest.raises(ServerError, match="HTTP 401"):
                stream.push(frames)
        with pytest.raises(ServerError, match=r"is not trusted: .*certificate verify failed"):
            Stream(address, token="0123456789abcdef").push(frames)  # noqa: S106

    assert np.concatenate([one for one, _ in found]).tobytes() == alone(frames)
    assert np.concatenate([other for _, other in found]).tobytes() == alone(others)
