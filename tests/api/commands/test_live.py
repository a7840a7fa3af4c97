"""`tidegate live`: lines of JSON from files, pipes and sockets, and one clear line about what is wrong."""

import json
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.commands._live_answers import _destination
from tidegate.runtime.errors import ChunkError
from tools.commands import SIGNAL, Command, assert_refused, assert_wrong_usage
from tools.onnx_files import write_ids


def answers_of(text: str) -> tuple[np.ndarray, dict[str, object]]:
    """Return the answers in lines of JSON, and the last line."""
    *lines, last = map(json.loads, text.splitlines())
    return np.concatenate([line["answers"]["y"] for line in lines]).astype(np.float32), last


WANTED = ["m.int8.onnx", "m.tide"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("model", WANTED)
@pytest.mark.parametrize("chunk", [1, 6])
def test_a_file_gives_the_answers_of_the_library(model: str, chunk: int, tide: Command) -> None:
    outcome = tide("live", model, "x.npy", "--chunk", chunk)

    found, last = answers_of(outcome.out)
    assert (outcome.status, outcome.err) == (0, "")
    assert np.array_equal(found, tidegate.load(model).stream().push(SIGNAL))
    assert last["counters"]["answered"] == last["counters"]["next"] == len(SIGNAL)  # type: ignore[index]


@pytest.mark.usefixtures("folder")
def test_a_pipe_of_raw_numbers_is_answered_and_its_half_row_is_told() -> None:
    command = [sys.executable, "-m", "tidegate", "live", "m.tide", "-", "--format", "f32le", "--channels", "3"]

    done = subprocess.run(command, input=SIGNAL.tobytes() + b"\1\2", capture_output=True, check=True)

    found, last = answers_of(done.stdout.decode())
    assert np.array_equal(found, tidegate.load("m.tide").stream().push(SIGNAL))
    assert done.stderr == b"tidegate: standard input: ended within a row: 2 of 12 bytes are left out\n"
    assert last["notices"] == {"half a row": 1}


@pytest.mark.usefixtures("folder")
def test_answers_go_to_a_socket(tide: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        received: list[str] = []

        def take() -> None:
            with server.accept()[0] as peer, peer.makefile() as file:
                received.append(file.read())

        thread = threading.Thread(target=take)
        thread.start()
        outcome = tide("live", "m.tide", "x.npy", "--to", f"tcp://127.0.0.1:{server.getsockname()[1]}")
        thread.join()

    assert (outcome.status, outcome.out) == (0, "")
    found, _ = answers_of(received[0])
    assert np.array_equal(found, tidegate.load("m.tide").stream().push(SIGNAL))


@pytest.mark.usefixtures("bad")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wide.npy"], "wide.npy: has 7 values in a row, the model takes frames of 3"),
        (["ragged.csv"], "ragged.csv, line 2: 2 values, wanted 3"),
        (["nothing.csv"], "nothing.csv: No such file"),
        (["ftp://a"], "ftp:// is no kind of source"),
        (["x.npy", "--late", "oldest"], "nothing is ever late; pace it, or wait"),
        (["x.npy", "--format", "s9"], "format 's9' is unknown"),
        (["x.npy", "--to", "file"], "--to is 'file', wanted tcp://HOST:PORT"),
    ],
)
def test_what_cannot_be_is_one_clear_line(arguments: list[str], message: str, tide: Command) -> None:
    outcome = tide("live", "m.tide", *arguments)

    assert_refused(replace(outcome, out=""), message)  # of a text the lines before are answered


@pytest.mark.usefixtures("folder")
def test_ids_run_in_place_of_a_live_stream_as_the_message_says(tide: Command) -> None:
    write_ids(Path("ids.onnx"))
    np.save("ids.npy", np.arange(9))
    outcome = tide("live", "ids.onnx", "ids.npy")
    assert_refused(outcome, "the model reads token ids, and a live source gives numbers; use `tidegate run`")
    assert tide("run", "ids.onnx", "ids.npy").status == 0


@pytest.mark.usefixtures("folder")
def test_without_a_standard_output_answers_go_to_a_socket_as_the_message_says() -> None:
    with pytest.MonkeyPatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        with pytest.raises(ChunkError, match="it is closed; give --to tcp://HOST:PORT"), _destination(None):
            pass
    with socket.create_server(("127.0.0.1", 0)) as server:
        with _destination(f"tcp://127.0.0.1:{server.getsockname()[1]}") as send:
            send("{}")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(9) == b"{}\n"


@pytest.mark.usefixtures("folder")
def test_wrong_usage_has_status_2(tide: Command) -> None:
    assert_wrong_usage(tide("live", "m.tide", "x.npy", "--chunk", "0"), "--chunk")
    assert_wrong_usage(tide("live", "m.tide", "x.npy", "--pick", "a"), "--pick is 'a', wanted numbers from 0")


def test_a_value_that_is_not_finite_is_a_gap_and_the_answers_go_on(bad: Path, tide: Command) -> None:
    outcome = tide("live", "m.tide", bad / "nan.npy", "--gap", "hold")

    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.status == 0
    assert [(line["first"], line["lost"], line["policy"]) for line in lines[:-1] if line["lost"]] == [(14, 1, "hold")]
    assert lines[-1]["counters"]["refused"] == 1


@pytest.mark.usefixtures("folder")
def test_a_cheaper_model_is_loaded_before_the_stream_starts(tide: Command) -> None:
    assert_refused(tide("live", "m.tide", "x.npy", "--degrade", "nothing.tide"), "nothing.tide: no such file")
    assert tide("live", "m.tide", "x.npy", "--degrade", "m.int8.onnx").status == 0


@pytest.mark.usefixtures("folder")
def test_health_is_learned_and_watched(tide: Command) -> None:
    rng = np.random.default_rng(0)
    np.save("healthy.npy", rng.normal(0, 1, (4000, 3)).astype(np.float32))
    np.save("loud.npy", rng.normal(0, 20, (4000, 3)).astype(np.float32))

    assert tide("live", "m.tide", "healthy.npy", "--learn-health", "p.json").status == 0
    assert tide("live", "m.tide", "healthy.npy", "--watch-health", "p.json").err == ""
    loud = tide("live", "m.tide", "loud.npy", "--watch-health", "p.json")

    assert loud.status == 0
    assert "tidegate: health: loudness of the inputs is " in loud.err
    Path("odd.json").write_text("{}")
    assert_refused(tide("live", "m.tide", "x.npy", "--watch-health", "odd.json"), "odd.json: not a profile of health")
    both = tide("live", "m.tide", "healthy.npy", "--watch-health", "p.json", "--learn-health", "q.json")
    assert_wrong_usage(both, "--learn-health has no effect with --watch-health; learn first, then watch")


@pytest.mark.usefixtures("folder")
def test_labels_without_a_picture_are_wrong_usage(tide: Command) -> None:
    assert_wrong_usage(tide("live", "m.tide", "x.npy", "--labels", "a,b"), "--labels has no effect")


@pytest.mark.usefixtures("folder")
def test_a_file_cannot_be_opened_again(tide: Command) -> None:
    assert_refused(tide("live", "m.tide", "x.npy", "--reopen", "3s"), "x.npy: cannot be opened again")


@pytest.mark.usefixtures("folder")
def test_an_interrupt_ends_an_endless_source_with_its_counters_and_its_profile() -> None:
    """The first datagram may come before the command listens: it is sent until there is an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"udp://:{port}", "--format", "f32le", "--channels", "3", "--chunk", "20", "--learn-health", "p.json"]
    command = [sys.executable, "-m", "tidegate", "live", "m.tide", *options, "--queue", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            while not select.select([process.stdout], [], [], 0.1)[0]:
                peer.sendto(np.tile(SIGNAL, (6, 1)).tobytes(), ("127.0.0.1", port))
            lines = [process.stdout.readline() for _ in range(6)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()

    assert (process.returncode, err) == (130, "")
    assert json.loads(lines[5])["first"] == 100
    assert json.loads(out.splitlines()[-1])["counters"]["answered"] >= 120
    assert "norm of" in Path("p.json").read_text()
