"""Read a JSON object or list of any size part by part: the elements of lists come one at a time, in bounded memory.

`json` finds the end of each element itself (`raw_decode`), so elements are parsed once, in C; only the outermost braces, commas
and keys are walked here. More text is read when an element is not complete yet.
"""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sightline.core.errors import UnreadableDataset

CHUNK_BYTES = 1 << 20
MAX_ELEMENT_CHARS = 64 << 20
MOST_HELD_BACK = 2  # characters that no number ends with: "." or "e+"
WHITESPACE = " \t\n\r"
LIST_START = object()  # stands for the opening bracket of a list, so that an empty list is seen too


def stream_members(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of the object in `path`; for a list (key, LIST_START), then (key, element) for each element.

    Raises: UnreadableDataset when the file is no JSON object, is cut, or holds an element of more than 64 M characters.
    """
    with path.open("rb") as file:
        text = _Text(file, path)
        text.take("{", "a JSON object")
        if text.peek() == "}":
            text.take("}", "}")
        else:
            while True:
                key = text.value()
                if not isinstance(key, str):
                    raise text.error("a key in quotes")
                text.take(":", "':'")
                yield from _stream_value(text, key)
                if text.take_one_of(",}") == "}":
                    break
        if text.peek():
            raise text.error("the end of the file")


def stream_elements(path: Path) -> Iterator[Any]:
    """Yield the elements of the list in `path`.

    Raises: UnreadableDataset when the file is no JSON list, is cut, or holds an element of more than 64 M characters.
    """
    with path.open("rb") as file:
        text = _Text(file, path)
        text.take("[", "a JSON list")
        yield from _stream_list(text)
        if text.peek():
            raise text.error("the end of the file")


def _stream_value(text: "_Text", key: str) -> Iterator[tuple[str, Any]]:
    if text.peek() != "[":
        yield key, text.value()
        return
    text.take("[", "'['")
    yield key, LIST_START
    for element in _stream_list(text):
        yield key, element


def _stream_list(text: "_Text") -> Iterator[Any]:
    """The elements of a list whose opening bracket was taken."""
    if text.peek() == "]":
        text.take("]", "']'")
        return
    while True:
        yield text.value()
        if text.take_one_of(",]") == "]":
            return


class _Text:
    """A window on the file's text that moves forward."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._buffer, self._position, self._consumed = "", 0, 0
        self._at_end = False

    def peek(self) -> str:
        """The next character that is no white space, "" at the end of the file."""
        while True:
            while self._position < len(self._buffer) and self._buffer[self._position] in WHITESPACE:
                self._position += 1
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._read_more():
                return ""

    def take(self, character: str, expected: str) -> None:
        """Step over a character that must be there."""
        if self.peek() != character:
            raise self.error(expected)
        self._position += 1

    def take_one_of(self, characters: str) -> str:
        """Step over one of several characters; returns it."""
        found = self.peek()
        if not found or found not in characters:
            raise self.error(" or ".join(map(repr, characters)))
        self._position += 1
        return found

    def value(self) -> Any:
        """Parse the next value whole."""
        self.peek()
        while True:
            try:
                value, end = self._parse(self._buffer, self._position)
            except RecursionError:
                raise self.error("values nested less than 1000 deep") from None
            except ValueError:
                if len(self._buffer) - self._position > MAX_ELEMENT_CHARS:
                    raise self.error("an element of at most 64 M characters") from None
                if not self._read_more():
                    raise self.error("a JSON value") from None
                continue
            # A number may go on behind the end of the window, which can lie within its "e+".
            if len(self._buffer) - end <= MOST_HELD_BACK and not self._at_end:
                self._read_more()
                continue
            self._position = end
            return value

    def error(self, expected: str) -> UnreadableDataset:
        """The error that says what was expected where."""
        found = self._buffer[self._position : self._position + 20] or "the end of the file"
        place = self._consumed + self._position
        return UnreadableDataset(
            f"expected {expected} at character {place:,} of {self._path.name}, got {found!r}; the file is cut or no JSON"
        )

    def _read_more(self) -> bool:
        """Read on, twice as far each time an element goes on; False at the end of the file."""
        if self._at_end:
            return False
        self._buffer = self._buffer[self._position :]
        self._consumed += self._position
        self._position = 0
        content = self._file.read(max(CHUNK_BYTES, len(self._buffer)))
        self._at_end = not content
        try:
            self._buffer += self._decode(content, self._at_end)
        except UnicodeDecodeError:
            raise UnreadableDataset(f"expected UTF-8 text in {self._path.name}, got other bytes; save it as UTF-8") from None
        return not self._at_end
