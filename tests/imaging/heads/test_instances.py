import math

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.heads.instances import decode_anchor_free_masks
from sightline.imaging.masks import decode_mask
from sightline.imaging.resizing import Placement, letterbox_image, stretch_image

CATEGORIES = Categories(["a", "b"])
KINDS = ("scores", "sides", "coefficients")
NAMES = (*(f"{kind}_{stride}" for stride in (8, 16) for kind in KINDS), "prototypes")
SPEC = DecodeSpec(head="anchor_free_masks", outputs=NAMES, parameters={"strides": [8, 16], "side_scale": 2.0})
COUNT = 3


def inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))


def make_outputs(size: int = 64) -> dict[str, np.ndarray]:
    """Nothing anywhere: logits -20, sides of one stride, prototypes and coefficients 0."""
    outputs = {}
    for stride in (8, 16):
        cells = (size // stride, size // stride)
        outputs[f"scores_{stride}"] = np.full((1, 2, *cells), -20, np.float32)
        outputs[f"sides_{stride}"] = np.full((1, 4, *cells), inverse_softplus(0.5), np.float32)
        outputs[f"coefficients_{stride}"] = np.zeros((1, COUNT, *cells), np.float32)
    return outputs | {"prototypes": np.zeros((1, COUNT, size // 4, size // 4), np.float32)}


def show_object(outputs: dict[str, np.ndarray], row: int, column: int, coefficients: list[float], confidence=0.8) -> None:
    """A box of 16 x 16 input pixels around the cell of stride 8."""
    outputs["scores_8"][0, 1, row, column] = math.log(confidence / (1 - confidence))
    outputs["coefficients_8"][0, :, row, column] = np.arctanh(coefficients)


def place(width: int = 64, height: int = 64, size: int = 64) -> Placement:
    return letterbox_image(np.zeros((height, width, 3), np.uint8), size, size)[1]


def test_a_mask_is_a_sum_of_prototypes_by_hand():
    outputs = make_outputs()
    show_object(outputs, 3, 4, [0.5, 0, -0.5])  # the box (28, 20, 44, 36)
    outputs["prototypes"][0, 0, :, :9] = 3.0  # left of x = 36, whose centre of cells is 34
    outputs["prototypes"][0, 2] = 1.0
    ((found,),) = decode_outputs(SPEC, outputs, [place()], CATEGORIES)
    # Logits 0.5 * 3 - 0.5 = 1 up to the centre at 34, -0.5 from that at 38 on: 0 at 34 + 4 * 1 / 1.5 = 36.67.
    assert found.box_xyxy == (28, 20, 37, 36)  # the pixel from 36 to 37 has its centre at 36.5
    mask = decode_mask(found.mask)
    assert mask.shape == (64, 64)
    assert mask[20:36, 28:37].all() and mask.sum() == 16 * 9
    assert (found.category, found.origin) == ("b", "model")
    assert found.confidence == pytest.approx(0.8, rel=1e-5)


def test_an_object_without_a_pixel_is_dropped():
    outputs = make_outputs()
    show_object(outputs, 3, 4, [-0.5, 0, 0])
    outputs["prototypes"][0, 0] = 2.0
    assert decode_outputs(SPEC, outputs, [place()], CATEGORIES) == [[]]
    outputs["prototypes"][0, 0, 5, 9] = -9.0  # one cell, inside the box
    assert len(decode_outputs(SPEC, outputs, [place()], CATEGORIES)[0]) == 1


def test_masks_lie_in_the_picture_and_not_in_the_bands():
    outputs = make_outputs()
    show_object(outputs, 2, 0, [0.9, 0, 0])  # the box (-4, 12, 12, 28) of the input; bands above 16 and below 48
    outputs["prototypes"][0, 0] = 1.0
    ((found,),) = decode_outputs(SPEC, outputs, [place(128, 64)], CATEGORIES)
    assert found.box_xyxy == (0, 0, 24, 24)  # twice as large as the input
    assert (found.mask.width, found.mask.height) == (128, 64)
    assert decode_mask(found.mask).sum() == 24 * 24


def test_of_equal_boxes_the_surest_keeps_its_own_mask():
    outputs = make_outputs()
    show_object(outputs, 3, 4, [0.9, 0, 0], confidence=0.6)
    show_object(outputs, 3, 5, [0, 0.9, 0], confidence=0.9)
    for side, value in enumerate((15, 8, 1, 8)):  # nearly the same box, from the next cell: (29, 20, 45, 36)
        outputs["sides_8"][0, side, 3, 5] = inverse_softplus(value / 16)
    outputs["prototypes"][0, 0], outputs["prototypes"][0, 1, :, :9] = 1.0, 1.0
    outputs["prototypes"][0, 1, :, 9:] = -1.0
    ((found,),) = decode_outputs(SPEC, outputs, [place()], CATEGORIES)
    assert found.confidence == pytest.approx(0.9, rel=1e-5)
    assert found.box_xyxy == (29, 20, 36, 36)  # what the second prototype leaves of it


def draw_slowly(prototypes: np.ndarray, coefficients: np.ndarray, box: tuple[float, ...], placement: Placement) -> np.ndarray:
    """Every pixel by itself: its place on the prototypes, four neighbours, the sum."""
    mask = np.zeros((placement.source_height, placement.source_width), bool)
    rows, columns = prototypes.shape[1:]
    for y, x in np.ndindex(mask.shape):
        if not (box[0] <= x + 0.5 < box[2] and box[1] <= y + 0.5 < box[3]):
            continue
        u = ((x + 0.5) * placement.scale_x + placement.offset_x) * columns / placement.input_width - 0.5
        v = ((y + 0.5) * placement.scale_y + placement.offset_y) * rows / placement.input_height - 0.5
        u, v = min(max(u, 0), columns - 1), min(max(v, 0), rows - 1)
        left, top = min(int(u), columns - 2), min(int(v), rows - 2)
        values = prototypes[:, top : top + 2, left : left + 2]
        weights = np.outer([1 - (v - top), v - top], [1 - (u - left), u - left])
        total = float(np.tanh(coefficients) @ (values * weights).sum((1, 2)))
        mask[y, x] = 1 / (1 + math.exp(-total)) > 0.5
    return mask


@pytest.mark.parametrize(
    "placement",
    [place(), place(90, 50), place(30, 47), stretch_image(np.zeros((33, 80, 3), np.uint8), 64, 64)[1]],
    ids=["same", "letterbox", "enlarged", "stretch"],
)
def test_decoding_agrees_with_a_slow_loop(placement, rng):
    outputs = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in make_outputs().items()}
    spec = DecodeSpec(
        head=SPEC.head, outputs=NAMES, parameters={"strides": [8, 16], "side_scale": 2.0}, iou_threshold=0.4, max_detections=20
    )
    (answers,) = decode_outputs(spec, outputs, [placement], CATEGORIES, 0.3)
    boxes = DecodeSpec(
        head="anchor_free",
        outputs=[name for name in NAMES[:-1] if "coefficients" not in name],
        parameters=spec.parameters,
        iou_threshold=0.4,
        max_detections=20,
    )
    (detected,) = decode_outputs(boxes, outputs, [placement], CATEGORIES, 0.3)
    owners = {one.confidence: one.box_xyxy for one in detected}  # confidences are all different
    assert len(answers) > 5
    for answer in answers:
        level, cell = find_cell(outputs, answer.confidence, CATEGORIES.index(answer.category))
        coefficients = outputs[f"coefficients_{level}"][0].reshape(COUNT, -1)[:, cell]
        expected = draw_slowly(outputs["prototypes"][0], coefficients, owners[answer.confidence], placement)
        assert np.array_equal(decode_mask(answer.mask), expected)
        assert answer.box_xyxy == find_bounds(expected)
    assert all(one.confidence in owners for one in answers)


def find_cell(outputs: dict[str, np.ndarray], confidence: float, label: int) -> tuple[int, int]:
    """Stride and cell of a confidence."""
    gaps = {
        (stride, cell): abs(1 / (1 + math.exp(-logit)) - confidence)
        for stride in (8, 16)
        for cell, logit in enumerate(outputs[f"scores_{stride}"][0, label].ravel().tolist())
    }
    return min(gaps, key=lambda one: gaps[one])


def find_bounds(mask: np.ndarray) -> tuple[float, ...]:
    rows, columns = np.nonzero(mask)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_boxes_are_those_of_the_detector_s_head(rng):
    """The heads share their candidates: what one shows as a box the other shows with a mask, if it has a pixel."""
    outputs = make_outputs()
    show_object(outputs, 3, 4, [0.9, 0, 0])
    outputs["prototypes"][0, 0] = 1.0
    detector = DecodeSpec(head="anchor_free", outputs=NAMES[0:2] + NAMES[3:5], parameters=SPEC.parameters)
    ((boxed,),) = decode_outputs(detector, outputs, [place()], CATEGORIES)
    ((masked,),) = decode_outputs(SPEC, outputs, [place()], CATEGORIES)
    assert masked.box_xyxy == pytest.approx(boxed.box_xyxy, abs=1e-4)
    assert masked.confidence == boxed.confidence


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores_8": (1, 3, 8, 8)},
        {"sides_16": (1, 4, 8, 8)},
        {"coefficients_16": (1, COUNT + 1, 4, 4)},
        {"prototypes": (1, COUNT, 256)},
        {"prototypes": (1, 0, 16, 16)},
    ],
)
def test_outputs_of_other_shapes_are_refused(wrong):
    outputs = make_outputs() | {name: np.zeros(shape, np.float32) for name, shape in wrong.items()}
    with pytest.raises(InvalidInput, match=r"expected class logits \(N, 2, h, w\), sides .* and prototypes"):
        decode_outputs(SPEC, outputs, [place()], CATEGORIES)


def test_no_outputs_are_refused():
    with pytest.raises(InvalidInput, match="expected class logits"):
        decode_anchor_free_masks(SPEC, [], [], CATEGORIES, 0.5)
