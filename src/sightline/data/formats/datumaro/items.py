"""An item of a Datumaro JSON: which picture it is, and what is said of it."""

from pathlib import Path
from typing import Any

from sightline.data.conversion import ConversionReport, replace_surrogates
from sightline.data.formats.datumaro.attributes import is_whole, read_text
from sightline.data.formats.datumaro.labels import LabelTable
from sightline.data.formats.datumaro.objects import read_objects
from sightline.data.formats.format import NONE_KEPT, SourceItem
from sightline.data.formats.listed_pictures import ListedPictures, remove_machine_folders
from sightline.data.formats.picture_files import PICTURE_SUFFIXES, read_split
from sightline.data.items import read_viewer

NO_SPLIT = "default"
NO_PICTURE = {
    "point_cloud": "point cloud is no picture",
    "video": "video is no picture; save the frames you need as JPEG or PNG",
    "video_frame": "frame inside a video; save it as JPEG or PNG",
}


def find_split(name: str) -> str | None:
    """The split that a subset's name means."""
    return None if name == NO_SPLIT else read_split(name)


class ItemReader:
    """Reads the items of one subset's file."""

    def __init__(self, path: Path, root: Path, labels: LabelTable, report: ConversionReport) -> None:
        subset = path.stem
        self._split, self._labels, self._report = find_split(subset), labels, report
        top = path.parent.parent if path.parent.name == "annotations" else path.parent
        self._finder = ListedPictures([top / "images" / subset, top / "images", top / subset, top, root])

    @property
    def folder(self) -> Path:
        """Where the last picture was found."""
        return self._finder.folder

    def read(self, record: Any) -> SourceItem | None:
        """The item, its path None when its picture is missing; None, after telling, when it is no picture at all."""
        item_id = record.get("id") if isinstance(record, dict) else None
        if not (is_whole(item_id) or (isinstance(item_id, str) and item_id)):
            self._report.drop("image", "item without an id", str(record)[:80])
            return None
        where = str(item_id)
        reason = next((NO_PICTURE[kind] for kind in NO_PICTURE if record.get(kind)), None)
        if reason is not None:
            self._report.drop("image", reason, where)
            if isinstance(lost := record.get("annotations"), list) and lost:
                self._report.drop("annotation", "it is of no picture", where, count=len(lost))
            return None
        image: dict[str, Any] = next((record[key] for key in ("image", "media") if isinstance(record.get(key), dict)), {})
        named = image["path"] if isinstance(image.get("path"), str) else ""
        path = self._find(named, where)
        size = _read_size(image.get("size"))
        facts = record["attr"] if isinstance(record.get("attr"), dict) else {}
        kept = _read_facts(facts)
        attributes = {name: read_text(value) for name, value in facts.items() if name not in kept}
        records = record["annotations"] if isinstance(record.get("annotations"), list) else []
        annotations = read_objects(records, self._labels, size, self._report, where)
        if records and not annotations:
            kept.setdefault("seen_by", "nobody")
        return SourceItem(
            file_name=remove_machine_folders(named or where) if path is None else path.relative_to(self.folder).as_posix(),
            path=path,
            split=self._split,
            annotations=annotations,
            declared_size=size,
            warning=NONE_KEPT if records and not annotations else None,
            attributes=attributes,
            **kept,
        )

    def _find(self, named: str, item_id: str) -> Path | None:
        """The picture of this path; else the one that has the id for a name, as Datumaro saves them."""
        found = self._finder.find(named) if named else None
        if found is not None or named.rpartition(".")[0] == item_id:  # then the id names none that the path does not
            return found
        suffixes = (spelling for suffix in PICTURE_SUFFIXES for spelling in (suffix, suffix.upper()))
        return next(filter(None, (self._finder.find(item_id + suffix) for suffix in suffixes)), None)


def _read_facts(attributes: dict[str, Any]) -> dict[str, Any]:
    """What the version written here says of a picture in "attr", as fields of an item."""
    facts: dict[str, Any] = {}
    if read_viewer(attributes.get("seen_by")) is not None:
        facts["seen_by"] = attributes["seen_by"]
    video, pts = attributes.get("source_video"), attributes.get("frame_pts")
    if isinstance(video, str):
        facts["source_video"] = replace_surrogates(video)
    if isinstance(pts, int) and is_whole(pts) and abs(pts) < 1 << 63:
        facts["frame_pts"] = pts
    return facts


def _read_size(size: Any) -> tuple[int, int] | None:
    """`(width, height)` of Datumaro's [height, width]; None when it is none."""
    if not isinstance(size, list) or len(size) < 2:
        return None
    height, width = size[:2]
    whole = all(is_whole(side) and 0 < side < 1 << 31 for side in (width, height))
    return (width, height) if whole else None
