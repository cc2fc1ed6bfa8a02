"""Read `POST /v2/streams`: JSON that names a source, or the video itself with its options in the query."""

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from sightline.core.errors import Exhausted, InvalidInput
from sightline.serving.http.connections.exchange import let_go_of_pieces
from sightline.serving.http.request_body import BoundedBody
from sightline.serving.streams.sources import VideoSource
from sightline.serving.streams.stream import StreamOptions

JSON_LIMIT_BYTES = 64 * 1024
WRITE_BYTES = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RAW_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")  # the last: curl that was not told


class SourceField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the video is: one of the two."""

    file: str = ""
    url: str = ""


class StreamRequest(StreamOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON body: options and source."""

    source: SourceField

    @property
    def options(self) -> StreamOptions:
        """The options alone."""
        return StreamOptions(**{name: getattr(self, name) for name in StreamOptions.__struct_fields__})


async def read_request(request: Request) -> StreamRequest:
    """The JSON body. Raises: InvalidInput; Refusal 413."""
    content = await _open_body(request, JSON_LIMIT_BYTES).read_whole()
    try:
        parsed = msgspec.json.decode(content, type=StreamRequest)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body describes no stream: {error}") from None
    except msgspec.DecodeError:
        raise InvalidInput('the body is no JSON; send {"model": NAME, "source": {"file": NAME}}') from None
    if bool(parsed.source.file) == bool(parsed.source.url):
        raise InvalidInput('expected a source of {"file": NAME} or {"url": ADDRESS}, got both or neither')
    return parsed


def read_options(query: Mapping[str, str]) -> StreamOptions:
    """The options of an upload. Raises: InvalidInput."""
    try:
        return msgspec.convert(dict(query), StreamOptions, strict=False)
    except msgspec.ValidationError as error:
        options = ", ".join(StreamOptions.__struct_fields__)
        raise InvalidInput(f"the query describes no stream: {error}; it may have {options}") from None


async def receive_video(request: Request, max_bytes: int) -> VideoSource:
    """Write the uploaded video to a file without a name.

    Raises: InvalidInput when there is none; Exhausted when the disk has no room for it; HTTPException 400 for a broken form,
        415; Refusal 413.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    with _say_when_the_disk_is_full():
        if content_type == "multipart/form-data":
            return await _receive_form(request, max_bytes)
        if content_type in RAW_TYPES or content_type.startswith("video/"):
            return await _receive_raw(request, max_bytes)
    raise HTTPException(415, f"expected application/json, a video (video/*) or multipart/form-data, got {content_type[:100]!r}")


def _open_body(request: Request, max_bytes: int) -> BoundedBody:
    announced = request.headers.get("content-length", "").encode("latin-1")
    return BoundedBody(request.receive, max_bytes, announced, remedy="send a shorter video")


async def _read_portions(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body in small portions.

    Whoever reads them may still hold the last portion while the next one is waited for, but none of the large pieces in which
    the edge hands a body over.

    Raises: Refusal 413 beyond the limit; ClientDisconnect.
    """
    body = _open_body(request, max_bytes)
    let_go_of_pieces(request.scope)
    while not body.is_complete:
        piece = await body.read_piece()
        for start in range(0, len(piece), WRITE_BYTES):
            yield piece[start : start + WRITE_BYTES]
        del piece


async def _receive_raw(request: Request, max_bytes: int) -> VideoSource:
    with tempfile.TemporaryFile(buffering=0) as file:
        assert isinstance(file, FileIO)
        waiting = bytearray()
        size_bytes = 0
        async for chunk in _read_portions(request, max_bytes):
            waiting += chunk
            size_bytes += len(chunk)
            if len(waiting) >= WRITE_BYTES:
                await asyncio.to_thread(_write_all, file, waiting)
                waiting = bytearray()
        await asyncio.to_thread(_write_all, file, waiting)
        if not size_bytes:
            raise InvalidInput("the body is empty; send the bytes of a video, or JSON that names its source")
        return VideoSource(name="upload", descriptor=os.dup(file.fileno()))


async def _receive_form(request: Request, max_bytes: int) -> VideoSource:
    parser = MultiPartParser(request.headers, _read_portions(request, max_bytes), max_files=1, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form must hold one video and nothing else: {error.message}") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        if not files or not files[0].size:
            raise InvalidInput("the form holds no video; send it as a file field, for example curl -F video=@road.mp4")
        file = files[0]
        await asyncio.to_thread(file.file.fileno)  # writes to the disk what was small enough to stay in memory
        return VideoSource(name=(file.filename or "upload")[:200], descriptor=os.dup(file.file.fileno()))
    finally:
        for file in files:
            file.file.close()  # not awaited: once the copy is made, a client that hangs up must not come in between


def _write_all(file: FileIO, content: bytearray) -> None:
    """Write everything: a file without a buffer takes what the disk still holds, and only the next write fails."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def _say_when_the_disk_is_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise Exhausted("the server's disk has no room for this video; send a shorter one, or try again later") from error
