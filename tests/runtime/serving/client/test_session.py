"""What a client remembers of its stream: forms of frames and answers, and hostile servers."""

import json

import numpy as np
import pytest
from tidegate.runtime.errors import ServerError
from tidegate.runtime.serving import wire
from tidegate.runtime.serving.client.session import PLACE, Session
from tidegate.runtime.serving.requests import Reply
from tools.serving import HELLO


def greeted(**fields: object) -> Session:
    session = Session("s")
    session.greeted(json.dumps(HELLO | fields))
    return session


def test_a_long_chunk_goes_in_parts_and_its_answer_is_one() -> None:
    session = greeted()
    frames = np.arange(30, dtype=np.float32).reshape(10, 3)
    parts = session.parts(frames)
    assert [len(part) for part in parts] == [4, 4, 2]
    sent = [session.add(part) for part in parts]
    for place, one in enumerate(sent):
        one.answer = np.full((one.request.frames, 2), place, np.float32).tobytes()
    np.testing.assert_array_equal(session.joined(sent)[:, 0], [0] * 4 + [1] * 4 + [2] * 2)


def test_several_outputs_come_by_name_and_one_for_the_last_frame_is_the_last() -> None:
    outputs = [{"name": "y", "shape": [2], "timed": True}, {"name": "z", "shape": [1], "timed": False}]
    session = greeted(outputs=outputs)
    sent = [session.add(part) for part in session.parts(np.zeros((5, 3), np.float32))]
    sent[0].answer, sent[1].answer = np.arange(9, dtype=np.float32).tobytes(), np.arange(3, dtype=np.float32).tobytes()
    answer = session.joined(sent)
    assert answer["y"].shape == (5, 2)
    assert answer["z"] == [2.0]


def test_another_model_in_the_middle_of_a_stream_is_refused() -> None:
    session = greeted()
    with pytest.raises(ServerError, match="another model than the stream began with"):
        session.greeted(json.dumps(HELLO | {"outputs": [{"name": "z", "shape": [2], "timed": True}]}))


def test_hostile_replies_are_refused() -> None:
    session = greeted()
    sent = session.add(session.parts(np.zeros((4, 3), np.float32))[0])
    with pytest.raises(ServerError, match="cannot be read"):
        session.heard(b"junk", sent)
    with pytest.raises(ServerError, match="answers frame 9, wanted 0"):
        session.heard(wire.write_reply("s", Reply(9, 4)), sent)
    session.heard(wire.write_reply("s", Reply(0, 4, 2**63, b"short")), sent)
    with pytest.raises(ServerError, match="has 5 bytes, wanted more for output 'y'"):
        session.joined([sent])
    assert session.durable <= session.next


def test_an_answer_that_changes_is_an_error() -> None:
    session = greeted()
    sent = session.add(session.parts(np.zeros((4, 3), np.float32))[0])
    session.heard(wire.write_reply("s", Reply(0, 4, 0, b"x" * 32)), sent)
    with pytest.raises(ServerError, match="frame 0 was answered with other values than before"):
        session.heard(wire.write_reply("s", Reply(0, 4, 0, b"y" * 32)), sent)


def test_a_session_without_a_server_says_so() -> None:
    with pytest.raises(ServerError, match="no server has been reached yet; push a chunk first"):
        Session().end()
    session = greeted()
    session.parts(np.zeros((1, 3), np.float32))
    assert session.end().request.end


def test_a_connection_says_whose_it_is_and_where_its_stream_is_placed_without_its_name() -> None:
    said = Session("sensor-7").headers("token")
    assert said == Session("sensor-7").headers("token")
    assert said["Authorization"] == "Bearer token"
    assert "sensor" not in said[PLACE]
    assert Session("sensor-8").headers(None).keys() == {PLACE}
    assert Session("sensor-8").headers(None)[PLACE] != said[PLACE]
    assert Session("\u20ac").headers(None)[PLACE].isascii()
