"""The server to load: where it is, what it says of itself, and the requests that a protocol makes of pictures.

Requests are written once, whole, before anything is timed; the generator only sends them.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from sightline.bench.load.answers import AnswerReader
from sightline.bench.load.records import Protocol
from sightline.core.errors import Exhausted, InvalidInput, NotFound, Unreachable, Unsupported

ASK_TIMEOUT_S = 30.0
MOST_FACT_BYTES = 16 << 20
SHOWN_BYTES = 300


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A server and how to ask it.

    Attributes:
        url: as it was given, without a path.
        name: for the Host header; `host`, `port` are the numeric address.
        headers: sent with every request.
    """

    url: str
    name: str
    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """Status and body of a whole answer."""

    status: int
    body: bytes


def find_target(url: str, api_key: str | None = None) -> Target:
    """Resolve a URL once, so that no request pays for it.

    Raises: InvalidInput for what is no http URL, or has a name and password, a query or a fragment, which no record may keep;
        Unsupported for https; NotFound for an unknown host.
    """
    if set("@?#") & set(url):
        raise InvalidInput(
            "expected a URL without user name, password, query and fragment, like http://127.0.0.1:8000; "
            "give an API key as `api_key`"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"expected a URL like http://127.0.0.1:8000, got {url!r}: {error}") from error
    if parts.scheme == "https":
        raise Unsupported(f"load is made over plain HTTP, got {url!r}; measure behind the TLS end, at an http:// URL")
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidInput(f"expected a URL like http://127.0.0.1:8000, got {url!r}")
    try:
        found = socket.getaddrinfo(parts.hostname, port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotFound(f"no host {parts.hostname!r}: {error.strerror}; check the URL") from error
    # "localhost" may mean ::1 first, where most servers do not listen.
    host = min((str(address[4][0]) for address in found), key=lambda address: ":" in address)
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise InvalidInput("expected an API key of printable ASCII characters; check the variable it comes from")
    headers = () if api_key is None else (("Authorization", f"Bearer {api_key}"),)
    return Target(url=url.rstrip("/"), name=parts.netloc, host=host, port=port or 80, headers=headers)


def write_request(target: Target, path: str, body: bytes | None = None, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A whole HTTP/1.1 request: POST with a body, GET without."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {target.name}"]
    lines += [f"{name}: {value}" for name, value in (*target.headers, *headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def write_picture_requests(
    target: Target, protocol: Protocol, model: str, pictures: Sequence[bytes], facts: dict[str, Any]
) -> list[bytes]:
    """A request for each encoded picture.

    Args:
        facts: the model's metadata; protocol "v2" takes the name and rank of its first input from it.

    Raises: InvalidInput when metadata that "v2" needs are missing.
    """
    name = quote(model, safe="")
    if protocol == "predict":
        headers = (("Content-Type", "application/octet-stream"),)
        return [write_request(target, f"/predict/{name}", picture, headers) for picture in pictures]
    inputs = facts.get("inputs")
    if not inputs:
        raise InvalidInput(f"{target.url} does not say what {model!r} takes (GET /v2/models/{name}); use `protocol` predict")
    return [_write_v2(target, f"/v2/models/{name}/infer", inputs[0], picture) for picture in pictures]


def _write_v2(target: Target, path: str, tensor: dict[str, Any], picture: bytes) -> bytes:
    """One picture as a BYTES element (u32 length, then the bytes) behind the JSON; outputs come back as binary too."""
    element = struct.pack("<I", len(picture)) + picture
    rank = len(tensor["shape"]) if tensor.get("datatype") == "BYTES" else 1
    described = {
        "name": tensor["name"],
        "shape": [1] * rank,
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(element)},
    }
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("Inference-Header-Content-Length", str(len(head))),
    )
    return write_request(target, path, head + element, headers)


def ask(target: Target, request: bytes, timeout_s: float = ASK_TIMEOUT_S) -> Answer:
    """Send one request on a connection of its own and wait. Raises: Exhausted without an answer; InvalidInput for no HTTP."""
    reader = AnswerReader(keep_bytes=MOST_FACT_BYTES)
    try:
        with socket.create_connection((target.host, target.port), timeout_s) as sock:
            sock.sendall(request)
            while True:
                data = sock.recv(1 << 16)
                if reader.length > MOST_FACT_BYTES:
                    raise InvalidInput(f"{target.url} answers with more than {MOST_FACT_BYTES >> 20} MB; is the URL right?")
                if reader.feed(data) if data else reader.end():
                    break
                if not data:
                    raise ConnectionError("it hung up before the answer was whole")
    except TimeoutError as error:
        raise Exhausted(f"{target.url} did not answer within {timeout_s:g} s; is it overloaded?") from error
    except OSError as error:
        reason = error.strerror or error
        kind = Unreachable if isinstance(error, (ConnectionRefusedError, socket.gaierror)) else Exhausted
        raise kind(f"no answer from {target.url}: {reason}; start it with: sightline serve") from error
    return Answer(reader.status, reader.sample)


def ask_for_facts(target: Target, path: str) -> dict[str, Any] | None:
    """The JSON object at a path; None where the server has none."""
    answer = ask(target, write_request(target, path))
    try:
        content = json.loads(answer.body)
    except ValueError:
        return None
    return content if answer.status == 200 and isinstance(content, dict) else None


def check_answers(target: Target, request: bytes, model: str) -> None:
    """One request, so that a wrong URL or name is told before anything is measured.

    Raises: NotFound, InvalidInput, Exhausted.
    """
    answer = ask(target, request)
    if 200 <= answer.status < 300:
        return
    shown = " ".join(answer.body[:SHOWN_BYTES].decode("utf-8", "replace").split())
    line = f"expected {target.url} to answer about a picture with {model!r}, got HTTP {answer.status}: {shown}"
    if answer.status == 404:
        raise NotFound(f"{line}; check the URL and the name")
    if answer.status in (401, 403):
        raise InvalidInput(f"{line}; give an `api_key` that may do this")
    raise Exhausted(line) if answer.status >= 500 or answer.status == 429 else InvalidInput(line)
