"""The message classes of the protocol and of gRPC's health protocol, made from their `.binpb` when first asked for.

They live in a descriptor pool of their own. The default pool knows each message by its full name once, and a program that
holds this server and a client library with generated code of the same package would end with a conflict there.
"""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from sightline.core.errors import InvalidInput

DESCRIPTORS = Path(__file__).with_name("inference.binpb")
PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
HEALTH_DESCRIPTORS = Path(__file__).with_name("health.binpb")
HEALTH_PACKAGE = "grpc.health.v1"
HEALTH_SERVICE = f"{HEALTH_PACKAGE}.Health"

SMALL_BYTES = 16 * 1024  # a message of so many is not looked at before it is parsed
MAX_STRUCTURE_BYTES = 8 * 1024 * 1024
MAX_FIELDS = 4096  # of a message, and of its inputs and outputs
VARINT, LENGTH_DELIMITED, FIXED_BYTES = 0, 2, {1: 8, 5: 4}  # wire types, the last ones with their sizes
INPUTS, OUTPUTS, RAW_INPUT_CONTENTS = 5, 6, 7  # of ModelInferRequest

Message = Any  # protobuf makes its classes at run time; no checker knows their fields


@cache
def load_pool() -> Any:
    """The descriptor pool that holds our messages and nothing else."""
    pool = descriptor_pool.DescriptorPool()
    for path in (DESCRIPTORS, HEALTH_DESCRIPTORS):
        for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
            pool.Add(file)
    return pool


@cache
def find_message(name: str, package: str = PACKAGE) -> Any:
    """The class of a message by its name, such as "ModelInferRequest"."""
    return message_factory.GetMessageClass(load_pool().FindMessageTypeByName(f"{package}.{name}"))


def parse_message(name: str, body: bytes, package: str = PACKAGE) -> Message:
    """A message from its bytes.

    Raises: InvalidInput for bytes that are none, text that is no UTF-8 among them, and for more structure than a request needs:
        two bytes can ask for an object of a hundred, so fields are counted, and only raw contents may be large.
    """
    try:
        if len(body) > SMALL_BYTES:
            _check_structure(name, body)
        return find_message(name, package).FromString(body)
    except (DecodeError, _UnsoundField) as error:
        raise InvalidInput(f"expected a message {package}.{name}, got {len(body)} bytes that are none") from error


def _check_structure(name: str, body: bytes) -> None:
    fields, size_bytes = measure_structure(body)
    if fields > MAX_FIELDS or size_bytes > MAX_STRUCTURE_BYTES:
        raise InvalidInput(
            f"expected at most {MAX_FIELDS} fields and {MAX_STRUCTURE_BYTES} bytes of {PACKAGE}.{name} outside raw contents, "
            "got more; send tensors raw"
        )


def measure_structure(body: bytes) -> tuple[int, int]:
    """Fields of a `ModelInferRequest`, and its bytes outside raw contents. Counting ends behind `MAX_FIELDS`.

    Inputs and outputs are stepped into, for each of their parameters is a field. What lies deeper, or in other messages, are
    texts, numbers without tags, and fields that take the place of those before them.

    Source: Protocol Buffers, "Encoding".
    Raises: _UnsoundField where no field begins, or one does not end.
    """
    fields = position = inner_end = raw_bytes = 0
    while position < len(body) and fields <= MAX_FIELDS:
        fields += 1
        tag, start = _read_varint(body, position)
        start, end = _find_content(body, tag & 7, start)
        is_inner = position < inner_end
        if end > (inner_end if is_inner else len(body)):
            raise _UnsoundField
        position = end
        if not is_inner and tag & 7 == LENGTH_DELIMITED:
            if tag >> 3 in (INPUTS, OUTPUTS):
                position, inner_end = start, end
            elif tag >> 3 == RAW_INPUT_CONTENTS:
                raw_bytes += end - start
    return fields, len(body) - raw_bytes


class _UnsoundField(Exception):  # noqa: N818
    """Bytes that are no field."""


def _find_content(body: bytes, wire_type: int, start: int) -> tuple[int, int]:
    """Where the value of a field begins and ends, behind its tag. Raises: _UnsoundField."""
    if wire_type == LENGTH_DELIMITED:
        length, start = _read_varint(body, start)
        return start, start + length
    if wire_type == VARINT:
        return start, _read_varint(body, start)[1]
    if wire_type not in FIXED_BYTES:
        raise _UnsoundField
    return start, start + FIXED_BYTES[wire_type]


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends. Raises: _UnsoundField."""
    value = 0
    for index, byte in enumerate(body[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise _UnsoundField


class ServiceCall(msgspec.Struct, frozen=True):
    """A call of a service.

    Attributes:
        package: of the service and its messages.
        request: name of its message.
        is_stream: whether messages go both ways at will.
    """

    package: str
    service: str
    name: str
    request: str
    is_stream: bool


def list_calls(service: str) -> list[ServiceCall]:
    """The calls that a service has. Args: service: its full name."""
    methods = load_pool().FindServiceByName(service).methods
    package = service.rpartition(".")[0]
    return [ServiceCall(package, service, method.name, method.input_type.name, method.client_streaming) for method in methods]
