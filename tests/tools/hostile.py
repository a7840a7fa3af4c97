"""Hostile files, and functions that write them byte by byte, because no library makes such files."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from tidegate.runtime.plan.writer import seal
from tools.onnx_files import write_lstm


def varint(value: int) -> bytes:
    """Return a number in protobuf's variable-length form."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    """Return one field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def nested_ifs(depth: int) -> bytes:
    """Return a model of nested `If` nodes; each level costs a few bytes."""
    graph = field(1, field(4, b"Neg") + field(3, b"innermost"))
    for level in range(depth):
        branch = field(5, field(1, b"then_branch") + field(6, graph))
        graph = field(1, field(3, b"If%d" % level) + field(4, b"If") + branch)
    return field(7, graph)


def many_nodes(count: int) -> bytes:
    """Return a model of the given number of nodes."""
    return field(7, field(1, field(4, b"Neg") + field(1, b"x") + field(2, b"y")) * count)


def outside(location: str) -> TensorProto:
    """Return a tensor whose data is in another file."""
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[1, 32, 6], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


# ---- hostile files of every kind: a function writes one at a path; `good.onnx` and `good.tide` are next to it ----


def _model_of(location: str) -> Callable[[Path], object]:
    """A file whose weights are in another file, which exists; a symbolic link and a hard link to it exist too."""

    def make(path: Path) -> None:
        secret = path.parent.parent / "secret"
        secret.write_bytes(bytes(4 * 192))
        (path.parent / "soft").symlink_to(secret)
        os.link(secret, path.parent / "hard")
        model = onnx.load(write_lstm(path.parent / "inside.onnx"))
        kept = [one for one in model.graph.initializer if one.name != "W"]
        del model.graph.initializer[:]
        model.graph.initializer.extend([outside(location), *kept])
        path.write_bytes(model.SerializeToString())

    return make


def _plan_with(at: int, value: int) -> Callable[[Path], object]:
    """A plan with one byte changed and a hash that fits the change."""

    def make(path: Path) -> None:
        plan = bytearray((path.parent / "good.tide").read_bytes())
        plan[at] = value
        path.write_bytes(seal(plan))

    return make


def _changed(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], object]:
    """`good.onnx` with a change."""

    def make(path: Path) -> None:
        model = onnx.load(path.parent / "good.onnx")
        change(model)
        path.write_bytes(model.SerializeToString())

    return make


def read_itself(model: onnx.ModelProto) -> None:
    """Let each recurrent node read its own output."""
    for node in model.graph.node:
        if node.op_type == "LSTM":
            node.input[0] = node.output[0]


def second_initializer(model: onnx.ModelProto) -> None:
    """Give the first weight a second value: onnxruntime would take the first, a dictionary the last."""
    weight = model.graph.initializer.add()
    weight.CopyFrom(model.graph.initializer[0])
    weight.raw_data = bytes(len(weight.raw_data))


def set_attribute(model: onnx.ModelProto, name: str, value: int) -> None:
    """Set an integer attribute of the first node."""
    next(one for one in model.graph.node[0].attribute if one.name == name).i = value


def set_operator_set(model: onnx.ModelProto, version: int) -> None:
    """Set the version of the standard operator set."""
    model.opset_import[0].version = version


def _cut(name: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes((path.parent / name).read_bytes()[:-40])


def _altered(path: Path) -> None:
    plan = bytearray((path.parent / "good.tide").read_bytes())
    plan[-1] ^= 1
    path.write_bytes(plan)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nested ifs": (lambda path: path.write_bytes(nested_ifs(3000)), "graphs inside graphs more than 8 deep"),
    "nodes": (lambda path: path.write_bytes(many_nodes(100_000)), "more than 10000 nodes"),
    "parent folder": (_model_of("../secret"), "'W' keeps its data in another file"),
    "symlink": (_model_of("soft"), "'W' keeps its data in another file"),
    "hard link": (_model_of("hard"), "'W' keeps its data in another file"),
    "truncated": (_cut("good.onnx"), "not an ONNX file"),
    "truncated plan": (_cut("good.tide"), "plan: size is"),
    "altered plan": (_altered, "plan: hash is"),
    "plan of another version": (_plan_with(8, 3), "plan: version is 3, wanted 2; it is of another version"),
    "plan with another width": (_plan_with(66, 1), "plan: input width is"),
    "circle": (_changed(read_itself), "reads a value that follows from its own output"),
    "second initializer": (_changed(second_initializer), "'W' is the name of more than one value"),
    "hidden size": (
        _changed(lambda model: set_attribute(model, "hidden_size", 4)),
        "wanted [1, 16, features] for hidden_size 4",
    ),
    "operator set": (_changed(lambda model: set_operator_set(model, 2**62)), "operator set '' is of version"),
    "random bytes": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "not an ONNX file"),
    "empty": (lambda path: path.write_bytes(b""), "not an ONNX file"),
    "folder": (Path.mkdir, "not a regular file"),
    "pipe": (os.mkfifo, "not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
}
"""For each kind of file: the function that makes it, and a part of the error message that refuses it."""
