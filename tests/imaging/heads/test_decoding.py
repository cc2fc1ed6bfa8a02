import math

import numpy as np
import pytest

from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound, Unsupported
from sightline.core.manifests import DecodeSpec
from sightline.imaging.heads.decoding import HEADS, NotANumber, decode_outputs
from sightline.imaging.masks import decode_mask
from sightline.imaging.resizing import letterbox_image, stretch_image

CATEGORIES = Categories(["a", "b", "c"])
PLACEMENT = stretch_image(np.zeros((8, 8, 3), np.uint8), 8, 8)[1]


def decode(head: str, logits, placements=(PLACEMENT,), threshold=None, **parameters):
    spec = DecodeSpec(head=head, outputs=("logits",), parameters=parameters)
    return decode_outputs(spec, {"logits": np.asarray(logits, np.float32)}, placements, CATEGORIES, threshold)


def test_softmax_ranks_the_categories():
    (answers,) = decode("softmax", [[0.0, math.log(3), math.log(4)]], threshold=0.0)
    assert [one.category for one in answers] == ["c", "b", "a"]
    assert [one.confidence for one in answers] == pytest.approx([4 / 8, 3 / 8, 1 / 8])
    assert all(one.origin == "model" and one.geometry == "image" for one in answers)


def test_softmax_keeps_the_best_whatever_its_confidence():
    (answers,) = decode("softmax", [[0.0, 0.1, 0.0]], threshold=0.9)
    assert [one.category for one in answers] == ["b"]


def test_softmax_gives_at_most_as_many_as_asked():
    assert len(decode("softmax", [[0.0, 1.0, 2.0]], threshold=0.0, top=2)[0]) == 2


def test_softmax_of_huge_logits_stays_finite():
    (answers,) = decode("softmax", [[1e4, -1e4, 0.0]])
    assert [(one.category, one.confidence) for one in answers] == [("a", 1.0)]


def test_probabilities_are_taken_as_they_are():
    (answers,) = decode("probabilities", [[0.2, 0.1, 0.7]], threshold=0.15)
    assert [(one.category, one.confidence) for one in answers] == [("c", pytest.approx(0.7)), ("a", pytest.approx(0.2))]
    assert [one.category for one in decode("probabilities", [[0.4, 0.3, 0.3]], threshold=0.9)[0]] == ["a"]


@pytest.mark.parametrize("head", ["softmax", "probabilities", "sigmoid"])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 1, 3)])
def test_classifiers_may_keep_their_axes_of_length_one(head, shape, rng):
    scores = rng.uniform(size=(2, 3))
    flat = decode(head, scores, [PLACEMENT] * 2, threshold=0.0)
    assert decode(head, scores.reshape(shape), [PLACEMENT] * 2, threshold=0.0) == flat
    assert decode(head, np.zeros((0, *shape[1:])), []) == []


def test_sigmoid_gives_every_category_above_the_threshold():
    logits = [[math.log(9), -100.0, math.log(0.25)]]  # 0.9, 0, 0.2
    assert [one.category for one in decode("sigmoid", logits)[0]] == ["a"]  # the spec's default is 0.25
    answers = decode("sigmoid", logits, threshold=0.15)[0]
    assert [one.confidence for one in answers] == pytest.approx([0.9, 0.2])


def test_an_argument_overrides_the_threshold_of_the_spec():
    assert decode("sigmoid", [[0.0, 0.0, 0.0]], threshold=0.6) == [[]]
    for least in (0.4, 0.5):  # each is 1 / 2
        assert len(decode("sigmoid", [[0.0, 0.0, 0.0]], threshold=least)[0]) == 3
    assert len(decode("probabilities", [[0.5, 0.25, 0.25]], threshold=0.25)[0]) == 3


def one_hot(label_map: np.ndarray, height: float = 8.0) -> np.ndarray:
    """(h, w) labels -> (1, 3, h, w) logits."""
    return height * (label_map[None, None] == np.arange(3)[None, :, None, None]).astype(np.float32)


def test_semantic_at_the_size_of_the_source_is_an_argmax(rng):
    logits = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    (answers,) = decode("semantic", logits, threshold=0.0)
    for one in answers:
        np.testing.assert_array_equal(decode_mask(one.mask), logits[0].argmax(axis=0) == CATEGORIES.index(one.category))
        probability = np.exp(logits[0]) / np.exp(logits[0]).sum(axis=0)
        inside = logits[0].argmax(axis=0) == CATEGORIES.index(one.category)
        assert one.confidence == pytest.approx(probability.max(axis=0)[inside].mean(), rel=1e-4)
    confidences = [one.confidence for one in answers]
    assert confidences == sorted(confidences, reverse=True)


def test_semantic_leaves_the_letterbox_out():
    placement = letterbox_image(np.zeros((20, 40, 3), np.uint8), 40, 40)[1]  # bands of 10 rows above and below
    label_map = np.full((40, 40), 2)
    label_map[10:30, :20], label_map[10:30, 20:] = 0, 1
    (answers,) = decode("semantic", one_hot(label_map), [placement], threshold=0.0)
    masks = {one.category: decode_mask(one.mask) for one in answers}
    assert masks["a"].shape == (20, 40)
    assert masks["a"][:, :20].all() and masks["b"][:, 20:].all() and "c" not in masks


def test_semantic_scales_coarse_logits_to_the_source():
    placement = letterbox_image(np.zeros((100, 200, 3), np.uint8), 64, 64)[1]  # scale 0.32, content rows 16..48
    coarse = np.full((16, 16), 2)  # stride 4: content rows 4..12
    coarse[4:12, :8], coarse[4:12, 8:] = 0, 1
    (answers,) = decode("semantic", one_hot(coarse), [placement], threshold=0.0)
    masks = {one.category: decode_mask(one.mask) for one in answers}
    expected = np.zeros((100, 200), bool)
    expected[:, :100] = True
    assert (masks["a"] & expected).sum() / (masks["a"] | expected).sum() > 0.9  # the border rows blend with the bands
    assert (masks["a"][20:80] == expected[20:80]).all()


def test_semantic_agrees_with_resizing_by_torch(rng):
    torch = pytest.importorskip("torch")
    logits = rng.normal(size=(1, 3, 7, 9)).astype(np.float32)
    placement = stretch_image(np.zeros((30, 45, 3), np.uint8), 90, 70)[1]
    (answers,) = decode("semantic", logits, [placement], threshold=0.0)
    large = torch.nn.functional.interpolate(torch.from_numpy(logits), size=(30, 45), mode="bilinear", align_corners=False)
    labels = large[0].argmax(dim=0).numpy()
    different = sum((decode_mask(one.mask) != (labels == CATEGORIES.index(one.category))).sum() for one in answers)
    assert different <= 0.02 * labels.size  # OpenCV interpolates on a grid of 1/32 pixel


@pytest.mark.parametrize("seed", range(8))
def test_classes_left_out_early_never_win(seed):
    rng = np.random.default_rng(seed)
    many = Categories([str(index) for index in range(12)])
    logits = rng.normal(size=(1, 12, 5, 6)).astype(np.float32) + rng.normal(scale=2, size=(1, 12, 1, 1)).astype(np.float32)
    placement = letterbox_image(np.zeros((33, 50, 3), np.uint8), 48, 40)[1]
    spec = DecodeSpec(head="semantic", outputs=("logits",))
    (answers,) = decode_outputs(spec, {"logits": logits}, [placement], many, 0.0)
    # Every plane interpolated by hand, none left out.
    height, width = 33, 50
    y = (np.arange(height) + 0.5) * placement.scale_y + placement.offset_y
    x = (np.arange(width) + 0.5) * placement.scale_x + placement.offset_x
    rows, columns = np.clip(y * 5 / 40 - 0.5, 0, 4), np.clip(x * 6 / 48 - 0.5, 0, 5)
    top, left = np.minimum(rows.astype(int), 3), np.minimum(columns.astype(int), 4)
    down, right = (rows - top)[:, None], (columns - left)[None, :]
    corners = [logits[0][:, top + dy][:, :, left + dx] for dy in (0, 1) for dx in (0, 1)]
    weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    labels = sum(corner * weight for corner, weight in zip(corners, weights, strict=True)).argmax(axis=0)
    wrong = sum((decode_mask(one.mask) & (labels != many.index(one.category))).sum() for one in answers)
    assert wrong <= 0.02 * labels.size  # OpenCV interpolates on a grid of 1/32 pixel


@pytest.mark.parametrize(("threshold", "found"), [(0.5, 1), (0.51, 0)])
def test_a_mask_is_kept_from_the_threshold_on(threshold, found):
    logits = np.full((1, 3, 4, 4), -100.0)
    logits[:, :2] = 0.0  # two categories are equally likely: 1 / 2, and the first wins
    assert len(decode("semantic", logits, threshold=threshold)[0]) == found


def test_semantic_skips_the_background():
    label_map = np.zeros((8, 8), int)
    label_map[2:4, 2:4] = 1
    (answers,) = decode("semantic", one_hot(label_map), background="a")
    assert [one.category for one in answers] == ["b"]
    assert answers[0].box_xyxy == (2, 2, 4, 4)


def test_an_empty_batch_gives_nothing():
    for head, shape in (("softmax", (0, 3)), ("sigmoid", (0, 3)), ("semantic", (0, 3, 4, 4))):
        assert decode(head, np.zeros(shape), []) == []


@pytest.mark.parametrize(
    ("head", "shape"),
    [
        ("softmax", (1, 4)),
        ("softmax", (1, 3, 2, 1)),
        ("probabilities", (1, 4, 1, 1)),
        ("sigmoid", (1, 3, 1)),
        ("semantic", (1, 4, 8, 8)),
        ("semantic", (1, 3)),
    ],
)
def test_logits_of_another_shape_are_refused(head, shape):
    with pytest.raises(InvalidInput, match="3 categories"):
        decode(head, np.zeros(shape))


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_network_that_answers_nan_finds_nothing_and_labels_nothing(head):
    outputs = np.zeros((1, 3, 8, 8), np.float32)
    outputs[0, 1, 4, 4] = np.nan
    with pytest.raises(NotANumber, match="expected numbers in the output logits of the network, got NaN"):
        decode(head, outputs)


@pytest.mark.parametrize("head", ["softmax", "probabilities"])
@pytest.mark.parametrize("logits", [[0.0, math.inf, 1.0], [-math.inf] * 3])
def test_infinities_that_leave_no_probability_are_refused(head, logits):
    with pytest.raises(NotANumber, match="got infinity"):
        decode(head, [logits])
    with pytest.raises(NotANumber, match="got infinity"):
        decode("semantic", np.array(logits).reshape(1, 3, 1, 1))


def test_a_class_that_is_masked_by_minus_infinity_is_never_the_answer():
    (answers,) = decode("softmax", [[-math.inf, 0.0, 0.0]], threshold=0.0)
    assert [(one.category, one.confidence) for one in answers] == [("b", 0.5), ("c", 0.5), ("a", 0.0)]


def test_unknown_heads_and_missing_outputs_are_named():
    with pytest.raises(NotFound, match="'yolo9000'"):
        decode("yolo9000", np.zeros((1, 3)))
    with pytest.raises(NotFound, match="logits"):
        decode_outputs(DecodeSpec(head="softmax", outputs=("logits",)), {"other": np.zeros((1, 3))}, [PLACEMENT], CATEGORIES)


def test_every_picture_of_the_batch_needs_its_row():
    with pytest.raises(InvalidInput, match="2 pictures"):
        decode("softmax", np.zeros((3, 3)), [PLACEMENT, PLACEMENT])


def test_the_table_names_the_heads_of_the_documents():
    own = {"softmax", "sigmoid", "semantic", "anchor_free", "anchor_free_masks", "region_boxes"}
    imported = {
        "probabilities",
        "label_map",
        "yolo",
        "grid_objects",
        "scored_boxes",
        "prior_boxes",
        "joined_boxes",
        "final_boxes",
    }
    assert set(HEADS) == own | imported


def test_sigmoids_that_are_activated_already_stay_as_they_are() -> None:
    spec = DecodeSpec(head="sigmoid", outputs=("y",), parameters={"activated": True}, confidence_threshold=0.4)
    (answer,) = decode_outputs(spec, {"y": np.array([[0.9, 0.3]], np.float32)}, [PLACEMENT], Categories(["a", "b"]))
    assert [(one.category, one.confidence) for one in answer] == [("a", pytest.approx(0.9))]


def test_outputs_that_nobody_explained_are_refused_with_the_remedy() -> None:
    spec = DecodeSpec(head="raw", outputs=("y",))
    with pytest.raises(Unsupported, match="import it with a `head`"):
        decode_outputs(spec, {"y": np.zeros((1, 2), np.float32)}, [PLACEMENT], Categories(["a"]))
