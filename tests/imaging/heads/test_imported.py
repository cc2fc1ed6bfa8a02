import math
from pathlib import Path

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.masks import decode_mask
from sightline.imaging.resizing import letterbox_image, stretch_image

CATEGORIES = Categories(["a", "b"])
ULTRAFACE = Path(__file__).resolve().parents[4] / "shared" / "data" / "models" / "ultraface-slim-320"
PLACEMENT = stretch_image(np.zeros((50, 100, 3), np.uint8), 200, 100)[1]  # twice as large in the input
PRIORS = [[0.1, 0.2, 0.3, 0.6], [0.5, 0.5, 0.9, 0.7]]


def decode(head, arrays, placements=(PLACEMENT,), threshold=0.25, categories=CATEGORIES, iou=0.5, most=100, **parameters):
    names = tuple(f"output_{index}" for index in range(len(arrays)))
    spec = DecodeSpec(head=head, outputs=names, parameters=parameters, iou_threshold=iou, max_detections=most)
    outputs = {name: np.asarray(array, np.float32) for name, array in zip(names, arrays, strict=True)}
    return decode_outputs(spec, outputs, placements, categories, threshold)


def test_a_scored_box_is_carried_to_the_source():
    ((found,),) = decode("scored_boxes", [[[[0.1, 0.8]]], [[[0.1, 0.2, 0.5, 0.6]]]])
    assert (found.category, found.origin, found.confidence) == ("b", "model", pytest.approx(0.8))
    assert found.box_xyxy == pytest.approx((10, 10, 50, 30), abs=1e-4)


@pytest.mark.parametrize(
    ("order", "box"), [("xyxy", (20, 20, 100, 60)), ("yxyx", (20, 20, 60, 100)), ("cxcywh", (60, 40, 80, 40))]
)
def test_boxes_may_be_in_pixels_and_in_another_order(order, box):
    ((found,),) = decode("scored_boxes", [[[[0.1, 0.8]]], [[box]]], order=order, normalised=False)
    assert found.box_xyxy == pytest.approx((10, 10, 50, 30), abs=1e-4)


@pytest.mark.parametrize(
    ("background", "categories"), [(0, ["b", "c"]), (1, ["a", "c"]), (2, ["a", "b"]), (None, ["a", "b", "c"])]
)
def test_the_background_is_no_category(background, categories):
    scores, boxes = [[[0.9, 0.8, 0.7]]], [[[0.1, 0.1, 0.2, 0.2]]]
    (answers,) = decode("scored_boxes", [scores, boxes], categories=Categories(categories), background=background)
    values = {"a": 0.9, "b": 0.8, "c": 0.7}
    assert {one.category: one.confidence for one in answers} == pytest.approx({name: values[name] for name in categories})


def test_boxes_of_one_class_suppress_each_other():
    boxes = [[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52], [0.6, 0.6, 0.9, 0.9]]]
    (answers,) = decode("scored_boxes", [[[[0.8, 0.0], [0.9, 0.3], [0.7, 0.0]]], boxes])
    assert [(one.category, one.confidence) for one in answers] == [
        ("a", pytest.approx(0.9)),
        ("a", pytest.approx(0.7)),
        ("b", pytest.approx(0.3)),
    ]


def test_no_boxes_give_no_annotations():
    assert decode("scored_boxes", [np.zeros((1, 0, 2)), np.zeros((1, 0, 4))]) == [[]]
    assert decode("scored_boxes", [np.zeros((1, 3, 2)), np.zeros((1, 3, 4))]) == [[]]
    assert decode("scored_boxes", [np.zeros((0, 3, 2)), np.zeros((0, 3, 4))], []) == []
    assert decode("prior_boxes", [np.zeros((1, 0, 4)), np.zeros((1, 0, 2))], priors=[]) == [[]]
    assert decode("prior_boxes", [np.zeros((0, 8)), np.zeros((0, 4))], [], priors=PRIORS) == []


@pytest.mark.parametrize(
    ("shapes", "parameters", "message"),
    [
        ([(1, 5, 3), (1, 5, 4)], {}, "scores"),
        ([(1, 5, 2), (1, 4, 4)], {}, "scores"),
        ([(1, 5, 2)], {}, "scores"),
        ([(1, 5, 2), (1, 5, 4)], {"order": "xywh"}, "order"),
        ([(1, 5, 3), (1, 5, 4)], {"background": 3}, "background"),
    ],
)
def test_scored_boxes_that_do_not_fit_are_refused(shapes, parameters, message):
    with pytest.raises(InvalidInput, match=message):
        decode("scored_boxes", [np.zeros(shape) for shape in shapes], **parameters)


def test_a_prior_is_moved_and_scaled_by_hand():
    offsets = [[[0, 0, 0, 0], [1.0, -2.0, 5 * math.log(2), 5 * math.log(0.5)]]]
    ((found,),) = decode("prior_boxes", [offsets, [[[0.0, 0.0], [0.7, 0.1]]]], priors=PRIORS)
    # Prior centre (0.7, 0.6), size (0.4, 0.2): centre (0.7 + 0.1 * 0.4, 0.6 - 0.2 * 0.2) = (0.74, 0.56), size (0.8, 0.1).
    assert (found.category, found.confidence) == ("a", pytest.approx(0.7))
    assert found.box_xyxy == pytest.approx((34, 25.5, 100, 30.5), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("background", [0, 2, None])
@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_prior_boxes_agree_with_a_slow_loop(seed, background, activation):
    rng = np.random.default_rng(seed)
    count, classes, variances = 60, 3, [0.1, 0.15, 0.2, 0.25]
    corners = rng.uniform(0, 0.7, (count, 2))
    priors = np.concatenate([corners, corners + rng.uniform(0.05, 0.3, (count, 2))], axis=1).astype(np.float32)
    offsets, scores = rng.normal(size=(1, count * 4)), rng.normal(size=(1, count * classes))
    foreground = [label for label in range(classes) if label != background]
    (answers,) = decode(
        "prior_boxes",
        [offsets, scores],
        categories=Categories([f"class {label}" for label in foreground]),
        threshold=0.4,
        iou=1.0,
        most=1000,
        priors=priors.tolist(),
        variances=variances,
        background=background,
        activation=activation,
    )
    expected = []
    for index in range(count):
        row = [float(value) for value in scores.reshape(count, classes)[index]]
        total = sum(math.exp(value) for value in row)
        rules = {"none": lambda v: v, "softmax": lambda v: math.exp(v) / total, "sigmoid": lambda v: 1 / (1 + math.exp(-v))}  # noqa: B023
        dx, dy, dw, dh = offsets.reshape(count, 4)[index] * variances
        x0, y0, x1, y1 = (float(value) for value in priors[index])
        cx, cy = (x0 + x1) / 2 + dx * (x1 - x0), (y0 + y1) / 2 + dy * (y1 - y0)
        w, h = (x1 - x0) * math.exp(dw), (y1 - y0) * math.exp(dh)
        box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * [100, 50, 100, 50]
        for label in foreground:
            confidence = rules[activation](row[label])
            if confidence >= 0.4:
                expected.append((min(confidence, 1), f"class {label}", np.clip(box, 0, [100, 50, 100, 50])))
    assert len(answers) == len(expected) > 5
    unmatched = list(answers)
    for confidence, category, box in expected:
        fits = (
            one
            for one in unmatched
            if one.category == category
            and one.confidence == pytest.approx(confidence, abs=1e-5)
            and one.box_xyxy == pytest.approx(tuple(box), abs=1e-3)
        )
        unmatched.remove(next(fits))


@pytest.mark.parametrize(
    ("shapes", "parameters", "message"),
    [
        ([(1, 2, 4), (1, 2, 3)], {}, "P = 2 priors"),
        ([(1, 3, 4), (1, 3, 2)], {}, "P = 2 priors"),
        ([(1, 8), (1, 6)], {}, "P = 2 priors"),
        ([(1, 8)], {}, "P = 2 priors"),
        ([(1, 8), (1, 4)], {"activation": "tanh"}, "activation"),
        ([(1, 8), (1, 6)], {"background": -1}, "background"),
    ],
)
def test_prior_boxes_that_do_not_fit_are_refused(shapes, parameters, message):
    with pytest.raises(InvalidInput, match=message):
        decode("prior_boxes", [np.zeros(shape) for shape in shapes], priors=PRIORS, **parameters)


def make_ultraface_priors(width: int = 320, height: int = 240) -> list[list[float]]:
    """Priors of Ultra-Light-Fast-Generic-Face-Detector, as its ONNX file holds them, to xyxy.

    For each stride a grid of ceil(width / stride) x ceil(height / stride) equal cells (so 60, not 64, pixels high where 64 does
    not divide 240); at each cell's centre a square for each of the stride's sides in pixels. Sizes are cut to the input's.
    """
    priors = []
    for stride, sides in ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256))):
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        for row in range(rows):
            for column in range(columns):
                for side in sides:
                    x, y = (column + 0.5) / columns, (row + 0.5) / rows
                    w, h = min(side / width, 1), min(side / height, 1)
                    priors.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return priors


def test_priors_reproduce_the_boxes_that_ultraface_decodes_in_its_own_graph(rng):
    if not ULTRAFACE.exists():
        pytest.skip("UltraFace is not here: it is part of the shared data beside the checkout")
    onnx = pytest.importorskip("onnx")
    import onnxruntime

    model = onnx.load(ULTRAFACE / "version-slim-320.onnx")
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in ("375", "374"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    batch = rng.normal(size=(1, 3, 240, 320)).astype(np.float32)  # a picture would leave most boxes unseen
    scores, boxes, offsets, logits = session.run(["scores", "boxes", "375", "374"], {"input": batch})
    placement = stretch_image(np.zeros((240, 320, 3), np.uint8), 320, 240)[1]
    common = {
        "categories": Categories(["face"]),
        "threshold": 0.0,
        "iou": 1.0,
        "most": 5000,
        "background": 0,
        "candidates": 5000,
    }
    (ready,) = decode("scored_boxes", [scores, boxes], [placement], **common)
    (made,) = decode(
        "prior_boxes", [offsets, logits], [placement], priors=make_ultraface_priors(), activation="softmax", **common
    )
    assert len(ready) == len(made) > 4000
    key = lambda one: (round(one.confidence, 4), one.box_xyxy)  # noqa: E731 - equal confidences may change places
    np.testing.assert_allclose(
        [one.box_xyxy for one in sorted(made, key=key)], [one.box_xyxy for one in sorted(ready, key=key)], atol=0.01
    )


def test_a_label_map_gives_a_mask_for_each_category_present():
    label_map = np.array([[0, 0, 1, 7], [0, 0, 1, -1]])
    placement = stretch_image(np.zeros((2, 4, 3), np.uint8), 4, 2)[1]
    (answers,) = decode("label_map", [label_map[None]], [placement])
    assert [(one.category, one.confidence, one.origin) for one in answers] == [("a", 1.0, "model"), ("b", 1.0, "model")]
    for label, one in enumerate(answers):
        np.testing.assert_array_equal(decode_mask(one.mask), label_map == label)


@pytest.mark.parametrize("shape", [(1, 4, 6), (1, 1, 4, 6), (1, 4, 6, 1)])
def test_a_label_map_lies_where_the_picture_lies(shape):
    placement = letterbox_image(np.zeros((30, 90, 3), np.uint8), 60, 60)[1]  # 20 rows of content, from row 20 on
    label_map = np.array([[0] * 6, [0] * 3 + [1] * 3, [1] * 6, [0] * 6])
    (answers,) = decode("label_map", [label_map.reshape(shape)], [placement], background="a")
    assert [one.category for one in answers] == ["b"]
    expected = np.zeros(
        (30, 90), bool
    )  # a cell is 15 x 10 input pixels, so 22.5 x 15 of the source; the content's begin at -7.5
    for row, column in np.ndindex(30, 90):
        y, x = (row + 0.5) * 60 / 90 + 20, (column + 0.5) * 60 / 90
        expected[row, column] = label_map[int(y * 4 / 60), int(x * 6 / 60)] == 1
    np.testing.assert_array_equal(decode_mask(answers[0].mask), expected)


def test_label_maps_of_another_shape_and_labels_of_no_category():
    for shape in ((1, 2, 3, 4), (1, 5), (1, 0, 4)):
        with pytest.raises(InvalidInput, match="class indices"):
            decode("label_map", [np.zeros(shape)])
    assert decode("label_map", [np.full((1, 4, 4), -5.0)]) == [[]]
    assert decode("label_map", [np.zeros((0, 4, 4))], []) == []
