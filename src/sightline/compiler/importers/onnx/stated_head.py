"""The decode head that an ONNX file's metadata states: Ultralytics' exporters write which network it is and what it detects.

Which form the output has: YOLOv8 and later `(4 + C, P)`; RT-DETR `(P, 4 + C)` in shares of the input; an export with
suppression inside, and networks that need none (YOLOv10 and later), `(K, 6)`; YOLOv5, whose exporter writes stride and names
but no author, `(P, 5 + C)` with an objectness.
"""

from collections.abc import Mapping, Sequence

from sightline.compiler.importers.onnx.metadata import is_rt_detr
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.joined import BOX_NUMBERS, FINAL_NUMBERS

CONFIDENCE_THRESHOLD, IOU_THRESHOLD, MAX_DETECTIONS = 0.25, 0.7, 300  # what their own prediction takes by default
TRUE_WORDS = ("'nms': True", '"nms": true')


def read_stated_head(
    metadata: Mapping[str, str], rows: Mapping[str, Sequence[int]], categories: Sequence[str] | None
) -> DecodeSpec | None:
    """The head of a detector; None when the file does not say, or says what its outputs do not bear out.

    Args:
        rows: shape of one picture's row of each output, by name.
        categories: that the file names.
    """
    is_theirs = metadata.get("author") == "Ultralytics" and metadata.get("task") == "detect"
    is_older = "author" not in metadata and "stride" in metadata
    if not categories or len(rows) != 1 or not (is_theirs or is_older):
        return None
    ((name, row),) = rows.items()
    if len(row) != 2:
        return None
    parameters: dict[str, object]
    numbers = BOX_NUMBERS + len(categories)
    if is_older:
        if row[1] != numbers + 1:
            return None
        head, parameters = "joined_boxes", {"axis": 2, "objectness": True}
    elif _has_chosen(metadata):
        if row[1] != FINAL_NUMBERS:
            return None
        head, parameters = "final_boxes", {}
    elif is_rt_detr(metadata) and row[1] == numbers:
        head, parameters = "joined_boxes", {"axis": 2, "normalised": True}
    elif not is_rt_detr(metadata) and row[0] == numbers:
        head, parameters = "joined_boxes", {"axis": 1}
    else:
        return None
    return DecodeSpec(
        head=head,
        outputs=(name,),
        parameters=parameters,
        confidence_threshold=CONFIDENCE_THRESHOLD,
        iou_threshold=IOU_THRESHOLD,
        max_detections=MAX_DETECTIONS,
    )


def _has_chosen(metadata: Mapping[str, str]) -> bool:
    """Whether the graph itself chooses the objects."""
    is_end_to_end = metadata.get("end2end", "").strip().lower() == "true"
    return is_end_to_end or any(word in metadata.get("args", "") for word in TRUE_WORDS)
