"""Read protobuf's text format, which prototxt files are written in, without a schema.

A message becomes `Fields`: every field keeps all its values in order, as they were written. What kind of value a field holds
is asked when it is read (`integer`, `number`, `text`, `flag`, `child`), so the many private dialects of the format, each with
fields of its own, need no list here. Syntax: protobuf's Text Format Language Specification.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sightline.core.errors import InvalidInput

MOST_BYTES = 4 * 2**20  # the prototxt of a network of a thousand layers has 1 MB
DEEPEST = 32
LARGEST = 2**31 - 1
LARGEST_FLOAT = 3.4e38  # Caffe's floats have 32 bits
TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<number>[-+]?(?:inf|nan|0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?f?))
      | (?P<mark>[:{}<>\[\],;])""",
    re.VERBOSE,
)
CLOSING = {"{": "}", "<": ">"}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
FLAGS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number, string or mark, and the line it stands on."""

    kind: str
    text: str
    line: int


class Fields:
    """A message: values by field name, in the order they were written."""

    def __init__(self, line: int = 1) -> None:
        self.line = line
        self._values: dict[str, list[Token | Fields]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def add(self, name: str, value: "Token | Fields") -> None:
        """Append a value to a field."""
        self._values.setdefault(name, []).append(value)

    def items(self) -> Iterator[tuple[str, "Token | Fields"]]:
        """Every value with the name of its field."""
        for name, values in self._values.items():
            for value in values:
                yield name, value

    def children(self, name: str) -> list["Fields"]:
        """All messages of a field."""
        found = []
        for value in self._values.get(name, []):
            if not isinstance(value, Fields):
                raise InvalidInput(f"line {value.line}: expected {name} {{ ... }}, got {value.text!r}; correct the prototxt")
            found.append(value)
        return found

    def child(self, name: str) -> "Fields":
        """The message of a field, an empty one where it is absent."""
        found = self.children(name)
        return found[-1] if found else Fields(self.line)

    def texts(self, name: str) -> list[str]:
        """All strings or enum names of a field."""
        return [token.text for token in self._tokens(name)]

    def text(self, name: str, default: str = "") -> str:
        """The string or enum name of a field."""
        found = self.texts(name)
        return found[-1] if found else default

    def integers(self, name: str) -> list[int]:
        """All whole numbers of a field; none is beyond 32 bits."""
        return [_read_integer(name, token) for token in self._tokens(name)]

    def integer(self, name: str, default: int = 0) -> int:
        """The whole number of a field."""
        found = self.integers(name)
        return found[-1] if found else default

    def numbers(self, name: str) -> list[float]:
        """All finite numbers of a field."""
        return [_read_number(name, token) for token in self._tokens(name)]

    def number(self, name: str, default: float = 0.0) -> float:
        """The number of a field."""
        found = self.numbers(name)
        return found[-1] if found else default

    def flag(self, name: str, default: bool = False) -> bool:
        """The truth value of a field."""
        found = self._tokens(name)
        if not found:
            return default
        word = found[-1].text.lower()
        if word not in FLAGS:
            raise InvalidInput(f"line {found[-1].line}: expected {name} true or false, got {word!r}; correct the prototxt")
        return FLAGS[word]

    def _tokens(self, name: str) -> list[Token]:
        found = []
        for value in self._values.get(name, []):
            if not isinstance(value, Token):
                raise InvalidInput(f"line {value.line}: expected a value for {name}, got a message; correct the prototxt")
            found.append(value)
        return found


def read_text(content: bytes) -> Fields:
    """Parse a prototxt. Raises: InvalidInput with the line of what is wrong."""
    if len(content) > MOST_BYTES:
        raise InvalidInput(f"expected a prototxt of at most {MOST_BYTES} bytes, got {len(content)}; is it the weights file?")
    try:
        tokens = _split_tokens(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"expected a prototxt in UTF-8, got other bytes at {error.start}; is it the weights file?"
        ) from error
    return _Reader(tokens).read_message(closing=None, depth=0)


def write_text(fields: Fields, indent: str = "") -> str:
    """A message in text format, every value as it was written."""
    lines = []
    for name, value in fields.items():
        if isinstance(value, Fields):
            lines.append(f"{indent}{name} {{\n{write_text(value, indent + '  ')}{indent}}}\n")
        else:
            lines.append(f"{indent}{name}: {quote(value.text) if value.kind == 'quoted' else value.text}\n")
    return "".join(lines)


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def read_message(self, closing: str | None, depth: int) -> Fields:
        """Fields up to the closing mark, or to the end of the file when there is none."""
        if depth > DEEPEST:
            raise InvalidInput(f"line {self._peek().line}: messages are nested deeper than {DEEPEST}; this is no network")
        fields = Fields(self._peek().line)
        while True:
            token = self._take()
            if (token.text == closing and token.kind == "mark") or (closing is None and token.kind == "end"):
                return fields
            if token.kind != "word":
                raise _misfit(token, f"a field name or {closing or 'the end of the file'}")
            self._read_field(fields, token.text, depth)
            if self._peek().text in (",", ";") and self._peek().kind == "mark":
                self._take()

    def _read_field(self, fields: Fields, name: str, depth: int) -> None:
        had_colon = self._skip(":")
        if self._skip("["):
            while not self._skip("]"):
                fields.add(name, self._read_value(had_colon, depth))
                if not self._skip(",") and self._peek().text != "]":
                    raise _misfit(self._peek(), ", or ]")
        else:
            fields.add(name, self._read_value(had_colon, depth))

    def _read_value(self, had_colon: bool, depth: int) -> Token | Fields:
        token = self._take()
        if token.kind == "mark" and token.text in CLOSING:
            return self.read_message(CLOSING[token.text], depth + 1)
        if not had_colon:
            raise _misfit(token, "a colon or {")
        if token.kind not in ("quoted", "word", "number"):
            raise _misfit(token, "a value")
        while token.kind == "quoted" and self._peek().kind == "quoted":  # neighbouring strings are one
            token = Token("quoted", token.text + self._take().text, token.line)
        return token

    def _skip(self, mark: str) -> bool:
        if self._peek().kind == "mark" and self._peek().text == mark:
            self._place += 1
            return True
        return False

    def _peek(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._tokens[self._place]
        if token.kind != "end":
            self._place += 1
        return token


def _split_tokens(text: str) -> list[Token]:
    tokens, place, line = [], 0, 1
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise InvalidInput(
                f"line {line}: expected prototxt, got {text[place : place + 20]!r}; the file is damaged or no prototxt"
            )
        kind, piece = str(match.lastgroup), match.group()
        if kind == "quoted":
            tokens.append(Token(kind, _unquote(piece), line))
        elif kind != "space":
            tokens.append(Token(kind, piece, line))
        line += piece.count("\n")
        place = match.end()
    return [*tokens, Token("end", "the end of the file", line)]


def _unquote(piece: str) -> str:
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match.group(1), match.group(0)), piece[1:-1])


def quote(text: str) -> str:
    """A string as the format writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _misfit(token: Token, expected: str) -> InvalidInput:
    return InvalidInput(f"line {token.line}: expected {expected}, got {token.text[:40]!r}; the prototxt is damaged")


def _read_integer(name: str, token: Token) -> int:
    try:
        value = int(token.text, 16 if token.text[:2].lower() == "0x" else 10)
    except ValueError:
        value = LARGEST + 1
    if abs(value) > LARGEST:
        raise InvalidInput(
            f"line {token.line}: expected a whole number for {name}, got {token.text[:40]!r}; correct the prototxt"
        )
    return value


def _read_number(name: str, token: Token) -> float:
    try:
        value = float(token.text.rstrip("fF") if token.text[:1] not in "iIfF" else token.text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_FLOAT:  # also when it is no number at all
        raise InvalidInput(f"line {token.line}: expected a number for {name}, got {token.text[:40]!r}; correct the prototxt")
    return value
