"""Small streaming ONNX files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.graph.graph import Graph


def write_lstm(
    path: Path, features: int = 6, hidden: int = 8, *, head: int = 3, nodes: Sequence[onnx.NodeProto] = ()
) -> Path:
    """Write a float streaming ONNX file: one LSTM, its last frame, a linear head, then the given nodes."""
    rng = np.random.default_rng(0)
    weights = {
        "W": rng.normal(0, 0.3, (1, 4 * hidden, features)),
        "R": rng.normal(0, 0.3, (1, 4 * hidden, hidden)),
        "B": rng.normal(0, 0.3, (1, 8 * hidden)),
        "V": rng.normal(0, 0.3, (head, hidden)),
        "b": rng.normal(0, 0.3, head),
    }
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    tensors += [numpy_helper.from_array(np.array([1]), "one"), numpy_helper.from_array(np.array(-1), "last")]
    body = [
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "lstm.h_in", "lstm.c_in"], ["Y", "lstm.h_out", "lstm.c_out"],
                         name="lstm", hidden_size=hidden),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
        helper.make_node("Gather", ["y", "last"], ["frame"], axis=0),
        helper.make_node("Gemm", ["frame", "V", "b"], ["output"], name="head", transB=1),
        *nodes,
    ]  # fmt: skip

    def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    state: list[int | str] = [1, "batch", hidden]
    graph = helper.make_graph(
        body,
        "small",
        [value("x", ["time", "batch", features]), value("lstm.h_in", state), value("lstm.c_in", state)],
        [value("output", ["batch", head]), value("lstm.h_out", state), value("lstm.c_out", state)],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    states = tuple(State(f"lstm.{k}_in", f"lstm.{k}_out", k, (1, "batch", hidden)) for k in ("h", "c"))
    contract = Contract((Port("x", 0, 1),), (Port("output", None, 0),), states, sample_rate=50.0, hop=1)
    model.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=contract.to_json()))
    path.write_bytes(model.SerializeToString())
    return path


def write_frames_lstm(path: Path, size: int) -> Path:
    """Write a float streaming ONNX file: one LSTM of `size` features and units, which answers each frame."""
    model = onnx.load(write_lstm(path, size, size))
    del model.graph.node[2:]
    model.graph.node[1].output[0] = "output"
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["time", "batch", size])
    )
    entry = next(one for one in model.metadata_props if one.key == METADATA_KEY)
    entry.value = replace(Contract.from_json(entry.value), outputs=(Port("output", 0, 1),)).to_json()
    path.write_bytes(model.SerializeToString())
    return path


def write_ids(path: Path) -> Path:
    """Write a streaming file that looks ids up in a table of nine rows."""
    model = onnx.load(write_lstm(path, features=4))
    table = np.random.default_rng(1).standard_normal((9, 4)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    model.graph.node.insert(0, helper.make_node("Gather", ["table", "ids"], ["x"], axis=0, name="table"))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["time", "batch"]))
    entry = next(one for one in model.metadata_props if one.key == METADATA_KEY)
    entry.value = replace(Contract.from_json(entry.value), inputs=(Port("ids", 0, 1),)).to_json()
    onnx.save(model, path)
    return path


def write_scalar(path: Path) -> Path:
    """Write a streaming file whose answer to a push is one number without an axis."""
    model = onnx.load(write_lstm(path, head=1))
    model.graph.node[-1].output[0] = "single"
    model.graph.node.append(helper.make_node("Squeeze", ["single", "one"], ["output"]))
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    onnx.save(model, path)
    return path


def name_initial(model: onnx.ModelProto, state: str, values: Array) -> None:
    """Let a state of a streaming file start from values, in place."""
    graph = Graph(model)
    model.graph.initializer.append(numpy_helper.from_array(values, f"{state}.0"))
    states = tuple(replace(s, initial=f"{state}.0") if s.input == state else s for s in graph.contract.states)
    graph.set_metadata(METADATA_KEY, replace(graph.contract, states=states).to_json())
