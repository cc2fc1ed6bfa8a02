"""Read a request to `/predict`: its options, and its pictures under limits of bytes, number and time."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Literal, get_args

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from sightline.core.errors import InvalidInput

AnswerFormat = Literal["json", "png", "mask"]
MaskForm = Literal["rle", "polygons", "png"]
MAX_PICTURES = 64
BODY_TIMEOUT_S = 30.0
# What carries one picture as the whole body; the last is what `curl --data-binary` says when it is not told.
RAW_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")


class Upload(msgspec.Struct, frozen=True):
    """An encoded picture as it came: the client's name for it, for messages, and its bytes."""

    name: str
    content: bytes


class PredictOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the query string asks for.

    Attributes:
        confidence: predictions below it are dropped, 0..1; None: the model's own threshold.
        format: "json", "png" (the picture with its predictions drawn) or "mask" (a gray PNG of category indices, 255: none).
        mask: how masks stand in the JSON.
    """

    confidence: float | None = None
    format: AnswerFormat = "json"
    mask: MaskForm = "rle"


def read_options(request: Request) -> PredictOptions:
    """Parse the query string. Raises: InvalidInput for unknown names and values."""
    query = request.query_params
    if unknown := sorted(set(query) - set(PredictOptions.__struct_fields__)):
        raise InvalidInput(f"unknown query parameter {unknown[0]!r}; there is {', '.join(PredictOptions.__struct_fields__)}")
    for name, choices in (("format", get_args(AnswerFormat)), ("mask", get_args(MaskForm))):
        if name in query and query[name] not in choices:
            raise InvalidInput(f"expected {name} to be one of {', '.join(choices)}, got {query[name]!r}")
    return msgspec.convert({**query, "confidence": _read_confidence(query.get("confidence"))}, PredictOptions)


async def read_pictures(request: Request, max_bytes: int, timeout_s: float = BODY_TIMEOUT_S) -> list[Upload]:
    """Read the body: one picture, or a multipart form of several.

    Raises: HTTPException 408 when it takes longer than `timeout_s`, 413 when it is larger than `max_bytes`, 415 for a type
        that holds no pictures, 400 for a broken form; InvalidInput when there is no picture in it.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(timeout_s):
            if content_type == "multipart/form-data":
                return await _read_form(request, max_bytes)
            if content_type in RAW_TYPES or content_type.startswith("image/"):
                return [await _read_raw(request, max_bytes)]
    except TimeoutError:
        raise HTTPException(408, f"the body was not complete after {timeout_s:g} s; send it faster or smaller") from None
    raise HTTPException(
        415, f"expected a picture (image/*, application/octet-stream) or multipart/form-data, got {content_type[:100]!r}"
    )


def _read_confidence(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise InvalidInput(f"expected confidence to be a number from 0 to 1, got {text[:100]!r}")
    return value


async def _read_raw(request: Request, max_bytes: int) -> Upload:
    content = bytearray()
    async for chunk in _stream_bounded(request, max_bytes):
        content += chunk
    if not content:
        raise InvalidInput("the body is empty; send the bytes of a JPEG, PNG, WebP, BMP or TIFF picture")
    return Upload("image", bytes(content))


async def _read_form(request: Request, max_bytes: int) -> list[Upload]:
    parser = MultiPartParser(request.headers, _stream_bounded(request, max_bytes), max_files=MAX_PICTURES, max_fields=16)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the multipart form cannot be read: {error.message}") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        pictures = [Upload(file.filename or f"image {index}", await file.read()) for index, file in enumerate(files)]
    finally:
        await form.close()
    if not pictures:
        raise InvalidInput("the form holds no file; send pictures as file fields, for example curl -F image=@dog.jpg")
    return pictures


async def _stream_bounded(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; stops reading at the limit, or before the first byte when the header announces too much."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than the limit of {max_bytes} bytes; send a smaller picture or fewer")
