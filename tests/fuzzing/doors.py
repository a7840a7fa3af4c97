"""The doors in Python that take bytes of strangers: what each is started from, how its input changes, what it does.

A door may refuse its input with an error of tidegate's own, or take it, in the time that docs/security.md states.
Anything else is a finding. `campaign.py` tries many inputs under Atheris, or by their numbers.
"""

import io
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnx
from fuzzing import starts
from fuzzing.mutating import OUTER, Random, bytes_changed, json_text_changed, pick, protobuf_changed
from fuzzing.serving import answer_grpc, answer_http, answer_websocket, read_answer
from tidegate.runtime.contract import Contract
from tidegate.runtime.errors import TidegateError
from tidegate.runtime.live.reading.arrays import array_of, arrays_of, recording_of
from tidegate.runtime.live.reading.text import text_chunks
from tidegate.runtime.load import load
from tidegate.runtime.plan.signature import check
from tidegate.runtime.plan.text import read_text
from tidegate.runtime.serving.client.form import Form
from tidegate.runtime.serving.doors.oip_messages import message
from tidegate.runtime.serving.requests import Refused
from tidegate.runtime.serving.stores.store import Record, StoreError

FRAMES = 3
REFUSALS = (TidegateError, Refused, StoreError)
SECONDS, SECONDS_OF_A_MB = 0.1, 0.01  # of the processor, to load a file
FROM_START = 0.5  # of the changes begin at a whole input, or most would be of what was refused before
MEMORY = Path("/dev/shm")  # noqa: S108  the folders in it have names of their own
CORPUS = Path(__file__).with_name("corpus")
TURNS = 3  # a slow case is tried so often, for the machine may be busy

Change = Callable[[bytes, Random], bytes]


class Door(NamedTuple):
    """A door.

    Attributes:
        starts: Makes the inputs that are changed.
        change: Changes one.
        enter: Gives the bytes to what reads them.
        seconds: How long that may take for a small input, in seconds of the processor.
    """

    starts: Callable[[], Sequence[bytes]]
    change: Change
    enter: Callable[[bytes], object]
    seconds: float = SECONDS


# ---- what is done with the bytes ----


def stream_file(data: bytes) -> None:
    """Load a file, and push frames."""
    model = load(data)
    stream = model.stream()
    shape = (FRAMES, *model.frame_shape) if model.frame_shape else (FRAMES,)
    if np.prod(shape, dtype=float) < 2**20:
        stream.push(np.zeros(shape, np.float32 if model.frame_shape else np.int64))
        stream.restore(stream.snapshot())


@contextmanager
def written(data: bytes, name: str) -> Iterator[Path]:
    """Give a file with the bytes, in memory if there is such a place."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        (Path(folder) / name).write_bytes(data)
        yield Path(folder) / name


def lift_file(data: bytes) -> None:
    """Lift a file."""
    from tidegate.export import lift

    with written(data, "m.onnx") as source:
        lift(source, source.with_name("out.onnx"))


def linear() -> Any:  # noqa: ANN401  torch is imported only for this door
    """Return a module whose weights are read."""
    import torch

    return torch.nn.Linear(3, 2)


def read_weights(data: bytes) -> None:
    """Read the weights of a module."""
    from tidegate.export.factory import load_module

    with written(data, "w.safetensors") as source:
        load_module("fuzzing.doors:linear", source)


def read_lines(data: bytes) -> None:
    """Read frames in text."""
    for _ in text_chunks(io.BytesIO(data), "lines", 4):
        pass


def read_archive(data: bytes) -> None:
    """Read the arrays of an archive."""
    for _ in arrays_of(data, "x.npz"):
        pass


# ---- how an input changes ----


def conversation_changed(data: bytes, random: Random) -> bytes:
    """Change a message of a conversation, or which there are."""
    sent, kind = starts.messages(data), random.random()
    if kind < OUTER or not sent:
        return bytes_changed(data, random)
    at = int(random.integers(len(sent)))
    if kind < 0.25:
        del sent[at]
    elif kind < 0.4:
        sent.insert(int(random.integers(len(sent) + 1)), pick(random, sent))
    elif kind < 0.5:
        sent = [sent[place] for place in random.permutation(len(sent))]
    else:
        sent[at] = bytes_changed(sent[at], random)
    return starts.conversation(sent)


def call_changed(data: bytes, random: Random) -> bytes:
    """Change the first line of a call, or its JSON, or its bytes."""
    if random.random() < 2 * OUTER:
        return bytes_changed(data, random)
    head, _, body = data.partition(b"\n")
    return head + b"\n" + json_text_changed(body, random)


DOORS = {
    "onnx": Door(starts.streaming_files, partial(protobuf_changed, onnx.ModelProto), stream_file),
    "lift": Door(starts.foreign_files, partial(protobuf_changed, onnx.ModelProto), lift_file, 60.0),  # it proves
    "contract": Door(
        starts.contracts, json_text_changed, lambda data: Contract.from_json(data.decode(errors="replace"))
    ),
    "text": Door(starts.texts, json_text_changed, read_text),
    "signature": Door(starts.signatures, bytes_changed, lambda data: check(b"m", data, starts.key().public_key(), 5)),
    "safetensors": Door(starts.weights, bytes_changed, read_weights),
    "npy": Door(starts.arrays, bytes_changed, lambda data: array_of(data, "x.npy")),
    "npz": Door(starts.archives, bytes_changed, read_archive),
    "wav": Door(starts.recordings, bytes_changed, lambda data: recording_of(data, "x.wav")),
    "lines": Door(starts.lines, bytes_changed, read_lines),
    "websocket": Door(starts.conversations, conversation_changed, answer_websocket),
    "http": Door(starts.calls, call_changed, answer_http),
    "grpc": Door(starts.inferences, partial(protobuf_changed, message("ModelInferRequest")), answer_grpc),
    "hello": Door(starts.hellos, json_text_changed, Form.from_json),
    "reply": Door(starts.replies, bytes_changed, read_answer),
    "record": Door(starts.records, bytes_changed, Record.from_bytes),
}


def case(name: str, number: int) -> bytes:
    """Return the input of a case; the same for the same number."""
    random = np.random.default_rng([zlib.crc32(name.encode()), number])
    begins = DOORS[name].starts() if random.random() < FROM_START else corpus(name) or DOORS[name].starts()
    return DOORS[name].change(pick(random, begins), random)


def corpus_of(name: str) -> Path:
    """Return the folder of the inputs that reached new lines of a door."""
    return CORPUS / name


@cache
def corpus(name: str) -> list[bytes]:
    """Return the corpus of a door."""
    return [path.read_bytes() for path in sorted(corpus_of(name).glob("*"))]


def entered(name: str, data: bytes) -> str:
    """Return what a door did with bytes: `taken`, `refused`, or what is a finding."""
    allowed = max(DOORS[name].seconds, SECONDS_OF_A_MB * len(data) / 2**20)
    for _ in range(TURNS):
        before = time.process_time()
        said = _said(name, data)
        took = time.process_time() - before
        if took <= allowed:
            return said
    return f"slow: {took:.2f} s of the processor, wanted at most {allowed:.2f}"


def _said(name: str, data: bytes) -> str:
    try:
        DOORS[name].enter(data)
    except REFUSALS:
        return "refused"
    except Exception as error:  # noqa: BLE001  each is a finding
        return f"{type(error).__name__}: {error}"[:300]
    return "taken"
