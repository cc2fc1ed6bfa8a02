"""The message classes against a published client's, and the compiled descriptors against their source."""

import importlib.util
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from sightline.core.errors import InvalidInput
from sightline.serving.v2_grpc import messages
from sightline.serving.v2_grpc.compile_proto import PROTOS, compile_proto
from sightline.serving.v2_grpc.messages import (
    DESCRIPTORS,
    MAX_FIELDS,
    MAX_STRUCTURE_BYTES,
    SERVICE,
    find_message,
    load_pool,
    measure_structure,
    parse_message,
)

triton_service = pytest.importorskip("tritonclient.grpc.service_pb2", reason="needs tritonclient[grpc]")
triton_config = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]")


def read_ours() -> descriptor_pb2.FileDescriptorProto:
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    return file


def read_theirs() -> list[descriptor_pb2.FileDescriptorProto]:
    files = [descriptor_pb2.FileDescriptorProto() for _ in range(2)]
    triton_service.DESCRIPTOR.CopyToProto(files[0])
    triton_config.DESCRIPTOR.CopyToProto(files[1])
    return files


def list_fields(messages, prefix: str = "") -> dict[str, tuple[int, int, int, str, str]]:
    """Full name of each field, nested ones too -> number, type, label, type's name, oneof."""
    fields = {}
    for message in messages:
        for field in message.field:
            oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
            fields[f"{prefix}{message.name}.{field.name}"] = (field.number, field.type, field.label, field.type_name, oneof)
        fields |= list_fields(message.nested_type, f"{prefix}{message.name}.")
    return fields


def list_enum_values(messages, enums, prefix: str = "") -> dict[str, int]:
    values = {f"{prefix}{enum.name}.{value.name}": value.number for enum in enums for value in enum.value}
    for message in messages:
        values |= list_enum_values(message.nested_type, message.enum_type, f"{prefix}{message.name}.")
    return values


def test_every_field_has_the_number_and_type_of_the_published_protocol() -> None:
    ours = list_fields(read_ours().message_type)
    theirs = {name: field for file in read_theirs() for name, field in list_fields(file.message_type).items()}
    assert len(ours) > 150
    assert {name: field for name, field in ours.items() if theirs.get(name) != field} == {}


def test_every_message_that_an_offered_call_uses_is_complete_but_for_the_model_configuration() -> None:
    ours = list_fields(read_ours().message_type)
    offered = {message.name for message in read_ours().message_type}
    service, _ = read_theirs()
    theirs = list_fields([message for message in service.message_type if message.name in offered])
    assert sorted(theirs.keys() - ours.keys()) == []


def test_every_enum_value_is_that_of_the_published_protocol() -> None:
    ours = list_enum_values(read_ours().message_type, read_ours().enum_type)
    theirs = {
        name: number for file in read_theirs() for name, number in list_enum_values(file.message_type, file.enum_type).items()
    }
    assert ours["DataType.TYPE_STRING"] == 13
    assert {name: number for name, number in ours.items() if theirs.get(name) != number} == {}


def test_every_call_has_the_messages_and_streams_of_the_published_protocol() -> None:
    def list_calls(file):
        (service,) = file.service
        return {m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in service.method}

    ours, theirs = list_calls(read_ours()), list_calls(read_theirs()[0])
    assert len(ours) == 12
    assert {name: call for name, call in ours.items() if theirs.get(name) != call} == {}


@pytest.mark.skipif(importlib.util.find_spec("grpc_tools") is None, reason="needs grpcio-tools")
@pytest.mark.parametrize("proto", PROTOS)
def test_the_compiled_descriptors_are_those_of_the_source(proto: Path) -> None:
    compiled = descriptor_pb2.FileDescriptorSet.FromString(compile_proto(proto))
    assert compiled == descriptor_pb2.FileDescriptorSet.FromString(proto.with_suffix(".binpb").read_bytes())


def test_a_message_goes_to_the_published_client_and_back() -> None:
    ours = find_message("ModelInferRequest")(
        model_name="brightness",
        inputs=[{"name": "images", "datatype": "FP32", "shape": [2, -1]}],
        raw_input_contents=[b"\x00\x01"],
    )
    ours.parameters["priority"].uint64_param = 2**64 - 1
    theirs = triton_service.ModelInferRequest.FromString(ours.SerializeToString())
    assert theirs.inputs[0].shape == [2, -1]
    assert theirs.parameters["priority"].uint64_param == 2**64 - 1
    assert parse_message("ModelInferRequest", theirs.SerializeToString()) == ours


def test_our_messages_stay_out_of_the_default_pool() -> None:
    default = descriptor_pool.Default().FindServiceByName(SERVICE)
    assert default is not load_pool().FindServiceByName(SERVICE)
    assert "SystemSharedMemoryStatus" in default.methods_by_name  # the client's, not ours
    assert find_message("ModelInferRequest") is not triton_service.ModelInferRequest


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["no tag", "cut short", "no UTF-8"])
def test_bytes_that_are_no_message_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"expected a message inference\.ModelInferRequest, got \d bytes"):
        parse_message("ModelInferRequest", body)


def test_only_raw_contents_may_be_large() -> None:
    request = find_message("ModelInferRequest")(model_name="m", raw_input_contents=[bytes(300), bytes(MAX_STRUCTURE_BYTES)])
    request.inputs.add(name="x")
    body = request.SerializeToString()
    # By hand: 3 for the name, 2 + 3 for the input, and a tag and a length of 2 and 4 bytes for the raw contents.
    assert measure_structure(body) == (1 + 2 + 2, 3 + 5 + 3 + 5)
    assert parse_message("ModelInferRequest", body) == request


def make_map_entry(index: int) -> bytes:
    key = b"%06x" % index
    return b"\x22\x0c\x0a\x06" + key + b"\x12\x02\x08\x01"  # parameters[key].bool_param = true


@pytest.mark.parametrize(
    "flood",
    [
        b"\x2a\x00" * 10_000,
        b"\x32\x00" * 10_000,
        b"\x3a\x00" * 10_000,
        b"\x08\x01" * 10_000,
        b"".join(make_map_entry(index) for index in range(5000)),
        b"\x2a\xf0\xa2\x04" + b"".join(make_map_entry(index) for index in range(5000)),
        b"\x42\x80\x80\x80\x04" + bytes(MAX_STRUCTURE_BYTES),
    ],
    ids=["inputs", "outputs", "raw contents", "numbers", "parameters", "parameters of an input", "one large field"],
)
def test_a_flood_of_small_fields_is_refused_before_it_is_parsed(flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    body = find_message("ModelInferRequest")(raw_input_contents=[bytes(1000)]).SerializeToString() + flood
    find_message("ModelInferRequest").FromString(body)  # it is a message
    monkeypatch.setattr(messages, "find_message", None)
    with pytest.raises(InvalidInput, match=f"at most {MAX_FIELDS} fields and {MAX_STRUCTURE_BYTES} bytes"):
        parse_message("ModelInferRequest", body)


@pytest.mark.parametrize("unsound", [b"\xff" * 20, b"\x0b\x0c", b"\x2a\x02\x0a\x05abcde", b"\x0d\x01"])
def test_large_messages_of_unsound_fields_are_refused_in_the_same_words(unsound: bytes) -> None:
    body = find_message("ModelInferRequest")(raw_input_contents=[bytes(20_000)]).SerializeToString() + unsound
    with pytest.raises(InvalidInput, match="bytes that are none"):
        parse_message("ModelInferRequest", body)
