"""The messages of the Open Inference Protocol: those of NVIDIA's client, field by field."""

import pytest

pytest.importorskip("grpc")
pytest.importorskip("google.protobuf")
from tidegate.runtime.serving.doors.oip_messages import FIELDS, message


@pytest.mark.parametrize("name", FIELDS)
def test_each_message_has_the_fields_of_nvidias_client(name: str) -> None:
    pytest.importorskip("tritonclient.grpc")
    from tritonclient.grpc import service_pb2

    theirs = service_pb2.DESCRIPTOR.message_types_by_name[name.partition(".")[0]]
    if "." in name:
        theirs = theirs.nested_types_by_name[name.partition(".")[2]]
    known = {field.number: field for field in theirs.fields}
    for field in message(name).DESCRIPTOR.fields:
        other = known[field.number]
        wanted = (field.name, field.type, field.is_repeated if hasattr(field, "is_repeated") else field.label)
        assert wanted == (other.name, other.type, other.is_repeated if hasattr(other, "is_repeated") else other.label)


def test_a_parameter_is_one_of_its_values() -> None:
    parameter = message("InferParameter")(int64_param=4)
    parameter.string_param = "four"
    assert parameter.WhichOneof("parameter_choice") == "string_param"
    assert parameter.int64_param == 0
