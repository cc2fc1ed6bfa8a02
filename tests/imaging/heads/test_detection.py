import math

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.heads.detection import select_candidates
from sightline.imaging.resizing import letterbox_image, stretch_image

CATEGORIES = Categories(["a", "b"])
NAMES = ("scores_8", "sides_8", "scores_16", "sides_16")


def inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))


def make_outputs(size: int = 64) -> dict[str, np.ndarray]:
    """Nothing anywhere: logits -20, sides of one stride."""
    outputs = {}
    for stride in (8, 16):
        cells = size // stride
        outputs[f"scores_{stride}"] = np.full((1, 2, cells, cells), -20, np.float32)
        outputs[f"sides_{stride}"] = np.full((1, 4, cells, cells), inverse_softplus(1.0), np.float32)
    return outputs


def make_spec(**fields) -> DecodeSpec:
    parameters = {"strides": [8, 16], "side_scale": 2.0, **fields.pop("parameters", {})}
    return DecodeSpec(head="anchor_free", outputs=NAMES, parameters=parameters, **fields)


def place(width: int = 64, height: int = 64, size: int = 64):
    return letterbox_image(np.zeros((height, width, 3), np.uint8), size, size)[1]


def test_a_cell_becomes_its_box_by_hand():
    outputs = make_outputs()
    outputs["scores_8"][0, 1, 3, 4] = math.log(0.8 / 0.2)
    for side, value in enumerate((0.5, 1.0, 0.25, 1.5)):
        outputs["sides_8"][0, side, 3, 4] = inverse_softplus(value)
    ((found,),) = decode_outputs(make_spec(), outputs, [place()], CATEGORIES)
    # Centre (4.5 * 8, 3.5 * 8) = (36, 28); sides * 8 * 2 = 8, 16, 4, 24.
    assert found.box_xyxy == pytest.approx((28, 12, 40, 52), abs=1e-4)
    assert (found.category, found.origin) == ("b", "model")
    assert found.confidence == pytest.approx(0.8, rel=1e-5)


def test_boxes_are_carried_to_the_source_and_cut_there():
    outputs = make_outputs()
    outputs["scores_16"][0, 0, 1, 0] = 3.0
    outputs["sides_16"][0, :, 1, 0] = inverse_softplus(0.75)  # 24 pixels to every side of (8, 24)
    ((found,),) = decode_outputs(make_spec(), outputs, [place(128, 64)], CATEGORIES)
    # Input box (-16, 0, 32, 48); scale 0.5, 16 rows of band: source (-32, -32, 64, 64), cut at 0.
    assert found.box_xyxy == pytest.approx((0, 0, 64, 64), abs=1e-3)


def test_a_box_outside_the_picture_is_dropped():
    outputs = make_outputs()
    outputs["scores_8"][0, 0, 0, 0] = 3.0  # in the upper band
    outputs["sides_8"][0, :, 0, 0] = inverse_softplus(0.1)
    assert decode_outputs(make_spec(), outputs, [place(128, 64)], CATEGORIES) == [[]]


def decode_slowly(outputs, threshold, iou_threshold, most):
    """Every (level, class, row, column) by the formula, then greedy suppression."""
    found = []
    for stride in (8, 16):
        scores, sides = outputs[f"scores_{stride}"][0], outputs[f"sides_{stride}"][0]
        for label, row, column in np.ndindex(*scores.shape):
            confidence = 1 / (1 + math.exp(-scores[label, row, column]))
            if confidence < threshold:
                continue
            left, top, right, bottom = (math.log1p(math.exp(value)) * stride * 2.0 for value in sides[:, row, column])
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            found.append((confidence, label, (x - left, y - top, x + right, y + bottom)))
    found.sort(key=lambda one: -one[0])
    kept = []
    for confidence, label, box in found:
        if all(other[1] != label or overlap(other[2], box) <= iou_threshold for other in kept):
            kept.append((confidence, label, box))
    return [(c, label, tuple(float(np.clip(value, 0, 64)) for value in box)) for c, label, box in kept[:most]]


def overlap(one, other):
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("seed", range(5))
def test_decoding_agrees_with_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    outputs = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in make_outputs().items()}
    spec = make_spec(iou_threshold=0.4, max_detections=30)
    (answers,) = decode_outputs(spec, outputs, [place()], CATEGORIES, confidence_threshold=0.3)
    expected = decode_slowly(outputs, 0.3, 0.4, 30)
    assert len(answers) == len(expected) > 5
    for answer, (confidence, label, box) in zip(answers, expected, strict=True):
        assert answer.category == CATEGORIES[label]
        assert answer.confidence == pytest.approx(confidence, abs=1e-5)
        assert answer.box_xyxy == pytest.approx(box, abs=1e-3)


def test_only_the_best_candidates_are_decoded(rng):
    outputs = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in make_outputs().items()}
    spec = make_spec(iou_threshold=1.0, parameters={"candidates": 6})
    (answers,) = decode_outputs(spec, outputs, [place()], CATEGORIES, confidence_threshold=0.0)
    logits = np.sort(np.concatenate([outputs["scores_8"].ravel(), outputs["scores_16"].ravel()]))[::-1][:6]
    assert [one.confidence for one in answers] == pytest.approx((1 / (1 + np.exp(-logits))).tolist(), abs=1e-5)


VOTES = {"voters": 2, "share": 0.5, "spread": 0.02, "faintest": 0.2}


def make_two_votes() -> dict[str, np.ndarray]:
    """Cells (4, 3) and (5, 3), sure by 0.8 and 0.4, see the boxes (20, 12, 52, 44) and (20, 12, 52, 40)."""
    outputs = make_outputs()
    for x, sides, confidence in ((4, (16, 16, 16, 16), 0.8), (5, (24, 16, 8, 12), 0.4)):
        outputs["scores_8"][0, 0, 3, x] = math.log(confidence / (1 - confidence))
        outputs["sides_8"][0, :, 3, x] = [inverse_softplus(side / 16) for side in sides]
    return outputs


def test_suppressed_boxes_vote_by_hand():
    spec = make_spec(parameters={"votes": VOTES})
    ((found,),) = decode_outputs(spec, make_two_votes(), [place()], CATEGORIES, confidence_threshold=0.1)
    weight = 0.4 * math.exp(-((1 / 8) ** 2) / 0.02)  # IoU 28 / 32
    assert found.box_xyxy == pytest.approx((20, 12, 52, (0.8 * 44 + weight * 40) / (0.8 + weight)), abs=1e-3)
    assert found.confidence == pytest.approx(math.sqrt(0.8 * 0.6), abs=1e-5)  # votes 0.8 and 0.4: mean 0.6


def test_the_threshold_does_not_change_the_votes():
    spec = make_spec(parameters={"votes": VOTES})
    low, high, too_high = (
        decode_outputs(spec, make_two_votes(), [place()], CATEGORIES, confidence_threshold=threshold)[0]
        for threshold in (0.3, 0.6, 0.75)
    )
    assert low == high != []
    assert too_high == []  # the box itself is sure by 0.8, its votes bring it to 0.69


def test_without_votes_a_box_keeps_its_place_and_confidence():
    ((found,),) = decode_outputs(make_spec(), make_two_votes(), [place()], CATEGORIES, confidence_threshold=0.1)
    assert found.box_xyxy == pytest.approx((20, 12, 52, 44), abs=1e-3)
    assert found.confidence == pytest.approx(0.8, abs=1e-5)


def test_pictures_of_a_batch_do_not_mix():
    outputs = {name: np.repeat(array, 3, axis=0) for name, array in make_outputs().items()}
    outputs["scores_8"][1, 0, 2, 2] = 5.0
    assert [len(answers) for answers in decode_outputs(make_spec(), outputs, [place()] * 3, CATEGORIES)] == [0, 1, 0]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_ends_of_the_threshold_are_defined(threshold):
    outputs = make_outputs()
    answers = decode_outputs(make_spec(max_detections=5), outputs, [place()], CATEGORIES, confidence_threshold=threshold)
    assert len(answers[0]) == (5 if threshold == 0 else 0)


def test_huge_values_stay_finite():
    outputs = make_outputs()
    outputs["scores_8"][:] = -1e4
    outputs["scores_8"][0, 0, 1, 1], outputs["sides_8"][0, :, 1, 1] = 1e4, (1e4, -1e4, 80.0, 1e4)
    ((found,),) = decode_outputs(make_spec(), outputs, [place()], CATEGORIES)
    assert found.box_xyxy == pytest.approx((0, 12, 64, 64))
    assert found.confidence == 1.0


def test_outputs_of_other_shapes_are_refused():
    for name, shape in (
        ("scores_8", (1, 3, 8, 8)),
        ("sides_8", (1, 5, 8, 8)),
        ("sides_16", (1, 4, 8, 8)),
        ("scores_16", (1, 2)),
    ):
        with pytest.raises(InvalidInput, match="stride"):
            decode_outputs(make_spec(), make_outputs() | {name: np.zeros(shape, np.float32)}, [place()], CATEGORIES)
    with pytest.raises(InvalidInput, match="stride"):
        decode_outputs(make_spec(parameters={"strides": [8]}), make_outputs(), [place()], CATEGORIES)


@pytest.mark.parametrize("seed", range(4))
def test_region_boxes_agree_with_torchvision(seed):
    torch = pytest.importorskip("torch")
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.roi_heads import RoIHeads
    from torchvision.ops import MultiScaleRoIAlign

    rng = np.random.default_rng(seed)
    categories, width, height, count = Categories(["a", "b", "c"]), 200, 150, 120
    corners = rng.uniform(0, 130, (count, 2))
    proposals = np.concatenate([corners, corners + rng.uniform(2, 70, (count, 2))], axis=1).astype(np.float32)
    logits = rng.normal(scale=2, size=(count, 4)).astype(np.float32)
    deltas = rng.normal(scale=3, size=(count, 16)).astype(np.float32)
    deltas[0] = 40  # beyond the largest growth
    heads = RoIHeads(
        MultiScaleRoIAlign(["0"], 7, 2), TwoMLPHead(4, 4), FastRCNNPredictor(4, 4),
        0.5, 0.5, 512, 0.25, None, score_thresh=0.1, nms_thresh=0.4, detections_per_img=50,
    )  # fmt: skip
    tensors = (torch.from_numpy(array) for array in (logits, deltas, proposals))
    class_logits, box_deltas, boxes = tensors
    expected_boxes, expected_scores, expected_labels = heads.postprocess_detections(
        class_logits, box_deltas, [boxes], [(height, width)]
    )
    spec = DecodeSpec(
        head="region_boxes",
        outputs=("boxes", "logits", "deltas"),
        confidence_threshold=0.1,
        iou_threshold=0.4,
        max_detections=50,
    )
    outputs = {"boxes": proposals[None], "logits": logits[None], "deltas": deltas[None]}
    placement = stretch_image(np.zeros((height, width, 3), np.uint8), width, height)[1]
    (answers,) = decode_outputs(spec, outputs, [placement], categories)
    assert len(answers) == len(expected_boxes[0]) > 10
    np.testing.assert_allclose([one.box_xyxy for one in answers], expected_boxes[0].numpy(), atol=1e-3)
    np.testing.assert_allclose([one.confidence for one in answers], expected_scores[0].numpy(), atol=1e-5)
    assert [categories.index(one.category) + 1 for one in answers] == expected_labels[0].tolist()


def test_region_boxes_of_other_shapes_are_refused():
    spec = DecodeSpec(head="region_boxes", outputs=("boxes", "logits", "deltas"))
    outputs = {"boxes": np.zeros((1, 5, 4)), "logits": np.zeros((1, 5, 2)), "deltas": np.zeros((1, 5, 12))}
    with pytest.raises(InvalidInput, match="proposals"):
        decode_outputs(spec, outputs, [place()], CATEGORIES)


def test_no_regions_give_no_boxes():
    spec = DecodeSpec(head="region_boxes", outputs=("boxes", "logits", "deltas"))
    outputs = {"boxes": np.zeros((1, 0, 4)), "logits": np.zeros((1, 0, 3)), "deltas": np.zeros((1, 0, 12))}
    assert decode_outputs(spec, outputs, [place()], CATEGORIES) == [[]]


def test_the_best_candidates_at_or_above_the_threshold_are_chosen_in_their_order() -> None:
    scores = np.array([0.5, 0.9, 0.1, 0.7, 0.49])
    chosen = [select_candidates(scores, 0.5, most).tolist() for most in (1, 2, 3, 4)]
    assert chosen == [[1], [1, 3], [0, 1, 3], [0, 1, 3]]
