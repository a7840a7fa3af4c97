"""The messages of the Open Inference Protocol over gRPC, with the field numbers of its .proto files.

They are built when they are first used, so that no generated code ties the package to one version of protobuf. A test
compares them with those of NVIDIA's client.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# Name and type of each field by its number; `*` repeats it, `{}` is a map from strings, a capital begins a message.
NAMED = {1: ("name", "string"), 2: ("version", "string")}
TENSOR = {1: ("name", "string"), 2: ("datatype", "string"), 3: ("shape", "*int64")}
VALUES = {4: ("parameters", "{}InferParameter"), 5: ("contents", "InferTensorContents")}
FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {1: ("live", "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {1: ("ready", "bool")},
    "ModelReadyRequest": NAMED,
    "ModelReadyResponse": {1: ("ready", "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {**NAMED, 3: ("extensions", "*string")},
    "ModelMetadataRequest": NAMED,
    "ModelMetadataResponse.TensorMetadata": TENSOR,
    "ModelMetadataResponse": {
        1: ("name", "string"),
        2: ("versions", "*string"),
        3: ("platform", "string"),
        4: ("inputs", "*ModelMetadataResponse.TensorMetadata"),
        5: ("outputs", "*ModelMetadataResponse.TensorMetadata"),
    },
    "InferParameter": {
        1: ("bool_param", "bool"),
        2: ("int64_param", "int64"),
        3: ("string_param", "string"),
        4: ("double_param", "double"),
        5: ("uint64_param", "uint64"),
    },
    "InferTensorContents": {
        1: ("bool_contents", "*bool"),
        2: ("int_contents", "*int32"),
        3: ("int64_contents", "*int64"),
        4: ("uint_contents", "*uint32"),
        5: ("uint64_contents", "*uint64"),
        6: ("fp32_contents", "*float"),
        7: ("fp64_contents", "*double"),
        8: ("bytes_contents", "*bytes"),
    },
    "ModelInferRequest.InferInputTensor": {**TENSOR, **VALUES},
    "ModelInferRequest.InferRequestedOutputTensor": {1: ("name", "string"), 2: ("parameters", "{}InferParameter")},
    "ModelInferRequest": {
        1: ("model_name", "string"),
        2: ("model_version", "string"),
        3: ("id", "string"),
        4: ("parameters", "{}InferParameter"),
        5: ("inputs", "*ModelInferRequest.InferInputTensor"),
        6: ("outputs", "*ModelInferRequest.InferRequestedOutputTensor"),
        7: ("raw_input_contents", "*bytes"),
    },
    "ModelInferResponse.InferOutputTensor": {**TENSOR, **VALUES},
    "ModelInferResponse": {
        1: ("model_name", "string"),
        2: ("model_version", "string"),
        3: ("id", "string"),
        4: ("parameters", "{}InferParameter"),
        5: ("outputs", "*ModelInferResponse.InferOutputTensor"),
        6: ("raw_output_contents", "*bytes"),
    },
    "ModelStreamInferResponse": {1: ("error_message", "string"), 2: ("infer_response", "ModelInferResponse")},
    "ModelStatisticsRequest": NAMED,
    "StatisticDuration": {1: ("count", "uint64"), 2: ("ns", "uint64")},
    "InferStatistics": {1: ("success", "StatisticDuration"), 2: ("fail", "StatisticDuration")},
    "ModelStatistics": {
        **NAMED,
        4: ("inference_count", "uint64"),
        5: ("execution_count", "uint64"),
        6: ("inference_stats", "InferStatistics"),
    },
    "ModelStatisticsResponse": {1: ("model_stats", "*ModelStatistics")},
    "ModelRepositoryParameter": {
        1: ("bool_param", "bool"),
        2: ("int64_param", "int64"),
        3: ("string_param", "string"),
        4: ("bytes_param", "bytes"),
    },
    "RepositoryModelLoadRequest": {2: ("model_name", "string"), 3: ("parameters", "{}ModelRepositoryParameter")},
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": {2: ("model_name", "string"), 3: ("parameters", "{}ModelRepositoryParameter")},
    "RepositoryModelUnloadResponse": {},
    "RepositoryIndexRequest": {1: ("repository_name", "string"), 2: ("ready", "bool")},
    "RepositoryIndexResponse.ModelIndex": {**NAMED, 3: ("state", "string"), 4: ("reason", "string")},
    "RepositoryIndexResponse": {1: ("models", "*RepositoryIndexResponse.ModelIndex")},
}

CHOICES = ("InferParameter", "ModelRepositoryParameter")  # messages that hold one of their fields

Field = descriptor_pb2.FieldDescriptorProto


def message(name: str) -> Any:  # noqa: ANN401  the class is made here
    """Return the class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="tidegate/open_inference.proto", package=PACKAGE, syntax="proto3")
    for name in sorted(FIELDS, key=lambda name: "." in name):
        outer, _, inner = name.rpartition(".")
        if outer:
            holder = next(one for one in file.message_type if one.name == outer)
            _describe(holder.nested_type.add(name=inner), name)
        else:
            _describe(file.message_type.add(name=inner), name)
    return file


def _describe(holder: descriptor_pb2.DescriptorProto, full: str) -> None:
    choice = full in CHOICES
    if choice:
        holder.oneof_decl.add(name="parameter_choice")
    for number, (name, kind) in FIELDS[full].items():
        field = holder.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL)
        if kind[0] in "*{":
            field.label = Field.LABEL_REPEATED
        if choice:
            field.oneof_index = 0
        if kind.startswith("{}"):
            _add_map(holder, field, full, kind[2:])
        else:
            _set_type(field, kind.lstrip("*"))


def _add_map(holder: descriptor_pb2.DescriptorProto, field: Any, full: str, kind: str) -> None:  # noqa: ANN401
    """Make a field a map from strings, which is a repeated message of keys and values."""
    entry = holder.nested_type.add(name=f"{field.name.title()}Entry")
    entry.options.map_entry = True
    _set_type(entry.field.add(name="key", number=1, label=Field.LABEL_OPTIONAL), "string")
    _set_type(entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL), kind)
    field.type, field.type_name = Field.TYPE_MESSAGE, f".{PACKAGE}.{full}.{entry.name}"


def _set_type(field: Any, kind: str) -> None:  # noqa: ANN401
    if kind[0].isupper():
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(Field, f"TYPE_{kind.upper()}")


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
