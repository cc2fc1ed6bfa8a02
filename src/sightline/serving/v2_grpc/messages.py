"""The protocol's message classes, made from `inference.binpb` when first asked for.

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

MAX_STRUCTURE_BYTES = 8 * 1024 * 1024
MAX_FIELDS = 4096  # of one message, that are looked at
LENGTH_DELIMITED = 2  # wire type
RAW_INPUT_CONTENTS = 7  # of ModelInferRequest

Message = Any  # protobuf makes its classes at run time; no checker knows their fields


@cache
def load_pool() -> Any:
    """The descriptor pool that holds our messages and nothing else."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    return pool


@cache
def find_message(name: str) -> Any:
    """The class of a message by its name, such as "ModelInferRequest"."""
    return message_factory.GetMessageClass(load_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parse_message(name: str, body: bytes) -> Message:
    """A message from its bytes.

    Raises: InvalidInput for bytes that are none, text that is no UTF-8 among them, and for more structure than a request needs:
        two bytes can ask for an object of a hundred, so only raw contents may be large.
    """
    if len(body) > MAX_STRUCTURE_BYTES and measure_structure(body) > MAX_STRUCTURE_BYTES:
        raise InvalidInput(
            f"expected at most {MAX_STRUCTURE_BYTES} bytes of {PACKAGE}.{name} outside raw contents, got more; send tensors raw"
        )
    try:
        return find_message(name).FromString(body)
    except DecodeError as error:
        raise InvalidInput(f"expected a message {PACKAGE}.{name}, got {len(body)} bytes that are none") from error


def measure_structure(body: bytes) -> int:
    """Bytes of a `ModelInferRequest` outside its raw contents. What follows an unsound or foreign field counts as structure.

    Source: Protocol Buffers, "Encoding": a field is a tag, and here always a length and so many bytes.
    """
    position = raw_bytes = 0
    for _ in range(MAX_FIELDS):
        tag, position = _read_varint(body, position)
        length, position = _read_varint(body, position)
        if tag & 7 != LENGTH_DELIMITED or position + length > len(body):
            break
        if tag >> 3 == RAW_INPUT_CONTENTS:
            raw_bytes += length
        position += length
    return len(body) - raw_bytes


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for index, byte in enumerate(body[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    return 0, position  # cut short, or too long: not even a tag


class ServiceCall(msgspec.Struct, frozen=True):
    """A call of the service. Attributes: request: name of its message. is_stream: whether messages go both ways at will."""

    name: str
    request: str
    is_stream: bool


def list_calls() -> list[ServiceCall]:
    """The calls that the service has."""
    methods = load_pool().FindServiceByName(SERVICE).methods
    return [ServiceCall(method.name, method.input_type.name, method.client_streaming) for method in methods]
