"""The two files of an OpenVINO IR; needs neither OpenVINO nor ONNX, so that every install knows one when it sees it."""

import re
from pathlib import Path

from sightline.core.errors import InvalidInput, NotFound

HEAD_BYTES = 2048
NET_TAG = re.compile(rb"<net[\s>]")


def is_ir(path: Path) -> bool:
    """Whether this is an `.xml` that opens with a `net` element, or the `.bin` beside one."""
    xml = _find_xml(path)
    try:
        return xml.suffix == ".xml" and xml.is_file() and _starts_with_net(xml)
    except OSError:
        return False


def find_files(path: Path, weights: Path | None) -> tuple[Path, Path]:
    """The .xml and the .bin. Raises: NotFound for the one that is missing, InvalidInput for an .xml that is no network."""
    xml = _find_xml(path)
    weights = weights or (path if path.suffix == ".bin" else path.with_suffix(".bin"))
    for one in (xml, weights):
        if not one.is_file():
            raise NotFound(
                f"no file {one}; an OpenVINO IR is an .xml and a .bin, which must lie beside it or be named as weights"
            )
    if not _starts_with_net(xml):
        raise InvalidInput(f"expected an OpenVINO network in {xml}, got XML without a <net> element at its start")
    return xml, weights


def _find_xml(path: Path) -> Path:
    return path.with_suffix(".xml") if path.suffix == ".bin" else path


def _starts_with_net(path: Path) -> bool:
    with path.open("rb") as file:
        return NET_TAG.search(file.read(HEAD_BYTES)) is not None
