"""What the doors are started from: small inputs of each form, which are whole.

What only one door needs is imported there: Atheris takes seconds to prepare all of tidegate.
"""

import io
import json
import struct
import tempfile
import wave
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tidegate.runtime.arrays import Floats
from tidegate.runtime.plan.signature import sign
from tidegate.runtime.serving.doors.oip_messages import message
from tidegate.runtime.serving.held_stream import Kept
from tidegate.runtime.serving.requests import Refused, Reply, Request, Why
from tidegate.runtime.serving.stores.store import Record
from tidegate.runtime.serving.wire import write_reply, write_request
from tools.serving import HELLO, signal, small_plan

SIZE = struct.Struct("<H")  # of a message in a conversation


# ---- models ----


@cache
def streaming_files() -> list[bytes]:
    """Return streaming files of each kind: float, quantized in several precisions, ids, operators."""
    from tidegate.benchmarks.nets import stacks
    from tidegate.quant import quantize
    from tools.onnx_files import write_ids, write_lstm

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [write_lstm(folder / "lstm.onnx"), write_ids(folder / "ids.onnx")]
        for cell in ("LSTM", "GRU", "RNN"):
            case = stacks.Case("small", 3, 4, 2, cell)
            stacks.save_model(stacks.random_layers(case), folder / f"{cell}.onnx", sample_rate=50)
            made.append(folder / f"{cell}.onnx")
        for precision in ("W8A16", "W4A8"):
            quantize(folder / "LSTM.onnx", folder / f"{precision}.onnx", precision=precision)
            made.append(folder / f"{precision}.onnx")
        found = [path.read_bytes() for path in made]
    return [*found, *operators()]


def operators() -> list[bytes]:
    """Return small streaming files of operators without layers."""
    from tools.float_graphs import graph, node

    ones = np.ones((1, 1, 6), np.float32)
    weight = np.ones((4, 6, 1), np.float32)
    chains = [
        [node("Add", "x k", "a"), node("Tanh", "a", "b"), node("Softmax", "b", axis=-1)],
        [node("Slice", "x from to along", "a"), node("Concat", "a x", axis=2)],
        [node("ReduceMean", "x", "a", axes=[2], keepdims=1), node("Sub", "x a")],
        [node("Transpose", "x", "a", perm=[1, 2, 0]), node("Conv", "a v", "b"),
         node("Transpose", "b", perm=[2, 0, 1])],
    ]  # fmt: skip
    constants = {"k": ones, "from": np.array([1]), "to": np.array([4]), "along": np.array([2]), "v": weight}
    graphs = [graph(nodes, 17, 0, **constants) for nodes in chains]
    return [made.model.SerializeToString() for made in graphs]


@cache
def foreign_files() -> list[bytes]:
    """Return third-party files that `lift` takes."""
    from tools.foreign_files import keras, one_frame, torch_zeros

    made = [keras(op) for op in ("LSTM", "GRU")] + [torch_zeros(op) for op in ("LSTM", "GRU", "RNN")] + [one_frame()]
    return [model.SerializeToString() for model in made]


@cache
def contracts() -> list[bytes]:
    """Return contracts."""
    found = []
    for data in streaming_files():
        metadata = {entry.key: entry.value for entry in onnx.ModelProto.FromString(data).metadata_props}
        found.append(metadata["tidegate.contract"].encode())
    return found


@cache
def texts() -> list[bytes]:
    """Return texts of plans."""
    fields = {"outputs": ["y"], "slots": [["s.h_in", 0], ["s.c_in", 0]], "shapes": [[2, 3]], "frame": [3]}
    return [json.dumps(fields | {"contract": contract.decode()}).encode() for contract in contracts()]


@cache
def signatures() -> list[bytes]:
    """Return signatures of one byte."""
    return [sign(b"m", key(), release) for release in (0, 7, 10**17)]


@cache
def key() -> Ed25519PrivateKey:
    """Return a private key."""
    return Ed25519PrivateKey.from_private_bytes(bytes(32))


@cache
def weights() -> list[bytes]:
    """Return files of weights by safetensors."""
    from safetensors.numpy import save

    tensors = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    return [save(tensors), save(tensors, {"format": "pt"}), save(halves), save({**tensors, "more": np.arange(5)})]


# ---- signals ----


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


@cache
def arrays() -> list[bytes]:
    """Return .npy files."""
    made = [np.arange(12).reshape(3, 4).astype(kind) for kind in ("f4", "f8", "i2", ">i4", "u1", "?")]
    return [_saved(partial(np.save, arr=one)) for one in (*made, np.asfortranarray(made[0]))]


@cache
def archives() -> list[bytes]:
    """Return .npz files."""
    first, second = np.zeros((3, 4), np.float32), np.arange(5)
    return [
        _saved(lambda file: np.savez(file, first=first, second=second)),
        _saved(lambda file: np.savez_compressed(file, first=first)),
    ]


@cache
def recordings() -> list[bytes]:
    """Return .wav files of one and two channels and several widths."""

    def write(file: io.BytesIO, channels: int, width: int) -> None:
        with wave.open(file, "wb") as made:
            made.setnchannels(channels)
            made.setsampwidth(width)
            made.setframerate(16000)
            made.writeframes(bytes(range(240)))

    sizes = [(1, 1), (1, 2), (2, 2), (1, 3), (2, 4)]
    return [_saved(partial(write, channels=channels, width=width)) for channels, width in sizes]


def lines() -> list[bytes]:
    """Return frames as text."""
    return [b"1,2,3\n4,5,6\n", b"0.5 1e3\n-1 nan\n", b"# a\na;b\n1,5;2\n", b'\xef\xbb\xbf"7"\n8\n']


# ---- what comes over a connection ----


def _nobody(_request: Request, _reply: Reply) -> None:
    """Take no reply."""


def messages(data: bytes) -> list[bytes]:
    """Return the messages of a conversation; the last one may be cut off."""
    found, at = [], 0
    while at < len(data):
        (size,) = SIZE.unpack_from(data.ljust(at + SIZE.size, b"\0"), at)
        found.append(data[at + SIZE.size : at + SIZE.size + size])
        at += SIZE.size + size
    return found


def conversation(sent: Sequence[bytes]) -> bytes:
    """Return messages as one input."""
    return b"".join(SIZE.pack(len(one)) + one for one in (one[: 2**16 - 1] for one in sent))


@cache
def conversations() -> list[bytes]:
    """Return what clients of the websocket door send: streams from start to end, questions, chunks again."""
    x = signal(8).tobytes()
    frame = len(x) // 8

    def chunk(name: str, at: int, frames: int, **more: bool) -> bytes:
        return write_request(
            Request("", name, _nobody, at, frames, x[at * frame : (at + frames) * frame], got=0, **more)
        )

    whole = [chunk("a", 0, 4, start=True), chunk("a", 4, 3), chunk("a", 7, 1, end=True)]
    again = [chunk("a", 0, 1, start=True), chunk("a", 0, 1, start=True), chunk("a", 1, 1), chunk("a", 1, 1)]
    two = [chunk("a", 0, 2, start=True), chunk("b", 0, 2, start=True), chunk("b", 2, 2), chunk("a", 2, 2, end=True)]
    asks = [chunk("a", 0, 2, start=True), write_request(Request("", "a", _nobody, ask=True)), chunk("a", 5, 1)]
    return [conversation(one) for one in (whole, again, two, asks)]


@cache
def calls() -> list[bytes]:
    """Return calls of the HTTP door: method, path and length of the JSON in the first line, then the body."""
    x: Floats = signal(2)
    one = {"name": "x", "datatype": "FP32", "shape": [*x.shape]}
    written, binary = one | {"data": x.tolist()}, one | {"parameters": {"binary_data_size": x.nbytes}}
    sequence = {"sequence_id": 7, "sequence_start": True, "sequence_end": False, "timeout": 10**6}
    infer = "POST /v2/models/small/infer"
    head = json.dumps({"inputs": [binary], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    return [
        f"{infer} -\n".encode() + json.dumps({"id": "1", "inputs": [written], "parameters": sequence}).encode(),
        f"{infer} {len(head)}\n".encode() + head + x.tobytes(),
        b"POST /v2/repository/index -\n" + json.dumps({"ready": True}).encode(),
        *(f"GET /v2{path} -\n".encode() for path in ("", "/models/small", "/models/stats", "/health/ready")),
    ]


@cache
def inferences() -> list[bytes]:
    """Return requests of the gRPC door."""
    found = []
    for raw in (True, False):
        made = message("ModelInferRequest")(model_name="small", id="1")
        made.parameters["sequence_id"].int64_param = 7
        made.parameters["sequence_start"].bool_param = True
        x = signal(2)
        made.inputs.add(name="x", datatype="FP32", shape=x.shape)
        made.outputs.add(name="y")
        if raw:
            made.raw_input_contents.append(x.tobytes())
        else:
            made.inputs[0].contents.fp32_contents.extend(x.reshape(-1))
        found.append(made.SerializeToString(deterministic=True))
    return found


def hellos() -> list[bytes]:
    """Return first messages of a server."""
    ids = HELLO | {"type": "int32", "shape": [], "outputs": [{"name": "y", "shape": [2], "timed": False}]}
    several = HELLO | {"signals": [{"name": "a", "shape": [1]}, {"name": "b", "shape": [2]}]}
    return [json.dumps(one).encode() for one in (HELLO, ids, several)]


def replies() -> list[bytes]:
    """Return replies of a server."""
    found = [Reply(0, 2, 0, bytes(16)), Reply(5, refused=Refused(Why.gap, "frames are missing")), Reply(3, 0, 2)]
    return [write_reply("a", reply) for reply in found]


@cache
def records() -> list[bytes]:
    """Return records of a store."""
    from collections import deque

    from tidegate.runtime.load import load

    stream = load(small_plan()).stream()
    stream.push(signal(3))
    kept = deque([Kept(0, 2, 5, bytes(24)), Kept(2, 1, 6, bytes(12))])
    found = [Record(3, False, deque(), stream.snapshot()), Record(3, False, kept, stream.snapshot(), b"a" * 16)]
    return [one.to_bytes() for one in (*found, Record(3, True, kept, b""))]
