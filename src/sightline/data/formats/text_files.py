"""Texts that other programs wrote: UTF-8, UTF-16 as Excel saves "Unicode text", or an old Windows code page.

Decoding is strict, so that two names never become one by a replaced letter: first UTF-8 (or UTF-16 by its byte order mark),
then Windows-1252, which the report is told. Only the block that is decoded is held.
"""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from sightline.data.conversion import ConversionReport

UTF_8 = "utf-8-sig"
UTF_16 = "utf-16"
FALLBACKS = ("cp1252", "latin-1")  # the second knows the five bytes that the first does not
BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BLOCK_BYTES = 1 << 20


def find_encoding(path: Path) -> str:
    """The first encoding in which all of a file is text."""
    with path.open("rb") as file:
        first = UTF_16 if file.read(2) in BYTE_ORDER_MARKS else UTF_8
    return next(encoding for encoding in (first, *FALLBACKS) if is_encoded(path, encoding))


def is_encoded(path: Path, encoding: str) -> bool:
    """Whether all of a file can be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in read_blocks(path):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def read_blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, one block after the other."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def warn_encoding(path: Path, encoding: str, report: ConversionReport | None) -> None:
    """Tell of a text whose encoding is a guess."""
    if report is not None and encoding in FALLBACKS:
        report.warn("file", "text is no UTF-8 and is read as Windows-1252; save it as UTF-8 if names look wrong", path.name)


def open_text(path: Path, report: ConversionReport | None = None) -> TextIO:
    """Open a text of any of the encodings, as a stream; the report is told of one that is a guess."""
    encoding = find_encoding(path)
    warn_encoding(path, encoding, report)
    return path.open(encoding=encoding)


def read_text(path: Path, report: ConversionReport | None = None) -> str:
    """A whole text of any of the encodings; the report is told of one that is a guess."""
    with open_text(path, report) as file:
        return file.read()


def write_names(path: Path, names: Iterable[str]) -> None:
    """A name a line, as UTF-8."""
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
