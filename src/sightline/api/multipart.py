"""Forms with files, of any size, as they arrive: each file goes straight to disk under a safe name, fields stay in memory."""

from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import IO

import anyio.to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sightline.core.errors import InvalidInput
from sightline.core.folders import explain_disk_errors
from sightline.data.archives import check_entry_name
from sightline.serving.http.connections.exchange import let_go_of_pieces

FORM_TYPE = b"multipart/form-data"
FILES = "files"
MAX_FIELDS = 100
MAX_FIELD_BYTES = 1 << 20  # of all fields together
WRITTEN_AT_ONCE = 1 << 20
UPLOAD = Path("the upload")  # what messages call it


class FormReceiver:
    """Takes a form's bytes as they come. Its methods block.

    Args:
        folder: where files go, each in the folders that its name has.
        boundary: what stands between the parts.
        on_files: told the fields that came before the first file; what it raises ends the form.
        texts: names of parts that are fields although they come with a file name.

    Attributes: fields, paths: what has come.

    Raises: InvalidInput for a boundary that is none.
    """

    def __init__(
        self, folder: Path, boundary: bytes, on_files: Callable[[dict[str, str]], object], texts: Collection[str] = ()
    ) -> None:
        self.fields: dict[str, str] = {}
        self.paths: list[Path] = []
        self._folder = folder
        self._on_files, self._texts = on_files, texts
        self._header_name = self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._value = bytearray()
        self._field_bytes = 0  # of all fields that have come
        self._file: IO[bytes] | None = None
        self._is_ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open_part,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InvalidInput(f"expected a form of type multipart/form-data, got another: {error}") from error

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. Raises: InvalidInput for what is no form, or holds unsafe names; Exhausted on a full disk."""
        try:
            with explain_disk_errors(self._folder):
                self._parser.write(chunk)
        except (FormParserError, UnicodeDecodeError) as error:
            raise InvalidInput(f"expected a form of type multipart/form-data, got a damaged one: {error}") from error

    def finish(self) -> None:
        """Call after the last bytes. Raises: InvalidInput for a form that was cut short."""
        if not self._is_ended:
            raise InvalidInput("expected a whole form, got one that was cut short; send it again")

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin_part(self) -> None:
        self._headers = {}
        self._field, self._value = None, bytearray()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _open_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode()
        if b"filename" not in options or name in self._texts:
            self._field = name
            if len(self.fields) >= MAX_FIELDS:
                raise InvalidInput(f"expected at most {MAX_FIELDS} fields, got one more, {name[:100]!r}; leave some out")
            return
        if name != FILES:
            raise InvalidInput(f"expected files under {FILES!r}, got one under {name[:100]!r}; name the part {FILES!r}")
        file_name = check_entry_name(options[b"filename"].decode(), UPLOAD)
        if not self.paths:
            self._on_files(self.fields)
        self._file = self._create(file_name)

    def _create(self, name: PurePosixPath) -> IO[bytes]:
        path = self._folder / name
        if not name.parts or path.exists() or any(above.is_file() for above in path.parents):
            raise InvalidInput(f"expected a name of its own for each file, got {str(name)[:100]!r} again; rename one")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.paths.append(path)
        return path.open("xb")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        else:
            self._field_bytes += end - start
            if self._field_bytes > MAX_FIELD_BYTES:
                raise InvalidInput(
                    f"expected at most {MAX_FIELD_BYTES:,} bytes in all fields, got more with {self._field!r}; make it shorter"
                )
            self._value += data[start:end]

    def _end_part(self) -> None:
        self.close()
        if self._field is not None:
            self.fields[self._field] = self._value.decode()

    def _end(self) -> None:
        self._is_ended = True


async def receive_form(
    request: Request, folder: Path, on_files: Callable[[dict[str, str]], object], texts: Collection[str] = ()
) -> FormReceiver:
    """A request's form with its files in `folder`.

    A form that is refused is read to its end all the same: browsers do not look at an answer before they have sent everything.

    Raises: InvalidInput, Exhausted, what `on_files` raises; ClientDisconnect when the client hangs up.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != FORM_TYPE or b"boundary" not in options:
        raise InvalidInput(f"expected a form of type multipart/form-data, got {kind.decode() or 'none'}; send name and files")
    let_go_of_pieces(request.scope)
    receiver = FormReceiver(folder, options[b"boundary"], on_files, texts)
    chunks = request.stream()
    try:
        waiting = bytearray()
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= WRITTEN_AT_ONCE:
                await anyio.to_thread.run_sync(receiver.write, bytes(waiting))
                waiting.clear()
        await anyio.to_thread.run_sync(receiver.write, bytes(waiting))
        receiver.finish()
    except Exception:
        async for _ in chunks:
            pass
        raise
    finally:
        receiver.close()
    return receiver
