"""Take BCCD through every box format and back: import, export, import; compare every box, split and category.

`--data FOLDER` is the folder that holds BCCD/. The last line of the output is one JSON object.
"""

import argparse
import json
import tempfile
from pathlib import Path

from sightline.core.workspace import Workspace
from sightline.data.exporting import export_version
from sightline.data.importing import import_dataset
from sightline.data.versions import DatasetVersion

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "detection" / "bccd"
FORMATS = ("coco", "voc", "yolo", "sightline")
TOLERANCE_PX = 0.01


def compare(first: DatasetVersion, second: DatasetVersion) -> dict[str, object]:
    """Largest box difference in pixels, and whether pictures, splits, categories and counts are the same."""
    ours = {item.blob: item for item in first.items()}
    theirs = {item.blob: item for item in second.items()}
    worst, same_categories, same_counts = 0.0, True, True
    for blob, item in ours.items():
        other = theirs.get(blob)
        if other is None or len(other.annotations) != len(item.annotations):
            same_counts = False
            continue
        for mine, other_annotation in zip(item.annotations, other.annotations, strict=True):
            same_categories &= mine.category == other_annotation.category
            assert mine.box_xyxy is not None and other_annotation.box_xyxy is not None
            worst = max(worst, *(abs(a - b) for a, b in zip(mine.box_xyxy, other_annotation.box_xyxy, strict=True)))
    return {
        "pictures": len(theirs),
        "boxes": sum(len(item.annotations) for item in theirs.values()),
        "worst_px": worst,
        "identical": same_counts
        and same_categories
        and worst <= TOLERANCE_PX
        and ours.keys() == theirs.keys()
        and first.splits == second.splits
        and all(theirs[blob].split == item.split and theirs[blob].file_name == item.file_name for blob, item in ours.items()),
        "same_id": first.id == second.id,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the folder that holds BCCD/")
    arguments = parser.parse_args()
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="sightline-roundtrip-") as name:
        folder = Path(name)
        version, report = import_dataset(arguments.data, Workspace(folder / "first"), "bccd")
        print("\n".join(["import:", *report.lines()]))
        for format in FORMATS:
            target = folder / f"{format}.zip" if format == "sightline" else folder / format
            written = export_version(version, target, format)
            again, read = import_dataset(target, Workspace(folder / f"again-{format}"), "bccd")
            facts = compare(version, again)
            results[format] = facts | {"export_clean": written.is_clean, "import_clean": read.is_clean}
            print(f"{format}: {results[format]}")
            for line in [*written.lines(), *read.lines()]:
                if not line.startswith(("images", "annotations")):
                    print(f"  {line}")
        dropped = report.dropped("annotation")
        kept = report.kept
    summary = {"benchmark": "data_roundtrip", "kept": kept, "dropped_boxes": dropped, "formats": results}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
