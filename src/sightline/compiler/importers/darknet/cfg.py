"""Read a Darknet cfg: sections in square brackets, each a layer, with `key=value` lines (Darknet's parser.c, read_cfg).

Darknet drops all white space of a line, takes lines that begin with # or ; for comments, reads numbers as C's atoi does (what
follows the digits is ignored), and of a key given twice the first counts. So do we.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline.core.errors import InvalidInput

MAX_CFG_BYTES = 4 << 20
MAX_SECTIONS = 4096
MAX_WINDOW = 1024
MAX_ANCHORS = 1024
NET_KINDS = ("net", "network")
# What Darknet takes for an option that is not there, where that is neither 0 nor said by another option.
DEFAULTS = {
    "net": {"width": "416", "height": "416", "channels": "3"},
    "convolutional": {"filters": "1", "size": "1", "stride": "1", "groups": "1", "activation": "logistic"},
    "connected": {"output": "1", "activation": "logistic"},
    "maxpool": {"stride": "1"},
    "upsample": {"stride": "2"},
    "reorg": {"stride": "1"},
    "route": {"groups": "1"},
    "shortcut": {"activation": "linear"},
    "sam": {"activation": "linear"},
    "yolo": {"classes": "20", "num": "1"},
    "region": {"classes": "20", "num": "1", "coords": "4", "softmax": "0"},
}
INTEGERS = {"batch_normalize", "filters", "size", "stride", "pad", "padding", "groups", "group_id", "output"}
INTEGERS |= {"classes", "num", "coords", "softmax", "new_coords"}
INTEGER_LISTS = {"layers", "from", "mask"}
NUMBERS = {"anchors", "scale_x_y"}
INTEGER = re.compile(r"[+-]?\d{1,9}(?!\d)")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Section:
    """A section of a cfg.

    Attributes:
        kind: the word in brackets: "convolutional".
        index: the layer's number as routes count it, from 0; -1 for [net].
        line: where it starts, from 1.
        options: values by key, white space removed; where the file is silent, what Darknet takes then.
    """

    kind: str
    index: int
    line: int
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"layer {self.index} [{self.kind}] of line {self.line}" if self.index >= 0 else f"[{self.kind}]"

    def get_int(self, key: str, least: int = 0, most: int = 1 << 20) -> int:
        """An integer option, 0 when there is none. Raises: InvalidInput when it is outside `least`..`most` or no integer."""
        return _read_int(self, key, self.options.get(key, "0"), least, most)

    def get_ints(self, key: str) -> list[int]:
        """A list of integers, comma between; empty when there is none. Raises: InvalidInput."""
        return [_read_int(self, key, one, -(1 << 20), 1 << 20) for one in _split(self.options.get(key, ""))]

    def get_floats(self, key: str) -> list[float]:
        """A list of numbers, comma between; empty when there is none. Raises: InvalidInput."""
        return [_read_float(self, key, one) for one in _split(self.options.get(key, ""))]


def read_cfg(path: Path) -> tuple[Section, list[Section]]:
    """The [net] section and the layers. Raises: InvalidInput for a file that is no cfg."""
    if path.stat().st_size > MAX_CFG_BYTES:
        raise InvalidInput(f"expected a Darknet cfg of at most {MAX_CFG_BYTES} bytes, got {path.stat().st_size} in {path.name}")
    sections: list[Section] = []
    for number, raw in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        line = "".join(raw.split())
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            sections.append(Section(_read_kind(path, number, line), len(sections) - 1, number))
        else:
            _add_option(path, number, line, sections)
    if not sections or sections[0].kind not in NET_KINDS:
        first = f"[{sections[0].kind}]" if sections else "no section"
        raise InvalidInput(f"expected {path.name} to be a Darknet cfg that begins with [net], got {first}")
    if not 2 <= len(sections) <= MAX_SECTIONS:
        raise InvalidInput(f"expected a Darknet cfg of 1 to {MAX_SECTIONS - 1} layers, got {len(sections) - 1} in {path.name}")
    for section in sections:
        _fill_defaults(section)
    return sections[0], sections[1:]


def render_cfg(width: int, height: int, channels: int, sections: Sequence[Section]) -> str:
    """The same layers as plain text: each option once, as we have understood it, and only those that decide what is computed.

    For a reader that is less careful than ours: with a key given twice it takes the last, and trusts what it finds.
    """
    lines = ["[net]", f"width={width}", f"height={height}", f"channels={channels}"]
    for section in sections:
        lines.append(f"[{section.kind}]")
        for key in section.options:
            if key == "batch_normalize":
                lines.append(f"{key}={min(1, section.get_int(key))}")
            elif key in INTEGERS:
                lines.append(f"{key}={section.get_int(key)}")
            elif key in INTEGER_LISTS:
                lines.append(f"{key}={','.join(map(str, section.get_ints(key)))}")
            elif key in NUMBERS:
                lines.append(f"{key}={','.join(map(repr, section.get_floats(key)))}")
            elif key == "activation":
                lines.append(f"{key}={section.options[key]}")
    return "\n".join(lines) + "\n"


def _read_kind(path: Path, number: int, line: str) -> str:
    kind = line[1:].partition("]")[0]
    if "]" not in line or not kind:
        raise InvalidInput(f"expected a section like [convolutional] in line {number} of {path.name}, got {line[:40]!r}")
    return kind


def _add_option(path: Path, number: int, line: str, sections: Sequence[Section]) -> None:
    key, equals, value = line.partition("=")
    if not sections or not equals or not key:
        raise InvalidInput(f"expected key=value within a section in line {number} of {path.name}, got {line[:40]!r}")
    sections[-1].options.setdefault(key, value)


def _fill_defaults(section: Section) -> None:
    for key, value in DEFAULTS.get("net" if section.kind in NET_KINDS else section.kind, {}).items():
        section.options.setdefault(key, value)
    if section.kind == "yolo":
        section.options.setdefault("mask", ",".join(map(str, range(section.get_int("num", 1, MAX_ANCHORS)))))
    if section.kind == "maxpool":
        section.options.setdefault("size", section.options["stride"])
        section.options.setdefault("padding", str(section.get_int("size", 1, MAX_WINDOW) - 1))


def _split(value: str) -> list[str]:
    """What stands between commas; a comma at the end, as some files have it, ends nothing."""
    return [one for one in value.partition("#")[0].split(",") if one]


def _read_int(section: Section, key: str, value: str, least: int, most: int) -> int:
    found = INTEGER.match(value)
    if found is None or not least <= int(found[0]) <= most:
        raise InvalidInput(f"expected {key} of {section} to be an integer of {least}..{most}, got {value[:40]!r}")
    return int(found[0])


def _read_float(section: Section, key: str, value: str) -> float:
    found = NUMBER.match(value)
    if found is None or not abs(float(found[0])) < 1e9:
        raise InvalidInput(f"expected {key} of {section} to be a number, got {value[:40]!r}")
    return float(found[0])
