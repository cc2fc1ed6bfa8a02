import math
from pathlib import Path

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.files.reading import read_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.resizing import letterbox_image, stretch_image

CATEGORIES = Categories(["a", "b", "c"])
ANCHORS = [[(10.0, 14.0), (23.0, 27.0)], [(37.0, 58.0), (81.0, 82.0)]]
FASTESTDET = Path(__file__).resolve().parents[4] / "shared" / "data" / "models" / "fastestdet-coco"


def place(width: int = 64, height: int = 64, size: int = 64):
    return letterbox_image(np.zeros((height, width, 3), np.uint8), size, size)[1]


def make_maps(value: float = -20.0) -> list[np.ndarray]:
    """Two scales of a 64 x 64 input, two anchors each, nothing anywhere."""
    return [np.full((1, 16, cells, cells), value, np.float32) for cells in (8, 4)]


def decode(maps, placements=None, threshold=0.25, head="yolo", categories=CATEGORIES, iou=0.45, most=100, **parameters):
    names = tuple(f"map_{index}" for index in range(len(maps)))
    parameters = ({"anchors": ANCHORS[: len(maps)]} if head == "yolo" else {}) | parameters
    spec = DecodeSpec(head=head, outputs=names, parameters=parameters, iou_threshold=iou, max_detections=most)
    placements = [place()] if placements is None else placements
    return decode_outputs(spec, dict(zip(names, maps, strict=True)), placements, categories, threshold)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_a_yolo_cell_becomes_its_box_by_hand():
    maps = make_maps()
    # Second anchor (23, 27) of the stride 8 scale, row 3, column 5: entries 8..15.
    maps[0][0, 8:16, 3, 5] = logit(0.25), logit(0.75), math.log(2), math.log(0.5), logit(0.9), -20, logit(0.8), -20
    ((found,),) = decode(maps)
    # Centre ((5 + 0.25) * 8, (3 + 0.75) * 8) = (42, 30); size (46, 13.5); right edge 65 is cut at 64.
    assert found.box_xyxy == pytest.approx((19, 23.25, 64, 36.75), abs=1e-4)
    assert (found.category, found.origin) == ("b", "model")
    assert found.confidence == pytest.approx(0.72, rel=1e-5)


def test_version_2_shares_one_probability_among_the_classes():
    maps = make_maps()
    maps[0][0, :8, 0, 0] = 0, 0, 0, 0, logit(0.8), math.log(1), math.log(6), math.log(1)
    ((found,),) = decode(maps, class_rule="softmax")
    assert (found.category, found.confidence) == ("b", pytest.approx(0.8 * 6 / 8, rel=1e-5))


def test_scale_x_y_stretches_the_offset_about_the_middle_of_the_cell():
    maps = make_maps()
    maps[1][0, :8, 1, 2] = logit(0.9), logit(0.5), 0, 0, 20, 20, -20, -20  # stride 16, anchor (37, 58)
    ((found,),) = decode(maps, scale_x_y=[1.0, 1.2])
    centre = ((2 + 0.9 * 1.2 - 0.1) * 16, (1 + 0.5) * 16)  # (47.68, 24)
    assert found.box_xyxy[:2] == pytest.approx((centre[0] - 18.5, 0), abs=1e-3)


def test_new_coordinates_are_activated_by_the_network():
    maps = make_maps(0.0)
    maps[0][0, :8, 2, 1] = 0.25, 0.5, 0.75, 0.5, 0.9, 0.1, 0.2, 0.8
    ((found,),) = decode(maps, new_coords=True, scale_x_y=2.0)
    # Centre ((1 + 0.25 * 2 - 0.5) * 8, (2 + 0.5 * 2 - 0.5) * 8) = (8, 20); size (1.5^2 * 10, 1 * 14).
    assert found.box_xyxy == pytest.approx((0, 13, 8 + 11.25, 27), abs=1e-4)
    assert (found.category, found.confidence) == ("c", pytest.approx(0.72, rel=1e-5))


def test_yolo_boxes_are_carried_to_the_source():
    maps = make_maps()
    maps[0][0, :8, 4, 4] = 0, 0, 0, 0, 20, 20, -20, -20  # centre (36, 36), size (10, 14)
    ((found,),) = decode(maps, [place(128, 64)])  # scale 0.5, 16 rows of band
    assert found.box_xyxy == pytest.approx((62, 26, 82, 54), abs=1e-3)


def decode_slowly(maps, threshold, iou_threshold, softmax, scale):
    found = []
    for raw, anchors in zip(maps, ANCHORS, strict=True):
        cells = raw[0].reshape(2, 8, *raw.shape[2:])
        for anchor, row, column in np.ndindex(2, *raw.shape[2:]):
            x, y, w, h, objectness, *classes = (float(value) for value in cells[anchor, :, row, column])
            total = sum(math.exp(value) for value in classes)
            for label, value in enumerate(classes):
                share = math.exp(value) / total if softmax else 1 / (1 + math.exp(-value))
                confidence = share / (1 + math.exp(-objectness))
                if confidence < threshold:
                    continue
                stride = 64 / raw.shape[3]
                cx = (column + scale / (1 + math.exp(-x)) - (scale - 1) / 2) * stride
                cy = (row + scale / (1 + math.exp(-y)) - (scale - 1) / 2) * stride
                width, height = math.exp(w) * anchors[anchor][0], math.exp(h) * anchors[anchor][1]
                found.append((confidence, label, (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)))
    kept = []
    for one in sorted(found, key=lambda one: -one[0]):
        if all(other[1] != one[1] or overlap(other[2], one[2]) <= iou_threshold for other in kept):
            kept.append(one)
    return [(c, label, tuple(float(np.clip(value, 0, 64)) for value in box)) for c, label, box in kept]


def overlap(one, other):
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rule", ["softmax", "sigmoid"])
def test_yolo_agrees_with_a_slow_loop(seed, rule):
    rng = np.random.default_rng(seed)
    maps = [rng.normal(size=one.shape).astype(np.float32) for one in make_maps()]
    (answers,) = decode(maps, threshold=0.3, most=1000, class_rule=rule, scale_x_y=1.1)
    expected = decode_slowly(maps, 0.3, 0.45, rule == "softmax", 1.1)
    assert len(answers) == len(expected) > 10
    for answer, (confidence, label, box) in zip(answers, expected, strict=True):
        assert answer.category == CATEGORIES[label]
        assert answer.confidence == pytest.approx(confidence, abs=1e-5)
        assert answer.box_xyxy == pytest.approx(box, abs=1e-3)


def test_only_the_best_yolo_candidates_are_kept(rng):
    maps = [rng.normal(size=one.shape).astype(np.float32) for one in make_maps()]
    (all_of_them,) = decode(maps, threshold=0.0, iou=1.0, most=10_000)
    (few,) = decode(maps, threshold=0.0, iou=1.0, most=10_000, candidates=7)
    assert few == all_of_them[:7]


def test_pictures_of_a_batch_do_not_mix():
    maps = [np.repeat(one, 3, axis=0) for one in make_maps()]
    maps[0][1, :8, 2, 2] = 0, 0, 0, 0, 5, 5, -20, -20
    assert [len(answers) for answers in decode(maps, [place()] * 3)] == [0, 1, 0]
    assert decode([one[:0] for one in maps], []) == []


def test_huge_values_stay_harmless():
    maps = make_maps(-1e4)
    maps[0][0, :8, 1, 1] = 1e4, -1e4, 1e4, 80, 1e4, 1e4, -1e4, -1e4
    ((found,),) = decode(maps)
    assert (found.confidence, found.box_xyxy) == (1.0, (0, 0, 64, 64))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"anchors": ANCHORS[:1]}, "anchors"),
        ({"anchors": None}, "anchors"),
        ({"anchors": [[1.0, 2.0], [3.0]]}, "anchors"),
        ({"anchors": [[(1.0, -2.0)] * 2] * 2}, "anchors"),
        ({"class_rule": "best"}, "class_rule"),
        ({"scale_x_y": [1.0]}, "scale_x_y"),
    ],
)
def test_yolo_parameters_that_do_not_fit_are_refused(parameters, message):
    with pytest.raises(InvalidInput, match=message):
        decode(make_maps(), **parameters)


@pytest.mark.parametrize("shape", [(1, 15, 8, 8), (1, 16, 8), (1, 8, 8, 16)])
def test_yolo_maps_of_another_shape_are_refused(shape):
    with pytest.raises(InvalidInput, match=r"\[16, 16\]"):
        decode([np.zeros(shape, np.float32), make_maps()[1]])


def test_a_grid_object_becomes_its_box_by_hand():
    raw = np.zeros((1, 8, 4, 4), np.float32)
    raw[0, :, 1, 2] = 0.9, math.atanh(0.5), math.atanh(-0.25), logit(0.25), logit(0.5), 0.1, 0.8, 0.1
    ((found,),) = decode([raw], head="grid_objects")
    # Centre ((2 + 0.5) / 4, (1 - 0.25) / 4) of 64 = (40, 12); size (16, 32).
    assert found.box_xyxy == pytest.approx((32, 0, 48, 28), abs=1e-4)
    assert found.category == "b"
    assert found.confidence == pytest.approx(0.9**0.6 * 0.8**0.4, rel=1e-5)


def test_grid_objects_may_weigh_objectness_otherwise():
    raw = np.zeros((1, 8, 4, 4), np.float32)
    raw[0, :, 1, 2] = 0.9, 0, 0, 0, 0, 0.1, 0.8, 0.1
    ((found,),) = decode([raw], head="grid_objects", objectness_power=1.0, class_power=1.0)
    assert found.confidence == pytest.approx(0.72, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_grid_objects_agree_with_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(1, 8, 5, 6)).astype(np.float32)
    raw[:, 0], raw[:, 5:] = rng.uniform(size=(1, 5, 6)), rng.dirichlet(np.ones(3), (1, 5, 6)).transpose(0, 3, 1, 2)
    (answers,) = decode([raw], head="grid_objects", threshold=0.5, iou=1.0)
    expected = []
    for row, column in np.ndindex(5, 6):
        objectness, x, y, w, h, *classes = (float(value) for value in raw[0, :, row, column])
        confidence = objectness**0.6 * max(classes) ** 0.4
        cx, cy = (math.tanh(x) + column) / 6 * 64, (math.tanh(y) + row) / 5 * 64
        half_width, half_height = 32 / (1 + math.exp(-w)), 32 / (1 + math.exp(-h))
        if confidence >= 0.5:
            box = np.clip([cx - half_width, cy - half_height, cx + half_width, cy + half_height], 0, 64)
            expected.append((confidence, CATEGORIES[int(np.argmax(classes))], box))
    expected.sort(key=lambda one: -one[0])
    assert len(answers) == len(expected) > 3
    for answer, (confidence, category, box) in zip(answers, expected, strict=True):
        assert (answer.category, answer.confidence) == (category, pytest.approx(confidence, abs=1e-5))
        assert answer.box_xyxy == pytest.approx(tuple(box), abs=1e-3)


def test_grids_of_another_shape_are_refused_and_empty_ones_give_nothing():
    with pytest.raises(InvalidInput, match=r"\[8\]"):
        decode([np.zeros((1, 9, 4, 4), np.float32)], head="grid_objects")
    assert decode([np.zeros((1, 8, 4, 4), np.float32)], head="grid_objects") == [[]]
    assert decode([np.zeros((0, 8, 4, 4), np.float32)], [], head="grid_objects") == []


def test_fastestdet_finds_what_is_on_its_own_pictures():
    if not FASTESTDET.exists():
        pytest.skip("FastestDet is not here: it is part of the shared data beside the checkout")
    import onnxruntime

    names = (FASTESTDET / "coco.names").read_text().split("\n")
    categories = Categories(name for name in names if name)
    session = onnxruntime.InferenceSession(FASTESTDET / "FastestDet.onnx", providers=["CPUExecutionProvider"])
    found = []
    for picture in sorted(FASTESTDET.glob("*.jpg")):
        image, placement = stretch_image(read_image(picture), 352, 352)
        batch = image[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255  # RGB to the BGR it was trained on
        (raw,) = session.run(None, {"input.1": batch})
        (answers,) = decode([raw], [placement], threshold=0.65, head="grid_objects", categories=categories)
        found.append(sorted(one.category for one in answers))
    # Looked at: a pitcher, batter, catcher and umpire; a bus; three people in the front of a room.
    assert found == [["baseball bat", *["person"] * 4], ["bus"], ["person"] * 3]
