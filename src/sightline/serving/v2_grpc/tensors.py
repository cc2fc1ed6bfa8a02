"""Inference requests and answers between the protocol's messages and what `serving.v2` works with.

A tensor's elements come raw, little-endian, in the message's list of raw contents, or typed, in one of the fields of the tensor
itself; answers are always raw. Raw numbers are not copied: the array looks into the message.

Source: Open Inference Protocol V2, "GRPC", "Tensor Data".
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sightline.core.errors import InvalidInput
from sightline.serving.inference.calls import Inferred, ServedFacts
from sightline.serving.v2.answers import find_output_datatype, select_outputs
from sightline.serving.v2.claims import ELEMENT_BYTES, BytesTensor, Claim, Tensor
from sightline.serving.v2.requests import (
    MAX_TENSORS,
    InferRequest,
    InputParameters,
    OpenedRequest,
    OutputParameters,
    RequestParameters,
    check_input,
    claim_binary,
    make_outputs,
    make_request,
)
from sightline.serving.v2.tensors import ITEM_BYTES, count_elements, encode_binary, make_array, shorten
from sightline.serving.v2_grpc.messages import Message, find_message

Parameters = TypeVar("Parameters")

VALUE_BYTES = 16  # of an element in the message, which took one byte of its own or more

FIELDS = {  # of InferTensorContents; the other datatypes travel raw only
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_parameters(parameters: Mapping[str, Message]) -> dict[str, Any]:
    """Parameters as Python values; one without a value is left out."""
    chosen = {name: (parameter, parameter.WhichOneof("parameter_choice")) for name, parameter in parameters.items()}
    return {name: getattr(parameter, field) for name, (parameter, field) in chosen.items() if field is not None}


def open_request(message: Message) -> OpenedRequest:
    """A `ModelInferRequest`, no element of its tensors read. Raises: InvalidInput naming what does not fit."""
    for kind, tensors in (("inputs", message.inputs), ("outputs", message.outputs)):
        if len(tensors) > MAX_TENSORS:
            raise InvalidInput(f"expected at most {MAX_TENSORS} {kind}, got {len(tensors)}; ask for fewer at once")
    parameters = _convert_parameters("the request", message.parameters, RequestParameters)
    outputs = [
        (one.name, _convert_parameters(f"output {shorten(one.name)}", one.parameters, OutputParameters))
        for one in message.outputs
    ]
    return make_request(message.id, parameters, _claim_inputs(message), make_outputs(outputs, parameters))


def write_answer(request: InferRequest, facts: ServedFacts, inferred: Inferred, is_in_stream: bool) -> bytes:
    """The bytes of a `ModelInferResponse`, or of the `ModelStreamInferResponse` around it. Runs on the inferring thread.

    Args:
        is_in_stream: the answer is a message of a stream.

    Raises: InvalidInput for an output the model does not have.
    """
    response = find_message("ModelInferResponse")(model_name=facts.name, model_version=str(facts.version), id=request.id)
    for output, array in select_outputs(request, facts, inferred):
        datatype = find_output_datatype(output.name, array, facts)
        response.outputs.add(name=output.name, datatype=datatype, shape=array.shape)
        response.raw_output_contents.append(bytes(encode_binary(array, datatype)))
    if is_in_stream:
        response.parameters["triton_final_response"].bool_param = True  # each request has one answer, which is its last
        response = find_message("ModelStreamInferResponse")(infer_response=response)
    return bytes(response.SerializeToString())


def _convert_parameters(owner: str, parameters: Mapping[str, Message], kind: type[Parameters]) -> Parameters:
    try:
        return msgspec.convert(read_parameters(parameters), kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the parameters of {owner} cannot be read: {error}") from error


def _claim_inputs(message: Message) -> list[Claim]:
    raws = message.raw_input_contents
    if raws and len(raws) != len(message.inputs):
        raise InvalidInput(
            f"expected raw_input_contents for each of {len(message.inputs)} inputs, got {len(raws)}; send all raw or none"
        )
    claims: dict[str, Claim] = {}
    for index, one in enumerate(message.inputs):
        check_input(one.name, _convert_parameters(f"input {shorten(one.name)}", one.parameters, InputParameters), claims)
        claims[one.name] = _claim_raw(one, raws[index]) if raws else _claim_typed(one)
    return list(claims.values())


def _claim_raw(tensor: Message, raw: bytes) -> Claim:
    if tensor.HasField("contents"):
        raise InvalidInput(f"expected input {shorten(tensor.name)} to have contents or raw_input_contents, got both")
    count_elements(tensor.name, tensor.shape)  # refuses a shape that would be long to copy
    return claim_binary(tensor.name, tensor.datatype, tuple(tensor.shape), raw)


def _claim_typed(tensor: Message) -> Claim:
    name, datatype = tensor.name, tensor.datatype
    field = FIELDS.get(datatype)
    if field is None:
        raise InvalidInput(f"expected input {shorten(name)} of {shorten(datatype)} in raw_input_contents, got none")
    count = count_elements(name, tensor.shape)  # refuses a shape that would be long to copy
    shape, values = tuple(tensor.shape), getattr(tensor.contents, field)
    if len(values) != count:
        raise InvalidInput(
            f"expected input {shorten(name)} of {datatype} {list(shape)} to have {count} elements in {field}, got {len(values)}"
        )
    added_bytes = count * (VALUE_BYTES + ITEM_BYTES[datatype])
    if datatype == "BYTES":
        added_bytes = count * (VALUE_BYTES + ELEMENT_BYTES) + tensor.contents.ByteSize()

    def read() -> Tensor:
        return BytesTensor(shape, list(values)) if datatype == "BYTES" else make_array(name, datatype, shape, values)

    return Claim(name, datatype, shape, count, added_bytes, read)
