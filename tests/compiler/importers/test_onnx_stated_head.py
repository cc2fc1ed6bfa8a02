"""What a detector's metadata states of its output, and when it is not believed."""

import pytest

from sightline.compiler.importers.onnx.stated_head import read_stated_head

NAMES = ("cat", "dog", "cow")
LATER = {
    "author": "Ultralytics",
    "task": "detect",
    "stride": "32",
    "description": "Ultralytics YOLO11n model trained on farm.yaml",
}
OLDER = {"stride": "32", "names": "['cat', 'dog', 'cow']"}


@pytest.mark.parametrize(
    ("metadata", "row", "head", "parameters"),
    [
        (LATER, (7, 8400), "joined_boxes", {"axis": 1}),
        (LATER | {"args": "{'batch': 1, 'nms': False}"}, (7, 8400), "joined_boxes", {"axis": 1}),
        (LATER | {"args": "{'batch': 1, 'nms': True}"}, (300, 6), "final_boxes", {}),
        (LATER | {"end2end": "True"}, (300, 6), "final_boxes", {}),
        (LATER | {"description": "Ultralytics rtdetr-l model"}, (300, 7), "joined_boxes", {"axis": 2, "normalised": True}),
        (OLDER, (25200, 8), "joined_boxes", {"axis": 2, "objectness": True}),
    ],
)
def test_each_exporter_has_its_form(
    metadata: dict[str, str], row: tuple[int, int], head: str, parameters: dict[str, object]
) -> None:
    decode = read_stated_head(metadata, {"output0": row}, NAMES)
    assert decode is not None
    assert (decode.head, decode.outputs, decode.parameters) == (head, ("output0",), parameters)


@pytest.mark.parametrize(
    ("metadata", "rows", "names"),
    [
        (LATER, {"output0": (8, 8400)}, NAMES),  # an oriented box has one number more
        (LATER, {"output0": (7, 8400), "output1": (32, 160, 160)}, NAMES),  # masks
        (LATER, {"output0": (7, 8400)}, None),
        (LATER | {"task": "pose"}, {"output0": (7, 8400)}, NAMES),
        (LATER | {"end2end": "True"}, {"output0": (7, 8400)}, NAMES),
        (LATER | {"description": "Ultralytics RT-DETR"}, {"output0": (7, 8400)}, NAMES),
        (LATER, {"output0": (3,)}, NAMES),
        (OLDER, {"output0": (25200, 7)}, NAMES),
        ({"names": OLDER["names"]}, {"output0": (25200, 8)}, NAMES),  # YOLOX's rows look alike and are offsets
        ({}, {"output0": (7, 8400)}, NAMES),
    ],
)
def test_what_the_outputs_do_not_bear_out_is_not_believed(
    metadata: dict[str, str], rows: dict[str, tuple[int, ...]], names: tuple[str, ...] | None
) -> None:
    assert read_stated_head(metadata, rows, names) is None
