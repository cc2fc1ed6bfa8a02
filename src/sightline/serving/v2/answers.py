"""Write the answer to an inference request: JSON, followed by the bytes of the outputs that travel as binary data.

All of it runs on the thread that inferred. Outputs that lie contiguous in memory are copied once, into the body.

Source: Open Inference Protocol V2, "Inference Response"; Triton's binary tensor data and classification extensions.
"""

import math
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response

from sightline.core.errors import InvalidInput
from sightline.imaging.files.reading import encode_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.heads.pictures import write_pictures
from sightline.imaging.ranking import find_smallest
from sightline.serving.http.content_encoding import compress_body
from sightline.serving.inference.calls import Inferred, ServedFacts
from sightline.serving.v2.requests import IMAGE, InferRequest, RequestedOutput, find_made_output
from sightline.serving.v2.tensors import MAX_BYTES_ELEMENTS, encode_binary, encode_json, find_datatype, shorten

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"


def write_answer(request: InferRequest, facts: ServedFacts, inferred: Inferred, encoding: str) -> Response:
    """The whole answer. Args: encoding: its Content-Encoding; "" for none.

    Raises: InvalidInput for an output the model does not have, or that has no form in JSON.
    """
    described: list[dict[str, Any]] = []
    parts: list[bytes | memoryview] = [b""]  # the JSON comes first
    for output, array in select_outputs(request, facts, inferred):
        datatype = find_output_datatype(output.name, array, facts)
        entry: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": array.shape}
        if output.is_binary:
            content = encode_binary(array, datatype)
            entry["parameters"] = {"binary_data_size": len(content)}
            parts.append(content)
        else:
            entry["data"] = encode_json(output.name, array, datatype)
        described.append(entry)
    answer = {"model_name": facts.name, "model_version": str(facts.version), "outputs": described}
    if request.id:
        answer["id"] = request.id
    parts[0] = msgspec.json.encode(answer)
    return _make_response(parts, encoding)


def select_outputs(request: InferRequest, facts: ServedFacts, inferred: Inferred) -> list[tuple[RequestedOutput, np.ndarray]]:
    """The arrays that were asked for, in that order; all of the graph's when none was.

    Returns: each with its array; a classification is BYTES `(N, k)`, annotations and drawn pictures are BYTES `(N,)`.
    Raises: InvalidInput for an output the model does not have.
    """
    if not request.outputs:
        return [(RequestedOutput(fact.name, request.is_binary), inferred.outputs[fact.name]) for fact in facts.outputs]
    return [(output, _select_output(output, facts, inferred)) for output in request.outputs]


def _select_output(output: RequestedOutput, facts: ServedFacts, inferred: Inferred) -> np.ndarray:
    array = inferred.outputs.get(output.name)
    if array is not None:
        return _classify(output, array, facts) if output.classes else array
    if output.name == find_made_output(facts):
        return write_drawn(facts, inferred) if output.name == IMAGE else write_annotations(facts, inferred)
    raise InvalidInput(f"expected outputs of {', '.join(fact.name for fact in facts.outputs)}, got {shorten(output.name)}")


def find_output_datatype(name: str, array: np.ndarray, facts: ServedFacts) -> str:
    """The array's own datatype, but BF16 where the graph says so, which is float32 in numpy."""
    datatype = find_datatype(array)
    is_bf16 = datatype == "FP32" and any(fact.datatype == "BF16" for fact in facts.outputs if fact.name == name)
    return "BF16" if is_bf16 else datatype


def _classify(output: RequestedOutput, array: np.ndarray, facts: ServedFacts) -> np.ndarray:
    """The best classes, named by the output's own labels, or else by the model's categories where there are as many."""
    categories = facts.categories if len(facts.categories) == math.prod(array.shape[1:]) else ()
    return classify_output(output.name, array, output.classes, facts.labels.get(output.name, categories))


def classify_output(name: str, array: np.ndarray, classes: int, labels: tuple[str, ...]) -> np.ndarray:
    """The best classes of each row, as Triton's classification extension writes them.

    Args:
        array: `(N, ...)` scores or logits, floats or integers; all behind the first axis are C classes, `(N, C, 1, 1)` too.
        classes: so many at most, best first; of equal scores the lower index comes first.
        labels: by index, as far as they reach; an empty one is none.

    Returns: object array `(N, min(classes, C))` of `b"score:index"` or `b"score:index:label"`; scores as the graph gave them.
    Raises: InvalidInput for an output that is no list of scores per row, and for more classes than are written.
    """
    if array.ndim < 2 or array.dtype.kind not in "iuf":
        raise InvalidInput(
            f"expected classification of an output (N, C) of numbers, got {shorten(name)} {array.dtype} {array.shape}; "
            "ask for it without classification"
        )
    scores = array.reshape(len(array), math.prod(array.shape[1:]))  # (N, ...) -> (N, C)
    count = min(classes, scores.shape[1])
    if len(scores) * count > MAX_BYTES_ELEMENTS:
        raise InvalidInput(
            f"expected classification of at most {MAX_BYTES_ELEMENTS} classes in all, got {len(scores)} x {count}"
        )
    # ~ turns the order of integers, signed or not, without a smallest one that has no opposite; NaN comes last.
    falling = -scores if scores.dtype.kind == "f" else ~scores
    answer = np.empty((len(scores), count), object)
    for row, keys in enumerate(falling):
        answer[row] = [_write_class(scores[row, index], index, labels) for index in find_smallest(keys, count)]
    return answer


def _write_class(score: np.generic, index: int, labels: tuple[str, ...]) -> bytes:
    text = f"{score:f}" if score.dtype.kind == "f" else f"{score:d}"
    label = labels[index] if index < len(labels) else ""
    return f"{text}:{index}{label and f':{label}'}".encode()


def write_annotations(facts: ServedFacts, inferred: Inferred) -> np.ndarray:
    """What the decode head found: an object array `(N,)`, for each picture a JSON list of Annotations in its own pixels."""
    assert facts.decode is not None
    found = decode_outputs(facts.decode, inferred.outputs, inferred.placements, facts.table)
    answer = np.empty(len(found), object)
    answer[:] = [msgspec.json.encode(annotations) for annotations in found]
    return answer


def write_drawn(facts: ServedFacts, inferred: Inferred) -> np.ndarray:
    """The pictures that the network draws: an object array `(N,)` of PNG bytes."""
    assert facts.decode is not None
    pictures = write_pictures(facts.decode, inferred.outputs, inferred.placements)
    answer = np.empty(len(pictures), object)
    answer[:] = [encode_image(picture, "png") for picture in pictures]
    return answer


def _make_response(parts: list[bytes | memoryview], encoding: str) -> Response:
    headers = {}
    if len(parts) > 1:
        headers[HEADER_LENGTH] = str(len(parts[0]))
    body = b"".join(parts)
    if encoding:
        headers["Content-Encoding"] = encoding
        body = compress_body(body, encoding)
    return Response(body, headers=headers, media_type=BINARY if len(parts) > 1 else "application/json")
