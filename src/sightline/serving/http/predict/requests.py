"""Read a request to `/predict`: what the query asks for, and the pictures in the body.

A body is one of: a picture's bytes; a multipart form of picture files; JSON with `image` (base64), `images` (several) or
`imageUrl`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, get_args

import msgspec
import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from sightline.core.errors import InvalidInput
from sightline.serving.http.content_encoding import read_encoding
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.short_arrays import make_short_array
from sightline.serving.inference.calls import Upload

AnswerFormat = Literal["json", "png", "jpeg", "mask"]
DRAWN: tuple[AnswerFormat, ...] = ("png", "jpeg")
MaskForm = Literal["rle", "polygons", "png"]
FetchImage = Callable[[str], Awaitable[bytes]]

MAX_PICTURES = 64
MAX_FIELDS = 16
INLINE_BYTES = 256 * 1024  # larger forms and JSON are taken apart on a thread
FORM, JSON = "multipart/form-data", "application/json"
# What carries one picture as the whole body; the last is what `curl --data-binary` says when it is not told.
RAW_TYPES = frozenset(("", "application/octet-stream", "application/x-www-form-urlencoded"))
EMPTY_BODY = "the body is empty; send the bytes of a JPEG, PNG, WebP, BMP, TIFF or GIF picture"


class PredictOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the query string asks for.

    Attributes:
        confidence: predictions below it are dropped, 0..1; None: the model's own threshold.
        format: "json", "png" or "jpeg" (the picture with its predictions drawn), or "mask" (a gray PNG of category indices,
            255: none). A network that draws answers with its picture, as PNG unless "jpeg" is asked for.
        mask: how masks stand in the JSON.
        version: of the model, as text; "" for what the version policy chooses.
    """

    confidence: float | None = None
    format: AnswerFormat = "json"
    mask: MaskForm = "rle"
    version: str = ""


DEFAULT_OPTIONS = PredictOptions()


class BodyHead(msgspec.Struct, frozen=True):
    """What a head says of the body behind it.

    Attributes:
        kind: FORM, JSON, or "" for one picture.
        content_type: as it came.
        encoding: in which the client has compressed it; "" for none.
    """

    kind: str
    content_type: bytes
    encoding: str


class Pictures(msgspec.Struct, frozen=True):
    """Pictures of one request.

    Attributes:
        is_list: they came as a list, and are answered with one.
        added_bytes: of them that are no part of the body: base64 that was undone, or fetched from elsewhere.
    """

    uploads: tuple[Upload, ...]
    is_list: bool = False
    added_bytes: int = 0


class _JsonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    image: bytes | None = None  # msgspec reads base64 into bytes
    images: msgspec.Raw = msgspec.Raw(b"null")  # read apart: where the key comes again and again, only the last is read
    image_url: str | None = msgspec.field(default=None, name="imageUrl")


class _JsonPictures(msgspec.Struct, frozen=True):
    """What the JSON has of pictures, undone."""

    image: bytes | None
    images: list[bytes] | None
    image_url: str | None


_JSON_BODY = msgspec.json.Decoder(_JsonBody)
_JSON_IMAGES = msgspec.json.Decoder(make_short_array(bytes, MAX_PICTURES) | None)


def read_options(request: Request) -> PredictOptions:
    """Parse the query string. Raises: InvalidInput for unknown names and values."""
    if not request.scope["query_string"]:
        return DEFAULT_OPTIONS
    query = request.query_params
    if unknown := sorted(set(query) - set(PredictOptions.__struct_fields__)):
        raise InvalidInput(
            f"unknown query parameter {unknown[0][:100]!r}; there is {', '.join(PredictOptions.__struct_fields__)}"
        )
    for name, choices in (("format", get_args(AnswerFormat)), ("mask", get_args(MaskForm))):
        if name in query and query[name] not in choices:
            raise InvalidInput(f"expected {name} to be one of {', '.join(choices)}, got {query[name][:100]!r}")
    return msgspec.convert({**query, "confidence": _read_confidence(query.get("confidence"))}, PredictOptions)


def read_head(request: Request) -> BodyHead:
    """What the head says of the body. Raises: Refusal 415 for a type that holds no pictures."""
    content_type = encoding = b""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            content_type = content_type or value
        elif name == b"content-encoding":
            encoding = value
    kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if kind in RAW_TYPES or kind.startswith("image/"):
        kind = ""
    elif kind not in (FORM, JSON):
        raise Refusal(
            415,
            f"expected a picture (image/*, application/octet-stream), {FORM} or {JSON}, "
            f"got {kind[:100]!r}; name the body's type",
        )
    return BodyHead(kind, content_type, read_encoding(encoding))


async def find_pictures(body: bytes, head: BodyHead, fetch_image: FetchImage | None = None) -> Pictures:
    """Take a body apart.

    Args:
        body: decompressed.
        fetch_image: gets the bytes behind an `imageUrl`; None: URLs are refused.

    Raises: Refusal 400 for a broken form; InvalidInput when there is no picture in it, or for JSON of another form.
    """
    if head.kind == FORM:
        form: Pictures = await _run_by_size(read_form, body, head.content_type)
        return form
    if head.kind == JSON:
        content: _JsonPictures = await _run_by_size(_read_json, body)
        return await _find_in_json(content, fetch_image)
    if not body:
        raise InvalidInput(EMPTY_BODY)
    return Pictures((Upload("image", body),))


def read_form(body: bytes, content_type: bytes) -> Pictures:
    """Files of a multipart form, as views into its body. Raises: Refusal 400 for a broken form; InvalidInput for no file."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refusal(400, "the multipart form names no boundary; let your HTTP library write the Content-Type")
    reader = _FormReader(body)
    try:
        parser = python_multipart.MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, f"the multipart form cannot be read: {str(error)[:200]}") from None
    if not reader.is_complete:
        raise Refusal(400, "the multipart form ends before its last boundary; send all of it")
    if not reader.uploads:
        raise InvalidInput("the form holds no file; send pictures as file fields, for example curl -F image=@dog.jpg")
    return Pictures(tuple(reader.uploads), is_list=True)


class _FormReader:
    """Notes where the files of a form lie. The body is parsed in one piece, so a file is one slice of it."""

    def __init__(self, body: bytes) -> None:
        self.uploads: list[Upload] = []
        self.is_complete = False
        self._body = memoryview(body)
        self._fields = 0
        self._begin()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_name,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def _complete(self) -> None:
        self.is_complete = True

    def _begin(self) -> None:
        self._name = self._value = self._disposition = b""
        self._file_name: str | None = None
        self._slices: list[tuple[int, int]] = []

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"filename" in options:
            self._file_name = options[b"filename"].decode("utf-8", "replace")
            return
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise Refusal(400, f"expected at most {MAX_FIELDS} fields that are no files; leave them out")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        assert data is self._body.obj, "the parser was given the body in one piece"
        if self._slices and self._slices[-1][1] == start:
            self._slices[-1] = (self._slices[-1][0], end)
        else:
            self._slices.append((start, end))

    def _end(self) -> None:
        if self._file_name is None:
            return
        if len(self.uploads) >= MAX_PICTURES:
            raise Refusal(400, f"expected at most {MAX_PICTURES} pictures in a form; send several requests")
        views = [self._body[start:end] for start, end in self._slices]
        content = views[0] if len(views) == 1 else b"".join(views)
        self.uploads.append(Upload(self._file_name or f"image {len(self.uploads)}", content))


def _read_json(body: bytes) -> _JsonPictures:
    try:
        content = _JSON_BODY.decode(body)
        images = _JSON_IMAGES.decode(content.images)
        return _JsonPictures(content.image, None if images is None else list(images), content.image_url)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f'expected JSON like {{"image": "<base64>"}}, {{"images": [...]}} or {{"imageUrl": "..."}}: {str(error)[:200]}'
        ) from None


async def _find_in_json(content: _JsonPictures, fetch_image: FetchImage | None) -> Pictures:
    if sum(value is not None for value in (content.image, content.images, content.image_url)) != 1:
        raise InvalidInput("expected one of image, images and imageUrl in the JSON; send exactly one")
    if content.image is not None:
        if not content.image:
            raise InvalidInput(EMPTY_BODY)
        return Pictures((Upload("image", content.image),), added_bytes=len(content.image))
    if content.images is not None:
        uploads = [Upload(f"image {index}", picture) for index, picture in enumerate(content.images)]
        if not uploads:
            raise InvalidInput(f"expected 1 to {MAX_PICTURES} images, got none; send at least one")
        return Pictures(tuple(uploads), is_list=True, added_bytes=sum(map(len, content.images)))
    if fetch_image is None:
        raise InvalidInput("this server fetches no URLs (it was not started with --allow-image-urls); send the picture itself")
    assert content.image_url is not None
    picture = await fetch_image(content.image_url)
    return Pictures((Upload("image", picture),), added_bytes=len(picture))


async def _run_by_size(read: Callable[..., Any], body: bytes, *arguments: Any) -> Any:
    if len(body) <= INLINE_BYTES:
        return read(body, *arguments)
    return await asyncio.to_thread(read, body, *arguments)


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
