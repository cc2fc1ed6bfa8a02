"""What a client asks and how it reads the answer, free of any I/O: the sync and the async client only send these.

Every refusal becomes an error of `core.errors`, with the server's own words.
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import numpy as np

from sightline.core import errors
from sightline.core.annotations import Annotation
from sightline.core.errors import (
    HTTP_STATUS,
    AccessDenied,
    Exhausted,
    InvalidInput,
    NotFound,
    SightlineError,
    Unreachable,
    UnreadableImage,
)
from sightline.imaging.files.reading import encode_image
from sightline.runtime.predictor import ENCODED_TYPES, PICTURE_WORDS, Picture, check_confidence
from sightline.serving.client.tensors import LENGTH_HEADER, read_infer_answer, write_infer_request

Value = TypeVar("Value")

READ_BYTES = 1 << 16
NEEDS_KEY = (401, 403)
ERROR_BY_STATUS = (
    {status: head for head, status in HTTP_STATUS.items()}
    | {429: Exhausted, 408: Exhausted}
    | dict.fromkeys(NEEDS_KEY, AccessDenied)
)
# How servers say that they want another certificate of their client, or any (RFC 8446 §6.2), as OpenSSL spells it.
CERTIFICATE_REFUSED = re.compile(r"ALERT_(CERTIFICATE_\w+|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA)")


class ClientCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request.

    Attributes:
        content: the body; file: whose content is the body instead.
        is_repeatable: sending it twice does what sending it once does.
    """

    method: str
    path: str
    content: bytes = b""
    file: Path | None = None
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    is_repeatable: bool = True


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model in the server's repository.

    Attributes:
        state: "READY", "LOADING", "UNLOADING" or "UNAVAILABLE"; "" if the server does not say.
        reason: why it is not ready.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


class TensorMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of a served model; -1 in the shape stands for a free dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says about a model.

    Attributes:
        parameters: what the protocol has no word for. Sightline's are `task`, `categories`, `max_batch_size` and
            `also_answers`: the output that is made from the graph's outputs for pictures, when it is asked for.
    """

    name: str
    versions: tuple[str, ...] = ()
    platform: str = ""
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    parameters: dict[str, Any] = {}


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says about itself."""

    name: str
    version: str = ""
    extensions: tuple[str, ...] = ()


def make_model_path(model: str, version: str | int = "", end: str = "") -> str:
    """Path of a model, or of something of it. Args: version: its number, also as text; "": the server chooses."""
    if not model:
        raise InvalidInput("expected the name of a model, got an empty one; models() lists what there is")
    wanted = quote_name(write_version(version))
    numbered = f"/versions/{wanted}" if wanted else ""
    return f"/v2/models/{quote_name(model)}{numbered}{end}"


def write_version(version: str | int | None) -> str:
    """A version as text; "": the server chooses. Not for 0, which is the server's to refuse."""
    return "" if version is None else str(version)


def quote_name(name: str) -> str:
    """A name as a part of a path. Raises: InvalidInput for one that is no text."""
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise InvalidInput(f"expected a name of Unicode text, got {name!r}; models() lists what there is") from None


def call_predict(
    model: str, picture: Picture, confidence: float | None, version: str | int = "", answer_format: str = "json"
) -> ClientCall:
    """Ask about a picture. Raises: NotFound, InvalidInput for a picture that cannot be sent, or a confidence outside 0..1."""
    check_confidence(confidence)
    query = {"format": answer_format}
    if confidence is not None:
        query["confidence"] = str(confidence)
    if wanted := write_version(version):
        query["version"] = wanted
    return ClientCall(
        method="POST",
        path=f"/predict/{quote_name(model)}",
        content=encode_picture(picture),
        query=query,
        headers={"Content-Type": "application/octet-stream"},
    )


def call_infer(model: str, tensors: Mapping[str, np.ndarray], version: str | int, outputs: Sequence[str]) -> ClientCall:
    """Ask about tensors. Raises: InvalidInput."""
    content, headers = write_infer_request(tensors, outputs)
    return ClientCall(method="POST", path=make_model_path(model, version, "/infer"), content=content, headers=headers)


def call_load(model: str, configuration: Mapping[str, Any] | None) -> ClientCall:
    """Load a model, with this configuration instead of its file's."""
    parameters = {} if configuration is None else {"config": msgspec.json.encode(configuration).decode()}
    return _call_repository(model, "load", parameters)


def call_unload(model: str, with_dependents: bool) -> ClientCall:
    """Unload a model."""
    return _call_repository(model, "unload", {"unload_dependents": True} if with_dependents else {})


def _call_repository(model: str, verb: str, parameters: Mapping[str, Any]) -> ClientCall:
    return ClientCall(
        method="POST",
        path=f"/v2/repository/models/{quote_name(model)}/{verb}",
        content=msgspec.json.encode({"parameters": parameters} if parameters else {}),
        headers={"Content-Type": "application/json"},
        is_repeatable=False,
    )


def call_index() -> ClientCall:
    """List the repository; a POST that changes nothing."""
    return ClientCall(method="POST", path="/v2/repository/index", content=b"{}", headers={"Content-Type": "application/json"})


def read_annotations(answer: httpx.Response) -> list[Annotation]:
    """Annotations of one picture. Raises: InvalidInput when another program answers."""
    return read_json(answer, PredictAnswer).annotations


class PredictAnswer(msgspec.Struct, frozen=True):
    """What a client needs of an answer about one picture."""

    annotations: list[Annotation]


def read_tensors(answer: httpx.Response) -> dict[str, np.ndarray]:
    """Outputs of a V2 answer. Raises: InvalidInput."""
    return read_infer_answer(answer.content, answer.headers.get(LENGTH_HEADER))


def read_json(answer: httpx.Response, kind: type[Value]) -> Value:
    """The body as a record of this kind. Raises: InvalidInput when another program answers."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise doubt_server(answer.url.copy_with(path="/", query=None), error) from error


def check_outcome(outcome: httpx.Response | Exception, url: str) -> httpx.Response:
    """The answer, where one came and is 2xx. Raises: the error that anything else stands for."""
    if not isinstance(outcome, httpx.Response):
        raise explain_failure(outcome, url) from outcome
    if not outcome.is_success:
        raise read_problem(outcome)
    return outcome


def read_ready(outcome: httpx.Response | Exception, url: str) -> bool:
    """Whether a health answer says yes; without an answer it does not. Raises: AccessDenied, which no waiting mends."""
    try:
        check_outcome(outcome, url)
    except AccessDenied:
        raise
    except SightlineError:
        return False
    return True


def encode_picture(image: Picture) -> bytes:
    """The bytes to send: files and bytes as they are, arrays as PNG. Raises: NotFound, InvalidInput, UnreadableImage."""
    if isinstance(image, ENCODED_TYPES):
        return bytes(image)
    if isinstance(image, np.ndarray):
        return encode_image(image, "png")
    if not isinstance(image, (str, os.PathLike)):
        raise InvalidInput(f"expected {PICTURE_WORDS}, got {type(image).__name__}")
    path = Path(image)
    try:
        if path.is_file():
            return path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"expected a picture at {path}, could not read it ({error.strerror}); check the path") from error
    raise NotFound(f"no picture {path}; give a file, its bytes or an array")


def read_problem(answer: httpx.Response) -> SightlineError:
    """The error an answer stands for, in the server's words: problem+json has them in "detail", V2 in "error".

    4xx without a head of ours are InvalidInput, 5xx Exhausted; a nearer class where problem+json names one as its type.
    """
    detail = f"the server answered {answer.status_code}, not as Sightline does; is the URL right?"
    try:
        content = answer.json()
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        detail = str(content.get("detail") or content.get("error") or detail)
    if answer.status_code in NEEDS_KEY:
        detail += "; give an `api_key` that may do this"
    default = InvalidInput if answer.is_client_error else Exhausted
    head = ERROR_BY_STATUS.get(answer.status_code, default)
    problem = find_named_error(content, head)(detail)
    if isinstance(problem, Exhausted):
        problem.retry_after_s = read_retry_after(answer)
    return problem


def find_named_error(content: object, head: type[SightlineError]) -> type[SightlineError]:
    """The class that the type of problem+json names, `urn:sightline:error:queue-full`, below the head; else the head."""
    named = str(content.get("type")).rpartition(":")[2] if isinstance(content, dict) else ""
    kind = vars(errors).get("".join(word.capitalize() for word in named.split("-")))
    return kind if isinstance(kind, type) and issubclass(kind, head) else head


def read_retry_after(answer: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date (RFC 9110 §10.2.3); None without a readable one."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def explain_failure(error: Exception, url: str) -> SightlineError:
    """The error for a request without an answer that can be read, or for a URL that is none."""
    if isinstance(error, httpx.TimeoutException):
        return Exhausted(f"{url} did not answer in time; is it overloaded?")
    if isinstance(error, httpx.DecodingError):
        return doubt_server(url, error)
    refused = find_tls_error(error)
    if isinstance(refused, ssl.SSLCertVerificationError):
        line = f"expected {url} to have a certificate that can be trusted, got: {refused.verify_message.rstrip('.')}"
        return AccessDenied(f"{line}; give its authority's PEM file as `ca_file`")
    if is_distrust(error):
        line = f"{url} lets in only clients with a certificate that it trusts: {refused}"
        return AccessDenied(f"{line}; give `client_certificate` and `client_key`")
    if isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol):
        is_nobody = isinstance(error, httpx.ConnectError) and refused is None
        kind = Unreachable if is_nobody else Exhausted
        return kind(f"no answer from {url}: {error or type(error).__name__}; start it with: sightline serve")
    return InvalidInput(f"expected a URL like http://127.0.0.1:8000, got {url!r}: {error}")


def doubt_server(url: object, error: Exception) -> InvalidInput:
    """The error for an answer that no server of ours gives."""
    return InvalidInput(f"{url} does not answer as a Sightline server does: {error}; is the URL right?")


def is_distrust(error: BaseException) -> bool:
    """Whether one side of a connection says that it does not trust the other's certificate, or misses one."""
    refused = find_tls_error(error)
    said = isinstance(refused, ssl.SSLCertVerificationError) or CERTIFICATE_REFUSED.search(str(refused))
    return bool(said)


def find_tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS said, among the causes of a failure."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def make_request(call: ClientCall) -> dict[str, Any]:
    """Arguments of `httpx.Client.request`."""
    return {
        "method": call.method,
        "url": call.path,
        "content": call.content or None if call.file is None else read_pieces(call.file),
        "params": dict(call.query) or None,
        "headers": dict(call.headers),
    }


def read_pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece
