"""What a YOLO row has no room for (attributes, crowd mark, confidence and origin), in a JSON file beside the label file.

`labels/train/a.txt` gets `labels/train/a.facts.json` only when there is something to say. Facts are filed under the row's text,
so a label file that was edited since keeps the facts of the rows that were not; under the empty text stands who looked at the
picture. Beside the labels of a picture that EXIF turns
it is always written, as it says whose they are: ours, drawn on the upright picture. Other tools do not look at these files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from sightline.core.annotations import Annotation, Origin
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import find_viewer_of_file
from sightline.data.items import Viewer

SUFFIX = ".facts.json"


class RowFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Facts of one row; what is absent is as a person's plain annotation has it."""

    attributes: dict[str, str] = {}
    confidence: float | None = None
    origin: Origin = "human"
    is_crowd: bool = False


PLAIN = RowFacts()
SEEN_BY = "seen_by"


def write_facts(label_path: Path, rows: Iterable[tuple[str, Annotation]], is_turned: bool, seen_by: str | None) -> None:
    """Write the facts of a label file's rows beside it, if there are any, or the picture is turned by EXIF.

    Args: seen_by: as `name_viewer` gives it.
    """
    facts: dict[str, list[RowFacts]] = {}
    for row, annotation in rows:
        own = RowFacts(annotation.attributes, annotation.confidence, annotation.origin, annotation.is_crowd)
        facts.setdefault(row, []).append(own)
    if seen_by is not None and (facts or seen_by != "human"):  # an empty file says by itself that a person looked
        facts[""] = [RowFacts(attributes={SEEN_BY: seen_by})]
    if is_turned or any(own != PLAIN for several in facts.values() for own in several):
        told = {row: several for row, several in facts.items() if any(own != PLAIN for own in several)}
        label_path.with_suffix(SUFFIX).write_bytes(msgspec.json.encode(told))


def find_label_viewer(facts: dict[str, list[RowFacts]], annotations: Sequence[Annotation]) -> Viewer | None:
    """Who looked at the picture of a label file."""
    return find_viewer_of_file(annotations, facts[""][0].attributes.get(SEEN_BY) if facts.get("") else None)


def has_facts(label_path: Path | None) -> bool:
    """Whether a file of facts lies beside a label file, which then is ours."""
    return label_path is not None and label_path.with_suffix(SUFFIX).is_file()


def read_facts(label_path: Path, report: ConversionReport) -> dict[str, list[RowFacts]]:
    """Facts by the row's text; empty without a file."""
    try:
        return msgspec.json.decode(label_path.with_suffix(SUFFIX).read_bytes(), type=dict[str, list[RowFacts]])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, RecursionError) as error:
        report.drop("attribute", "file of facts cannot be read", f"{label_path.with_suffix(SUFFIX).name}: {error}")
        return {}


def apply_facts(annotation: Annotation, row: str, facts: dict[str, list[RowFacts]]) -> Annotation:
    """The annotation of a row with the row's facts; of equal rows each takes its own, in order."""
    waiting = facts.get(row.strip())
    if not waiting:
        return annotation
    own = waiting.pop(0)
    return replace(
        annotation,
        attributes=own.attributes,
        confidence=annotation.confidence if own.confidence is None else own.confidence,
        origin=annotation.origin if own.origin == "human" else own.origin,
        is_crowd=own.is_crowd,
    )
