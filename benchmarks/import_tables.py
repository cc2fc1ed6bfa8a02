"""Tables of `import_models.py` for people: accuracy as in the Zebra evaluation's Table I, agreement, boxes, refusals."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def print_tables(rows: Sequence[Row], faces: Row) -> None:
    """All of them, those without a line left out."""
    labelled, detectors = (
        [row for row in rows if "accuracy" in row and row["accuracy"]["val"]["metric"] == metric] for metric in ("top1", "map")
    )
    others = [row for row in rows if "accuracy" not in row and row["outcome"] != "refused"]
    refused = [row for row in rows if row["outcome"] == "refused"]
    print_table(
        "Accuracy with labels, %",
        ACCURACY_TITLES,
        [make_accuracy_cells(row, split) for row in labelled for split in row["accuracy"]],
    )
    print_table("Boxes with labels, %", BOX_TITLES, [make_accuracy_cells(row, "val") for row in detectors])
    print_table("Agreement with FP32, no labels", AGREEMENT_TITLES, [make_agreement_cells(row) for row in others])
    print_table(
        "Face boxes of the formats against the first, FP32",
        FACE_TITLES,
        [[name, *map(str, one.values())] for name, one in faces.items()],
    )
    print_table("Refused", ("network", "format", "words"), [[row["network"], row["format"], row["words"]] for row in refused])


def title_accuracy(first: str, second: str) -> tuple[str, ...]:
    """Titles of a table of these two metrics."""
    before, after = (f"FP32 {first}", second), (f"INT8 {first}", second)
    return (
        *("network", "format", "pictures", *before, *after),
        *("difference", "95 % interval", "preset", "artifact", "import error", "source"),
    )


ACCURACY_TITLES = title_accuracy("top-1", "top-5")
BOX_TITLES = title_accuracy("mAP", "mAP50")
AGREEMENT_TITLES = (
    "network",
    "format",
    "pictures",
    "measured",
    "share",
    "95 % interval",
    "mean IoU",
    "artifact",
    "import error",
    "source",
)
FACE_TITLES = ("format", "pictures", "with boxes", "boxes", "without partner", "largest px")


def make_accuracy_cells(row: Row, split: str) -> list[str]:
    one = row["accuracy"][split]
    low, high = one["interval"]
    return [
        row["network"],
        row["format"],
        f"{one['images']}" + ("" if split == "val" else " (all)"),
        *(f"{100 * one[side][metric]:.2f}" for side in ("fp32", "int8") for metric in one[side]),
        f"{100 * one['change']:+.2f}",
        f"{100 * low:+.2f} to {100 * high:+.2f}",
        row["preset"] or "from the file",
        *describe_sides(row),
    ]


def make_agreement_cells(row: Row) -> list[str]:
    gate = row["gate"]
    measured = ["-"] * 5
    if gate is not None:
        interval = f"{1 + gate['low']:.2%} to {1 + gate['high']:.2%}"
        iou = "-" if gate["mean_iou"] is None else f"{gate['mean_iou']:.3f}"
        measured = [str(gate["images"]), gate["metric"], f"{1 + gate['change']:.2%}", interval, iou]
    return [row["network"], row["format"], *measured, *describe_sides(row)]


def describe_sides(row: Row) -> list[str]:
    """Artifact, error of the import, source engine."""
    kept = " as it came" if row["outcome"] == "kept INT8" else ""
    found = row["verification"]
    error = found["rms_relative_error"] if kept else found["max_relative_error"]
    own = "" if found["is_own_framework"] else " (second engine)"
    artifact = f"{row['engine']} {row['precision']}{kept}" if row["engine"] else "none passed"
    return [artifact, f"{error:.1e}", found["engine"] + own]


def print_table(title: str, names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A Markdown table under a title."""
    if not lines:
        return
    print(f"\n{title}\n")
    for cells in (names, ["---"] * len(names), *lines):
        print("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
