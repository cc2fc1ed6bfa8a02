"""Fonts for names that OpenCV's own font cannot write, since that has ASCII alone.

DejaVu Sans, which comes with matplotlib, writes Latin, Cyrillic, Greek, Arabic and others, but neither Chinese nor Hindi. For
those fontconfig is asked for a font of the system; where that has none, `find_font` says so, and once a line in the log.
"""

import functools
import logging
import string
import subprocess
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from PIL.ImageFont import FreeTypeFont

DEJAVU = "fonts/ttf/DejaVuSans.ttf"  # of matplotlib, which every install has
BESIDE = string.ascii_letters + string.digits + "%."  # what may stand in one label with a name
NO_CHARACTER = "\U0010ffff"  # drawn as what a font has for letters it lacks
TRIED_SIZE = 24
MOST_FONTCONFIG_S = 5.0
FACE_BITS = 0xFFFF  # of fontconfig's index; those above choose a form of a variable font

logger = logging.getLogger("sightline.imaging")
_told = threading.Event()


class FontFile(NamedTuple):
    """A file, and which of its faces."""

    path: Path
    face: int = 0


def find_usual_font() -> FontFile:
    """DejaVu Sans."""
    package = cast("ModuleSpec", find_spec("matplotlib"))  # not imported for this: that takes a second
    return FontFile(Path(str(package.origin)).with_name("mpl-data") / DEJAVU)


def find_font(text: str) -> FontFile | None:
    """A font that has all letters of a text, and what stands beside it in a label; None where there is none."""
    return _find_font("".join(sorted({letter for letter in text if not letter.isascii()})))


@functools.lru_cache(maxsize=4096)
def _find_font(letters: str) -> FontFile | None:
    usual = find_usual_font()
    if has_letters(usual, letters):
        return usual
    found = ask_fontconfig(letters)
    if found is not None and has_letters(found, letters + BESIDE):
        return found
    if not _told.is_set():
        _told.set()
        logger.warning(
            "no font here has the letters %s: categories are drawn by number where their names cannot be; install a font that "
            "has them (Debian: apt install fonts-noto-cjk, or fonts-noto-core for other scripts)",
            letters[:20],
        )
    return None


def has_letters(file: FontFile, letters: str) -> bool:
    """Whether a font has a shape of its own for each letter."""
    font = open_font(file, TRIED_SIZE)
    lacking = bytes(font.getmask(NO_CHARACTER))
    return all(letter.isspace() or bytes(font.getmask(letter)) != lacking for letter in letters)


def open_font(file: FontFile, size: float) -> "FreeTypeFont":
    """A font of `size` pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(file.path, size, file.face)


def ask_fontconfig(letters: str) -> FontFile | None:
    """The font that the system has for letters: some may be lacking all the same. None without fontconfig's `fc-match`."""
    charset = " ".join(f"{ord(letter):x}" for letter in letters)
    command = ["fc-match", "--format=%{index}|%{file}", f"sans-serif:scalable=true:color=false:charset={charset}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_FONTCONFIG_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    index, _, path = done.stdout.partition("|")
    return FontFile(Path(path), int(index) & FACE_BITS) if path else None
