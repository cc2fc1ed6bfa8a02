"""`label_config.xml`, the labelling configuration of a project: which tags are pictures, and which labels there are."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

import defusedxml.ElementTree as SafeElementTree
import msgspec
from defusedxml import DefusedXmlException

from sightline.data.conversion import ConversionReport, clean_name

CONFIG_NAME = "label_config.xml"
MAX_BYTES = 4 << 20
MAX_FILES = 50
SHAPE_TAGS = frozenset({"RectangleLabels", "PolygonLabels", "EllipseLabels", "BrushLabels", "Labels"})
UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 has no character for


class Labelling(msgspec.Struct, frozen=True):
    """What a configuration says.

    Attributes:
        images: key of the tasks' data by the name of the Image tag that shows it.
        controls: tag by the name that results know it by: {"label": "RectangleLabels"}.
        targets: what each control is about, by its name: {"label": "image"}.
        of_regions: names of the controls that tell of a region, not of the whole picture.
        categories: labels of boxes, outlines and whole pictures, in order.
    """

    images: dict[str, str] = {}
    controls: dict[str, str] = {}
    targets: dict[str, str] = {}
    of_regions: frozenset[str] = frozenset()
    categories: list[str] = []


def read_labelling(json: Path, names: Iterable[str], report: ConversionReport) -> Labelling:
    """The configuration beside a JSON: that which knows most of some names, `label_config.xml` first; empty without one.

    Args: names: of controls and labels that the JSON has.
    """
    wanted = set(names)
    paths = [path for path in sorted(json.parent.glob("*.xml")) if os.path.isfile(path)]  # noqa: PTH113 - never raises
    best, most = Labelling(), -1
    for path in sorted(paths[:MAX_FILES], key=lambda path: path.name != CONFIG_NAME):
        try:
            content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
            root = SafeElementTree.fromstring(content) if b"<View" in content else None
        except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError, OSError) as error:
            report.drop("file", "labelling configuration that is no XML", f"{path.name}: {' '.join(str(error).split())[:80]}")
            continue
        if root is not None:
            found = parse_labelling(root)
            known = len(wanted & {*found.controls, *found.categories})
            if known > most and (known or path.name == CONFIG_NAME):
                best, most = found, known
    return best


def parse_labelling(root: Element) -> Labelling:
    """What the tags say; those that are about no picture have no categories."""
    images: dict[str, str] = {}
    for tag in root.iter("Image"):
        value = tag.get("valueList") or tag.get("value") or ""
        if value.startswith("$"):
            images[tag.get("name", "")] = value[1:]
    controls: dict[str, str] = {}
    targets: dict[str, str] = {}
    of_regions: set[str] = set()
    categories: list[str] = []
    for tag in root.iter():
        if tag.get("toName") is None or not isinstance(tag.tag, str):
            continue
        name = tag.get("name", "")
        controls[name], targets[name] = tag.tag, tag.get("toName", "")
        if tag.get("perRegion") == "true":
            of_regions.add(name)
        of_pictures = tag.tag == "Choices" and name not in of_regions and tag.get("perItem") != "true"
        if tag.get("toName") in images and (of_pictures or tag.tag in SHAPE_TAGS):
            labels = [*tag.iter("Label"), *tag.iter("Choice")]
            names = (clean_name(label.get("alias") or label.get("value") or "") for label in labels)
            categories += [name for name in names if name]
    return Labelling(images, controls, targets, frozenset(of_regions), list(dict.fromkeys(categories)))


def write_labelling(path: Path, controls: dict[str, str], categories: Iterable[str], attributes: Iterable[str]) -> None:
    """Write a configuration.

    Args:
        controls: tag by name, of those that have all the categories.
        attributes: each has a text area of its name for every region.
    """
    view = Element("View")
    SubElement(view, "Image", {"name": "image", "value": "$image"})
    shown = [name for name in categories if is_writable(name)]
    for name, tag in controls.items():
        options: dict[str, Any] = {"choice": "multiple"} if tag == "Choices" else {}
        control = SubElement(view, tag, {"name": name, "toName": "image", **options})
        for label in shown:
            SubElement(control, "Choice" if tag == "Choices" else "Label", {"value": label})
    for name in attributes:
        SubElement(view, "TextArea", {"name": name, "toName": "image", "perRegion": "true", "editable": "true"})
    indent(view)
    path.write_bytes(tostring(view, encoding="utf-8") + b"\n")


def is_writable(text: str) -> bool:
    """Whether XML has a place for a text."""
    return UNWRITABLE.search(text) is None
