"""Several callers at the same time: threads that share a stream, and the child of a fork."""

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.arrays import Answer
from tidegate.runtime.backends.native import NativeModel, NativeStream
from tidegate.runtime.errors import BackendError, SnapshotError
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tools.random_layers import lstm
from tools.streams import contract_of

FRAMES = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)


def lstm_plan() -> bytes:
    """Return the plan of an LSTM 6 -> 5."""
    program = Program(6, (lstm(np.random.default_rng(0), 0, (6, 5), Reading.FRAME, 16),), (("y", 1),))
    return compile_program(program, contract_of(program))


CALLS: dict[str, Callable[[NativeStream], object]] = {
    "push": lambda stream: stream.push(np.ones((1, 64), np.float32)),
    "reset": lambda stream: stream.reset(),
    "snapshot": lambda stream: stream.snapshot(),
    "restore": lambda stream: stream.restore(b""),
    "fork": lambda stream: stream.fork(),
    "state": lambda stream: stream.states(),
    "frames": lambda stream: stream.frames,
    "refused": lambda stream: stream.refused,
}


@pytest.mark.parametrize("name", CALLS)
def test_row_34_second_caller_of_a_stream_gets_an_error_by_name(name: str) -> None:
    """While one thread pushes, every call from another thread is refused, and the answer of the first is right."""
    program = Program(64, (lstm(np.random.default_rng(0), 0, (64, 256), Reading.FRAME, 16),), (("y", 1),))
    model = NativeModel(compile_program(program, contract_of(program)), "scalar")
    stream, plain = model.stream(), model.stream()
    frames = np.ones((1000, 64), np.float32)
    answers: list[Answer] = []
    errors: set[str] = set()
    before = plain.snapshot()
    while not errors:
        stream.restore(before)
        thread = threading.Thread(target=lambda: answers.append(stream.push(frames)))
        thread.start()
        while thread.is_alive() and not errors:
            try:
                CALLS[name](stream)
            except BackendError as error:
                errors.add(str(error))
            except SnapshotError:
                pass
        thread.join()
    assert errors == {"stream is in use by another thread; give each thread a stream of its own"}
    np.testing.assert_array_equal(answers[-1], plain.push(frames))


def test_row_38_other_threads_run_while_a_push_runs() -> None:
    """Another thread sees the stream in use, which it cannot if the push holds the interpreter's lock to its end."""
    program = Program(64, (lstm(np.random.default_rng(0), 0, (64, 256), Reading.FRAME, 16),), (("y", 1),))
    stream = NativeModel(compile_program(program, contract_of(program)), "scalar").stream()
    seen = 0
    for _ in range(5):
        thread = threading.Thread(target=stream.push, args=(np.ones((1000, 64), np.float32),))
        thread.start()
        while thread.is_alive():
            try:
                stream.frames  # noqa: B018  it asks whether the stream is in use
            except BackendError:
                seen += 1
                gc.collect()  # a pause of Python, of which the push knows nothing
                break
        thread.join()
    assert seen
    assert stream.frames == 5000


def test_row_35_child_of_a_fork_goes_on_with_its_streams_or_opens_its_own(tmp_path: Path) -> None:
    """Parent and child continue from the same state, with the bits of a stream that never forked."""
    (tmp_path / "m.tide").write_bytes(lstm_plan())
    np.save(tmp_path / "x.npy", FRAMES)
    code = """
import os, sys, numpy as np, tidegate as tg
folder = sys.argv[1]
model, x = tg.load(folder + '/m.tide'), np.load(folder + '/x.npy')
stream = model.stream()
stream.push(x[:20])
child = os.fork()
name = 'parent' if child else 'child'
np.save(f'{folder}/{name}.npy', stream.push(x[20:]))
np.save(f'{folder}/{name}_new.npy', model.stream().push(x))
del stream, model
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    expected = NativeModel(lstm_plan()).stream().push(FRAMES)
    for name in ("parent", "child"):
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}_new.npy"), expected)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), np.asarray(expected)[20:])


BUSY_FORK = """
import os, sys, threading, numpy as np, tidegate as tg
model, x = tg.load(sys.argv[1]), np.load(sys.argv[2])
stream, plain, chunk = model.stream(), model.stream(), np.zeros((400_000, 6), np.float32)
wanted = plain.push(x)
answers, seen = [], set()
def in_child():
    try:
        stream.push(x)
        said = "took"
    except tg.BackendError as error:
        said = "busy" if "in use by another thread" in str(error) else str(error)
    new = model.stream()
    os._exit(0 if said == "busy" and np.array_equal(new.push(x), wanted) else 1 if said == "took" else 2)
while "busy" not in seen:
    thread = threading.Thread(target=lambda: answers.append(stream.push(chunk)))
    thread.start()
    child = os.fork()
    if child == 0:
        in_child()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 1), status
    seen.add("busy" if status == 0 else "took")
    thread.join()
assert stream.frames == len(chunk) * len(answers)
"""


def test_row_35_fork_while_another_thread_pushes_leaves_a_stream_that_is_refused_by_name(tmp_path: Path) -> None:
    """The thread does not live on in the child, so its stream stays in use there; the model and new streams work."""
    (tmp_path / "m.tide").write_bytes(lstm_plan())
    np.save(tmp_path / "x.npy", FRAMES)
    files = [tmp_path / "m.tide", tmp_path / "x.npy"]
    subprocess.run([sys.executable, "-c", BUSY_FORK, *files], check=True)


ENDING = """
import sys, threading, numpy as np, tidegate as tg
model, chunks, began = tg.load(sys.argv[1]), np.zeros((2, 2_000, 6), np.float32), threading.Event()
stream, group = model.stream(), model.streams(2)
calls = {"push": lambda: stream.push(chunks[0]), "group": lambda: group.push(chunks)}
def work():  # calls are short, so that one comes back while the interpreter ends
    began.set()
    while True:
        calls[sys.argv[2]]()
threading.Thread(target=work, daemon=True).start()
began.wait()
"""


@pytest.mark.parametrize("call", ["push", "group"])
def test_row_35_interpreter_ends_while_a_daemon_thread_is_in_a_push(tmp_path: Path, call: str) -> None:
    (tmp_path / "m.tide").write_bytes(lstm_plan())
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", ENDING, tmp_path / "m.tide", call], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
