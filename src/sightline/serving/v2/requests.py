"""Read an inference request: JSON, or JSON followed by the bytes of its tensors; then fit it to a model and make it a Call.

A request is opened, which reads no element and shows what it claims; read, on any thread; and fitted to the model's facts,
which costs next to nothing. A `BYTES` tensor for a model that has an InputSpec holds encoded pictures, prepared on the server;
any other tensor goes to the graph as it is.

Source: Open Inference Protocol V2, "Inference"; extensions of Triton Inference Server: binary tensor data (with its raw binary
request), classification, schedule policy. OpenVINO Model Server lets a lone binary input leave its size out.
"""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np

from sightline.core.errors import InvalidInput
from sightline.imaging.heads.decoding import RAW
from sightline.imaging.heads.pictures import PICTURE
from sightline.serving.http.short_arrays import make_short_array
from sightline.serving.inference.calls import Call, Inferred, ServedFacts, Upload
from sightline.serving.v2.claims import (
    INLINE_BYTES,
    BytesTensor,
    Claim,
    Tensor,
    check_element_count,
    check_pictures,
    read_claims,
    weigh_binary,
    weigh_json,
)
from sightline.serving.v2.tensors import ITEM_BYTES, count_elements, decode_binary, decode_json, read_bytes_elements, shorten

ANNOTATIONS = "annotations"  # our output: what the decode head makes of the graph's outputs
IMAGE = "image"  # our output, in its place: the picture that the network draws, as PNG
MICROSECONDS = 1e-6
MAX_SHAPE_BYTES = 1000
MAX_TENSORS = 256  # inputs of a request, and outputs
MIN_TENSOR_BYTES = 12  # of JSON: {"name":""},
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output the client wants. Attributes: classes: > 0 wants the so many best as "score:index:label" instead."""

    name: str
    is_binary: bool
    classes: int = 0


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An inference request as read, not yet fitted to a model.

    Attributes:
        outputs: in the order asked for; empty asks for all of the graph.
        is_binary: how outputs travel that are not asked for by name.
        raw: the whole body, of a request without JSON; then there are no inputs.
        priority, timeout_s: as in `Call`.
    """

    id: str = ""
    inputs: Mapping[str, Tensor] = {}
    outputs: tuple[RequestedOutput, ...] = ()
    is_binary: bool = False
    raw: bytes | None = None
    priority: int = 0
    timeout_s: float | None = None


class OpenedRequest(msgspec.Struct, frozen=True):
    """An inference request, in whatever protocol it came, whose inputs are not read yet.

    Attributes:
        read: reads all of it. Raises: InvalidInput.
    """

    read: Callable[[], InferRequest]
    claims: tuple[Claim, ...] = ()

    @property
    def added_bytes(self) -> int:
        """Bytes of memory that reading takes beside the request, at most."""
        return sum(claim.added_bytes for claim in self.claims)

    @property
    def is_slow(self) -> bool:
        """Whether reading takes so long that it belongs into a thread."""
        return self.added_bytes > INLINE_BYTES


class RequestParameters(msgspec.Struct):
    """Parameters of a request that mean something here; others are ignored. Attributes: timeout: µs; 0: none."""

    priority: Count = 0
    timeout: Count = 0
    binary_data_output: bool = False
    sequence_id: int | str = 0


class InputParameters(msgspec.Struct):
    """Parameters of an input that mean something here."""

    binary_data_size: Count | None = None
    content_type: str | None = None
    shared_memory_region: str | None = None


class OutputParameters(msgspec.Struct):
    """Parameters of a requested output that mean something here."""

    binary_data: bool | None = None
    classification: Count = 0
    shared_memory_region: str | None = None


class _Input(msgspec.Struct):
    name: str
    raw_shape: msgspec.Raw = msgspec.field(name="shape")
    datatype: str = msgspec.field()
    parameters: InputParameters | None = None
    data: msgspec.Raw = msgspec.Raw()  # empty without one

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; read apart so that one of millions of dimensions is refused before it becomes as many objects."""
        if memoryview(self.raw_shape).nbytes > MAX_SHAPE_BYTES:
            raise InvalidInput(f"expected a shape of input {shorten(self.name)} of at most {MAX_SHAPE_BYTES} characters")
        try:
            return _decode_shape(self.raw_shape)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise InvalidInput(f"expected the shape of input {shorten(self.name)} to be a list of integers: {error}") from error

    @property
    def has_data(self) -> bool:
        return bytes(memoryview(self.data)[:4]) not in (b"", b"null")


class _Output(msgspec.Struct):
    name: str
    parameters: OutputParameters | None = None


class _Request(msgspec.Struct):
    """A request whose lists are not read: where a key comes again and again, only the last is, and that if it is short."""

    inputs: msgspec.Raw
    id: str | None = None
    parameters: RequestParameters | None = None
    outputs: msgspec.Raw = msgspec.Raw(b"null")


_check_number = msgspec.json.Decoder(make_short_array(msgspec.Raw, MAX_TENSORS) | None).decode  # builds nothing else
_decode_shape = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_request = msgspec.json.Decoder(_Request).decode
_decode_inputs = msgspec.json.Decoder(list[_Input]).decode
_decode_outputs = msgspec.json.Decoder(list[_Output] | None).decode
_NO_REQUEST, _NO_INPUT, _NO_OUTPUT = RequestParameters(), InputParameters(), OutputParameters()


def read_header_length(header: bytes, body: bytes) -> int | None:
    """Bytes of JSON before the tensors, as `Inference-Header-Content-Length` says; None without it. Raises: InvalidInput."""
    if not header:
        return None
    if not header.isdigit() or len(header) > 18 or int(header) > len(body):
        raise InvalidInput(
            f"expected Inference-Header-Content-Length to be 0..{len(body)}, the size of the body, "
            f"got {header[:20].decode('latin-1')!r}; count the bytes of the JSON"
        )
    return int(header)


def open_request(body: bytes, header_length: int | None = None) -> OpenedRequest:
    """Read the JSON of a body, and no element of its tensors.

    Args:
        body: JSON, then the bytes of the binary inputs in their order.
        header_length: bytes of JSON; None: all; 0: the body has no JSON and is the model's only input.

    Raises: InvalidInput naming what does not fit.
    """
    if header_length == 0:
        return OpenedRequest(lambda: InferRequest(raw=body, is_binary=True))
    view = memoryview(body)
    split = len(body) if header_length is None else header_length
    try:
        asked = _decode_request(view[:split])
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidInput(f"the JSON of the request cannot be read: {error}") from error
    inputs: list[_Input] = _read_list("inputs", asked.inputs, _decode_inputs)
    wanted: list[_Output] = _read_list("outputs", asked.outputs, _decode_outputs) or []
    parameters = asked.parameters or _NO_REQUEST
    outputs = make_outputs([(one.name, one.parameters or _NO_OUTPUT) for one in wanted], parameters)
    return make_request(asked.id or "", parameters, _claim_inputs(inputs, view[split:]), outputs)


def _read_list(kind: str, text: msgspec.Raw, decode: Callable[[msgspec.Raw], Any]) -> Any:
    """Inputs or outputs, of which the number is looked at first. Raises: InvalidInput."""
    try:
        if memoryview(text).nbytes >= MAX_TENSORS * MIN_TENSOR_BYTES:
            _check_number(text)
        return decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise InvalidInput(f"the {kind} in the JSON of the request cannot be read: {error}") from error


def make_request(
    request_id: str, parameters: RequestParameters, claims: Sequence[Claim], outputs: tuple[RequestedOutput, ...]
) -> OpenedRequest:
    """A request from its parts, in whatever protocol they came. Raises: InvalidInput for one of a sequence."""
    if parameters.sequence_id not in (0, ""):
        raise InvalidInput("this server keeps no state between requests; send them without sequence_id")
    check_element_count(claims)

    def read() -> InferRequest:
        return InferRequest(
            id=request_id,
            inputs=read_claims(claims),
            outputs=outputs,
            is_binary=parameters.binary_data_output,
            priority=parameters.priority,
            timeout_s=parameters.timeout * MICROSECONDS if parameters.timeout else None,
        )

    return OpenedRequest(read, tuple(claims))


def check_input(name: str, parameters: InputParameters, known: Container[str]) -> None:
    """Raises: InvalidInput for an input that is among those `known` already, or lies in shared memory."""
    if name in known:
        raise InvalidInput(f"expected each input once, got {shorten(name)} twice")
    if parameters.shared_memory_region is not None:
        raise InvalidInput(f"input {shorten(name)} lies in shared memory, which this server does not offer; send its data")


def make_outputs(asked: Sequence[tuple[str, OutputParameters]], request: RequestParameters) -> tuple[RequestedOutput, ...]:
    """The outputs asked for by name. Raises: InvalidInput for a name that stands twice, or one wanted in shared memory."""
    if len({name for name, _ in asked}) != len(asked):
        raise InvalidInput(f"expected each output once, got {shorten(', '.join(name for name, _ in asked))}")
    outputs = []
    for name, parameters in asked:
        if parameters.shared_memory_region is not None:
            raise InvalidInput(f"output {shorten(name)} is wanted in shared memory, which this server does not offer")
        binary = request.binary_data_output if parameters.binary_data is None else parameters.binary_data
        outputs.append(RequestedOutput(name, binary, parameters.classification))
    return tuple(outputs)


def _claim_inputs(asked: list[_Input], tail: memoryview) -> list[Claim]:
    claims: dict[str, Claim] = {}
    start = 0
    for one in asked:
        parameters = one.parameters or _NO_INPUT
        check_input(one.name, parameters, claims)
        if one.has_data:
            if parameters.binary_data_size is not None:
                raise InvalidInput(f"expected input {shorten(one.name)} to have data or binary_data_size, got both")
            claims[one.name] = _claim_json(one, parameters.content_type == "base64")
            continue
        end = _find_end(one, parameters, start, len(tail), is_only=len(asked) == 1)
        claims[one.name] = _claim_binary(one, tail[start:end], is_sized=parameters.binary_data_size is not None)
        start = end
    if start != len(tail):
        raise InvalidInput(f"expected {start} bytes after the JSON, as binary_data_size says, got {len(tail)}")
    return list(claims.values())


def _find_end(one: _Input, parameters: InputParameters, start: int, available: int, is_only: bool) -> int:
    """Where an input's bytes end among those behind the JSON. Raises: InvalidInput."""
    if parameters.binary_data_size is None:
        if is_only and available:
            return available
        raise InvalidInput(f"expected input {shorten(one.name)} to have data, or binary_data_size and its bytes; got neither")
    if start + parameters.binary_data_size > available:
        raise InvalidInput(
            f"expected {parameters.binary_data_size} bytes of input {shorten(one.name)} behind the JSON, got "
            f"{available - start}; check binary_data_size and Inference-Header-Content-Length"
        )
    return start + parameters.binary_data_size


def _claim_json(one: _Input, is_base64: bool) -> Claim:
    data, shape = memoryview(one.data), one.shape
    count = count_elements(one.name, shape)

    def read() -> Tensor:
        array = decode_json(one.name, one.datatype, shape, data, is_base64)
        return BytesTensor(array.shape, array.ravel().tolist()) if one.datatype == "BYTES" else array

    return Claim(one.name, one.datatype, shape, count, weigh_json(one.datatype, count, len(data)), read)


def _claim_binary(one: _Input, content: memoryview, is_sized: bool) -> Claim:
    shape = one.shape
    if one.datatype != "BYTES" or is_sized or count_elements(one.name, shape) != 1 or _is_prefixed(content):
        return claim_binary(one.name, one.datatype, shape, content)
    return Claim(one.name, "BYTES", shape, 1, 0, lambda: BytesTensor(shape, [content]))


def claim_binary(name: str, datatype: str, shape: tuple[int, ...], content: bytes | memoryview) -> Claim:
    """The claim of an input that came as bytes. Raises: InvalidInput for an impossible shape."""
    count = count_elements(name, shape)
    return Claim(
        name,
        datatype,
        shape,
        count,
        weigh_binary(datatype, count, len(content)),
        partial(_read_binary, name, datatype, shape, count, content),
    )


def _read_binary(name: str, datatype: str, shape: tuple[int, ...], count: int, content: bytes | memoryview) -> Tensor:
    if datatype == "BYTES":
        return BytesTensor(shape, list(read_bytes_elements(content, count, name)))
    return decode_binary(name, datatype, shape, content)


def _is_prefixed(content: memoryview) -> bool:
    """Whether one element stands behind its own length; no picture's first bytes can be that."""
    return len(content) >= 4 and int.from_bytes(content[:4], "little") == len(content) - 4


def make_call(
    request: InferRequest,
    facts: ServedFacts,
    write_answer: Callable[[ServedFacts, Inferred], Any],
    version: str,
    tenant: str,
) -> Call:
    """Fit a request to a model.

    Args:
        facts: of the version that would answer now.
        version: as the client asked for it.

    Raises: InvalidInput for inputs that are no pictures and no tensors of this graph, and for outputs it does not have.
    """
    pictures, tensors = _fit_inputs(request, facts)
    check_outputs(request.outputs, facts, bool(pictures))
    return Call(
        model=facts.name,
        version=version,
        pictures=pictures,
        tensors=None if pictures else tensors,
        write_answer=write_answer,
        tenant=tenant,
        priority=request.priority,
        timeout_s=request.timeout_s,
    )


def check_outputs(outputs: tuple[RequestedOutput, ...], facts: ServedFacts, has_pictures: bool) -> None:
    """Check that the model has these outputs, before anything is inferred. Raises: InvalidInput naming what there is."""
    for output in outputs:
        if any(output.name == fact.name for fact in facts.outputs):
            continue
        made = find_made_output(facts)
        if output.name != made:
            there = [*(fact.name for fact in facts.outputs), *([made] if made else [])]
            raise InvalidInput(f"expected outputs of {', '.join(there)}, got {shorten(output.name)}")
        if not has_pictures:
            raise InvalidInput(f"output {made} lies in the pixels of pictures; send BYTES with pictures, not tensors")
        if output.classes:
            raise InvalidInput(f"output {made} is no list of scores; ask for it without classification")


def find_made_output(facts: ServedFacts) -> str | None:
    """The output that is made of the graph's: annotations, or a drawn picture.

    None where the model takes no pictures, its outputs are not understood, or one of them has that name.
    """
    if facts.input is None or facts.decode is None or facts.decode.head == RAW:
        return None
    name = IMAGE if facts.decode.head == PICTURE else ANNOTATIONS
    return name if all(fact.name != name for fact in facts.outputs) else None


def _fit_inputs(request: InferRequest, facts: ServedFacts) -> tuple[tuple[Upload, ...], dict[str, np.ndarray]]:
    """Pictures, or tensors by name; the other is empty."""
    if request.raw is not None:
        return _fit_raw(request.raw, facts)
    if facts.input is not None:
        for name, tensor in request.inputs.items():
            if isinstance(tensor, BytesTensor):
                check_pictures(name, tensor.shape, len(tensor.elements), len(request.inputs), facts)
                return tuple(Upload(f"picture {index}", content) for index, content in enumerate(tensor.elements)), {}
    return (), {name: _as_array(tensor) for name, tensor in request.inputs.items()}


def _fit_raw(raw: bytes, facts: ServedFacts) -> tuple[tuple[Upload, ...], dict[str, np.ndarray]]:
    """A body without JSON is the only input: a picture, or a tensor of which one dimension may be free."""
    if facts.input is not None:
        return (Upload("picture 0", raw),), {}
    if len(facts.inputs) != 1:
        raise InvalidInput(f"expected JSON that names the inputs {', '.join(fact.name for fact in facts.inputs)}, got none")
    fact = facts.inputs[0]
    shape = (1, *fact.shape[1:]) if fact.shape[:1] == (-1,) else fact.shape  # one row, as the extension says
    free = [axis for axis, size in enumerate(shape) if size < 0]
    if len(free) > 1 or fact.datatype == "BYTES":
        raise InvalidInput(f"expected JSON that states the shape of input {shorten(fact.name)}, got none")
    if free:
        row_bytes = math.prod(size for size in shape if size >= 0) * ITEM_BYTES[fact.datatype]
        shape = tuple(len(raw) // max(row_bytes, 1) if size < 0 else size for size in shape)
    return (), {fact.name: decode_binary(fact.name, fact.datatype, shape, raw)}


def _as_array(tensor: Tensor) -> np.ndarray:
    if isinstance(tensor, np.ndarray):
        return tensor
    array = np.empty(len(tensor.elements), object)
    array[:] = [bytes(element) for element in tensor.elements]
    return array.reshape(tensor.shape)
