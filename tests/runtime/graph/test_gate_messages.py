"""What the gate says, whole, and its limits from both sides; the bytes go straight to it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.runtime.errors import ModelError
from tidegate.runtime.graph import gate
from tidegate.runtime.graph.data_files import DataFiles
from tidegate.runtime.graph.gate import MAX_DEPTH, MAX_FIELDS, MAX_NODES, parse, parts
from tools.hostile import field, nested_ifs, outside, varint
from tools.onnx_files import write_lstm

DAMAGED = "m.onnx: not an ONNX file, and a compiled plan is none; export one with `tidegate export`"
EMPTY = "m.onnx: not an ONNX file, or its graph is empty; export one with `tidegate export`"


def small() -> onnx.ModelProto:
    """Return a model of one node."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"], name="sum")], "g", [value], [out])
    graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def refused(data: bytes | onnx.ModelProto, message: str) -> None:
    """The message is the whole one."""
    data = data if isinstance(data, bytes) else data.SerializeToString()
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        parse(data, "m.onnx")


def test_a_small_model_is_let_through_as_it_is() -> None:
    model = small()
    assert parse(model.SerializeToString(), "m.onnx") == model


# ---- bytes ----


def nodes(count: int) -> bytes:
    return field(7, field(1, field(4, b"Neg") + field(2, b"y")) * count)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",  # a number that does not end
        b"\x80" * 10 + b"\x01",  # a number of more than 64 bits
        b"\x0b",  # groups are no longer used
        b"\x0e",
        b"\x3a\x05abcd",  # 5 bytes, of which 4 are there
        b"\x39" + bytes(7),  # 8 bytes, of which 7 are there
        b"\x3d" + bytes(3),
        b"\x3a",
        b"\x08",
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    refused(data, DAMAGED)
    refused(small().SerializeToString() + data, DAMAGED)


def test_a_file_without_nodes_is_refused() -> None:
    for data in (b"", field(7, b""), b"\x08\x08"):
        refused(data, EMPTY)


def test_fields_of_every_kind_are_walked() -> None:
    """Fields that ONNX does not have stay where they are; the first has a tag whose first byte is 128."""
    model = small()
    for more in (
        varint(16 << 3) + b"\x0b",
        varint(100 << 3) + varint(2**63),
        varint(101 << 3 | 1) + bytes(8),
        varint(102 << 3 | 5) + bytes(4),
    ):
        kept = parse(model.SerializeToString() + more + field(103, b"abc"), "m.onnx")
        kept.DiscardUnknownFields()
        assert kept == model


def test_nodes_have_a_limit() -> None:
    refused(nodes(MAX_NODES + 1), f"m.onnx: more than {MAX_NODES} nodes, at most that many are read")
    refused(nodes(MAX_NODES), f"m.onnx: its IR version is 0, wanted 1 to {onnx.IR_VERSION}; export the model with an "
            "older one, or install a newer onnx")  # fmt: skip


def test_fields_have_a_limit() -> None:
    """The graph is one of them."""
    empty = field(8, b"")
    refused(empty * (MAX_FIELDS - 1) + field(7, b""), EMPTY)
    refused(
        empty * MAX_FIELDS + field(7, b""),
        f"m.onnx: more than {MAX_FIELDS} fields in its messages, at most that many are read",
    )


def test_graphs_inside_graphs_have_a_limit() -> None:
    refused(
        nested_ifs(MAX_DEPTH + 1),
        f"m.onnx: graphs inside graphs more than {MAX_DEPTH} deep, down to node 'If0'; export the model without nested "
        "conditions",
    )
    with pytest.raises(ModelError) as caught:
        parse(nested_ifs(MAX_DEPTH), "m.onnx")
    assert "deep" not in str(caught.value)


# ---- messages ----

Change = Callable[[onnx.ModelProto], object]


def change_weight(**to: object) -> Change:
    """Return a change of the one weight."""

    def change(model: onnx.ModelProto) -> None:
        weight = model.graph.initializer[0]
        for name, value in to.items():
            if name == "dims":
                del weight.dims[:]
                weight.dims.extend(value)  # type: ignore[arg-type]
            else:
                setattr(weight, name, value)

    return change


def add_nodes(*made: onnx.NodeProto) -> Change:
    return lambda model: model.graph.node.extend(made)


def import_set(domain: str, version: int) -> Change:
    return lambda model: model.opset_import.append(helper.make_opsetid(domain, version))


def own_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("own", "f", ["x"], ["y"], [], []))


def sparse(model: onnx.ModelProto) -> None:
    values, indices = (
        helper.make_tensor(n, k, [1], [1]) for n, k in (("s", TensorProto.FLOAT), ("i", TensorProto.INT64))
    )
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def metadata(key: str) -> Change:
    return lambda model: model.metadata_props.add(key=key, value="{}")


NEWEST = onnx.defs.onnx_opset_version()
OLDER = "export the model with an older one, or install a newer onnx"
REFUSED: list[tuple[Change, str]] = [
    (
        own_function,
        "function 'f' is defined in the file; inline it (onnx.inliner.inline_local_functions) and save it again",
    ),
    (lambda m: setattr(m, "ir_version", 0), f"its IR version is 0, wanted 1 to {onnx.IR_VERSION}; {OLDER}"),
    (
        lambda m: setattr(m, "ir_version", onnx.IR_VERSION + 1),
        f"its IR version is {onnx.IR_VERSION + 1}, wanted 1 to {onnx.IR_VERSION}; {OLDER}",
    ),
    (import_set("ai.onnx", 3), "operator set '' is imported twice; export the model again"),
    (import_set("own", 0), f"operator set 'own' is of version 0, wanted 1 to {2**31 - 1}; {OLDER}"),
    (import_set("own", 2**31), f"operator set 'own' is of version {2**31}, wanted 1 to {2**31 - 1}; {OLDER}"),
    (
        lambda m: setattr(m.opset_import[0], "version", NEWEST + 1),
        f"operator set '' is of version {NEWEST + 1}, wanted 1 to {NEWEST}; {OLDER}",
    ),
    (sparse, "'s' is a sparse tensor; save it as a dense one"),
    (
        metadata("tidegate.new"),
        (
            "metadata 'tidegate.new' is unknown, wanted tidegate.contract or tidegate.quantization; another version "
            "wrote the file, export it again"
        ),
    ),
    (change_weight(data_type=0), "tensor 'w' has data type 0, which ONNX does not have"),
    (change_weight(data_type=999), "tensor 'w' has data type 999, which ONNX does not have"),
    (change_weight(dims=[-1]), "tensor 'w' has shape [-1], wanted sizes of 0 and more"),
    (change_weight(dims=[1, -1, 2]), "tensor 'w' has shape [1, -1, 2], wanted sizes of 0 and more"),
    (change_weight(dims=[2]), "tensor 'w' has shape [2], 2 values, but data for 1; the file is damaged"),
    (change_weight(dims=[0]), "tensor 'w' has shape [0], 0 values, but data for 1; the file is damaged"),
    (change_weight(raw_data=bytes(3)), "tensor 'w' has shape [1], 1 values, but data for -1; the file is damaged"),
    (
        add_nodes(onnx.NodeProto(op_type="Neg", name="n", input=["x"])),
        "Neg 'n' has no output; the file is damaged",
    ),
    (add_nodes(onnx.NodeProto(op_type="Neg")), "Neg without a name has no output; the file is damaged"),
    (add_nodes(onnx.NodeProto()), "a node without a name has no output; the file is damaged"),
    (add_nodes(onnx.NodeProto(op_type="Neg", output=[""])), "Neg '' has no output; the file is damaged"),
    (
        add_nodes(helper.make_node("Neg", [], ["z"], name="n")),
        "Neg 'n' has 0 inputs, wanted 1 to 1",
    ),
    (add_nodes(helper.make_node("Neg", ["x", "x"], ["z"], domain="ai.onnx")), "Neg 'z' has 2 inputs, wanted 1 to 1"),
    (
        add_nodes(helper.make_node("Neg", ["x"], ["z"], name="n", odd=1)),
        "Neg 'n': attribute 'odd' is unknown, wanted none",
    ),
    (
        add_nodes(helper.make_node("Elu", ["x"], ["z"], name="n", odd=1)),
        "Elu 'n': attribute 'odd' is unknown, wanted alpha",
    ),
    (
        add_nodes(helper.make_node("Gemm", ["x", "w"], ["z"], name="n", odd=1)),
        "Gemm 'n': attribute 'odd' is unknown, wanted alpha, beta, transA, transB",
    ),
    (
        add_nodes(helper.make_node("Elu", ["x"], ["z"], name="n", alpha=1)),
        "Elu 'n': attribute 'alpha' is not of type FLOAT",
    ),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_is_not_allowed_is_refused_with_its_reason(change: Change, message: str) -> None:
    model = small()
    change(model)
    refused(model, f"m.onnx: {message}")


def inside_a_branch(message: onnx.NodeProto) -> onnx.NodeProto:
    branch = helper.make_graph([message], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])
    return helper.make_node("If", ["flag"], ["v"], name="choice", then_branch=branch, else_branch=branch)


def test_a_node_inside_a_branch_is_checked_too() -> None:
    model = small()
    model.graph.node.append(inside_a_branch(helper.make_node("Neg", [], ["z"], name="inner")))
    refused(model, "m.onnx: Neg 'inner' has 0 inputs, wanted 1 to 1")


def test_an_attribute_that_a_function_would_give_is_refused() -> None:
    model = small()
    node = helper.make_node("Elu", ["x"], ["z"], name="n", alpha=1.0)
    node.attribute[0].ref_attr_name = "alpha"
    model.graph.node.append(node)
    refused(model, "m.onnx: Elu 'n': attribute 'alpha' is not of type FLOAT")


def test_an_attribute_that_is_there_twice_is_refused() -> None:
    model = small()
    node = helper.make_node("Elu", ["x"], ["z"], name="n", alpha=1.0)
    node.attribute.append(node.attribute[0])
    model.graph.node.append(node)
    refused(model, "m.onnx: Elu 'n': attribute 'alpha' is there more than once; export the model again")


def allowed() -> Iterator[Change]:
    """Yield changes that the gate has nothing against."""
    yield add_nodes(
        helper.make_node("Own", ["x"] * 9, ["z"], odd=1)
    )  # what the standard does not know, a backend judges
    yield add_nodes(helper.make_node("Neg", ["x", "x"], ["z"], domain="own"))
    yield add_nodes(helper.make_node("Elu", ["x"], ["z"], alpha=2.0))
    yield add_nodes(onnx.NodeProto(op_type="Identity", input=["x"], output=["", "z"]))
    yield import_set("own", 2**31 - 1)
    yield import_set("own", 1)
    yield metadata("tidegate.contract")
    yield metadata("tidegate.quantization")
    yield metadata("of others")
    yield lambda m: setattr(m, "ir_version", onnx.IR_VERSION)
    yield lambda m: setattr(m.opset_import[0], "version", NEWEST)
    yield change_weight(dims=[])
    yield change_weight(dims=[0], raw_data=b"")


@pytest.mark.parametrize("change", list(allowed()))
def test_what_is_allowed_is_let_through(change: Change) -> None:
    model = small()
    change(model)
    assert parse(model.SerializeToString(), "m.onnx") == model


@pytest.mark.parametrize("where", ["location", "entries"])
def test_data_in_another_file_is_left_to_lift(where: str) -> None:
    model, tensor = small(), outside("weights")
    if where == "entries":
        tensor.data_location = TensorProto.DEFAULT
    else:
        del tensor.external_data[:]
    model.graph.initializer.append(tensor)
    with pytest.raises(
        ModelError, match=r"^m.onnx: 'W' keeps its data in another file, which only `tidegate lift` reads; "
    ):
        parse(model.SerializeToString(), "m.onnx")


@pytest.mark.parametrize("name", ["graph name", "node name", "input"])
def test_a_name_that_is_not_utf_8_is_refused(name: str) -> None:
    """Protobuf of C++ gives such a name as bytes; its Python refuses the file."""
    model = small()
    model.graph.name, model.graph.node[0].name = "=-=-=", "-=-=-"
    model.graph.node[0].input.append("=====")
    was = {"graph name": b"=-=-=", "node name": b"-=-=-", "input": b"====="}[name]
    with pytest.raises(ModelError, match=r"^m.onnx: (.* is not UTF-8; the file is damaged|not an ONNX file, .*)$"):
        parse(model.SerializeToString().replace(was, b"\xff\xfe\xff\xfe\xff"), "m.onnx")


@pytest.mark.parametrize("values", range(9))
@pytest.mark.parametrize("kind", ["UINT4", "INT4", "UINT2", "COMPLEX64", "FLOAT", "INT8", "DOUBLE", "STRING"])
def test_values_are_counted_as_onnx_stores_them(kind: str, values: int) -> None:
    """Values of 4 or 2 bits share a byte, complex ones take two numbers."""
    number = TensorProto.DataType.Value(kind)
    model, tensor = small(), TensorProto(name="t", data_type=number, dims=[values])
    share = {"UINT4": 2, "INT4": 2, "UINT2": 4}.get(kind, 1)
    if kind == "STRING":
        tensor.string_data.extend([b"a"] * values)
    elif kind == "COMPLEX64":
        tensor.float_data.extend([1.0] * 2 * values)
    else:
        size = {"FLOAT": 4, "DOUBLE": 8}.get(kind, 1)
        tensor.raw_data = bytes(size * -(-values // share))
    model.graph.initializer.append(tensor)
    assert parse(model.SerializeToString(), "m.onnx") == model
    model.graph.initializer[1].dims[0] += share
    said = f"tensor 't' has shape [{values + share}], {values + share} values, but data for "
    with pytest.raises(ModelError, match=f"^m.onnx: {re.escape(said)}"):
        parse(model.SerializeToString(), "m.onnx")


@pytest.mark.parametrize("kind", ["COMPLEX64", "COMPLEX128"])
def test_half_a_complex_value_is_refused(kind: str) -> None:
    model, tensor = small(), TensorProto(name="t", data_type=TensorProto.DataType.Value(kind), dims=[2])
    (tensor.float_data if kind == "COMPLEX64" else tensor.double_data).extend([1.0] * 5)
    model.graph.initializer.append(tensor)
    refused(model, "m.onnx: tensor 't' has shape [2], 2 values, but data for -1; the file is damaged")


def test_all_messages_are_found_at_any_depth() -> None:
    model = small()
    model.graph.node.append(inside_a_branch(helper.make_node("Neg", ["x"], ["z"], name="inner")))
    found = list(parts(model))
    assert found[0] is model
    assert sum(isinstance(one, onnx.GraphProto) for one in found) == 3
    assert [one.name for one in found if isinstance(one, onnx.NodeProto)] == ["sum", "choice", "inner", "inner"]


@pytest.mark.parametrize(
    ("kind", "size"), [("FLOAT", 28), ("DOUBLE", 56), ("INT8", 7), ("UINT4", 4), ("INT4", 4), ("UINT2", 2), ("BOOL", 7)]
)
def test_data_in_another_file_of_a_lifted_model_has_the_bytes_of_its_shape(
    tmp_path: Path, kind: str, size: int
) -> None:
    """Seven values; those of 4 and 2 bits share bytes."""
    tensor = TensorProto(name="t", data_type=TensorProto.DataType.Value(kind), dims=[7])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    model, path = small(), str(tmp_path / "m.onnx")
    model.graph.initializer.append(tensor)
    (tmp_path / "weights").write_bytes(bytes(range(size)))
    found = parse(model.SerializeToString(), path, data_files=DataFiles(path)).graph.initializer[1]
    assert found.raw_data == bytes(range(size))
    (tmp_path / "weights").write_bytes(bytes(size - 1))
    with pytest.raises(ModelError, match=f" of {size - 1} bytes, wanted {size} bytes inside it; the file is damaged$"):
        parse(model.SerializeToString(), path, data_files=DataFiles(path))


def test_numbers_have_at_most_ten_bytes() -> None:
    assert gate._varint(b"\xff" * 9 + b"\x01x", 0, 11) == (2**64 - 1, 10)
    assert gate._varint(b"\xac\x02", 0, 2) == (300, 2)
    for data, end in ((b"\x80" * 10 + b"\x01", 11), (b"\x80\x01", 1), (b"", 0)):
        with pytest.raises(gate._NotOnnx):
            gate._varint(data, 0, end)


def test_fields_that_protobuf_skips_are_skipped_in_their_size(tmp_path: Path) -> None:
    """Field 100 of 8 bytes, which no message of ONNX has."""
    data = varint(100 << 3 | 1) + b"\xff" * 8 + write_lstm(tmp_path / "m.onnx").read_bytes()
    assert parse(data, "m.onnx").graph.node


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_constant_of_any_float_type_goes_where_a_float_may_be(tmp_path: Path, kind: int) -> None:
    """An LSTM of this operator set takes no bfloat16; each is read as float32."""
    model = onnx.load(write_lstm(tmp_path / "m.onnx"))
    lstm = next(node for node in model.graph.node if node.op_type == "LSTM")
    weights = next(one for one in model.graph.initializer if one.name == lstm.input[1])
    values = numpy_helper.to_array(weights)
    weights.CopyFrom(helper.make_tensor(weights.name, kind, values.shape, values.ravel()))
    assert parse(model.SerializeToString(), "m.onnx").graph.node


def test_a_node_of_an_operator_set_that_is_not_imported_is_named() -> None:
    model = small()
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    why = "is of the standard operator set, of which the file imports no version; export the model again"
    refused(model, f"m.onnx: Add 'sum' {why}")
