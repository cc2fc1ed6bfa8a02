import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask

from sightline.core.annotations import Annotation, MaskRle
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, NotFound
from sightline.imaging.files.reading import read_label_map
from sightline.imaging.masks import (
    annotations_to_label_map,
    compute_ring_area,
    decode_mask,
    draw_annotation,
    draw_polygons,
    encode_mask,
    find_annotation_box,
    find_mask_box,
    find_polygons_box,
    find_rle_box,
    has_holes,
    label_map_to_annotations,
    trace_mask,
)
from sightline.imaging.rle import pack_runs

CATEGORIES = Categories(["a", "b", "c", "d"])


def fill_slowly(points: np.ndarray, height: int, width: int, nudge: float) -> np.ndarray:
    """Even-odd rule at every pixel's centre, moved right by `nudge`, edge by edge."""
    mask = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5 + nudge, row + 0.5
            for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
                if (y0 <= y) != (y1 <= y) and x > x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                    mask[row, column] ^= True
    return mask


@pytest.mark.parametrize("seed", range(25))
def test_a_ring_is_filled_where_it_encloses_pixel_centres(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 25, 2)
    points = rng.uniform(-6, 30, (rng.integers(3, 9), 2))
    if seed % 2:
        points = np.round(points * 2) / 2  # corners on centres and edges
    left, right = fill_slowly(points, height, width, -1e-9), fill_slowly(points, height, width, 1e-9)
    sure = left == right  # a centre that lies on an edge may fall either way
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(draw_polygons([tuple(points.ravel())], height, width)[sure], left[sure])


def test_a_rectangle_covers_the_pixels_between_its_edges():
    mask = draw_polygons([(1.0, 2.0, 4.0, 2.0, 4.0, 3.0, 1.0, 3.0)], 5, 6)
    assert np.argwhere(mask).tolist() == [[2, 1], [2, 2], [2, 3]]


def test_rings_are_united():
    square, shifted = (0.0, 0.0, 3.0, 0.0, 3.0, 3.0, 0.0, 3.0), (2.0, 0.0, 5.0, 0.0, 5.0, 3.0, 2.0, 3.0)
    assert draw_polygons([square, shifted], 3, 6).sum() == 15  # columns 0..4


@pytest.mark.parametrize("seed", range(10))
def test_large_polygons_are_filled_nearly_as_by_coco(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    points = 100 + (rng.uniform(40, 90, 12) * np.stack([np.cos(angles), np.sin(angles)])).T
    ours = draw_polygons([tuple(points.ravel())], 200, 200)
    theirs = coco_mask.decode(coco_mask.frPyObjects([[float(value) for value in points.ravel()]], 200, 200))[:, :, 0] > 0
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.97


@pytest.mark.parametrize("ring", [(), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0, 2.0)])
def test_a_ring_needs_three_points(ring):
    with pytest.raises(InvalidInput, match="3 points"):
        draw_polygons([ring], 4, 4)


def test_no_polygons_cover_nothing_and_one_outside_does_neither():
    assert not draw_polygons([], 4, 4).any()
    assert not draw_polygons([(10.0, 10.0, 20.0, 10.0, 20.0, 20.0)], 4, 4).any()
    assert not draw_polygons([(-9.0, -9.0, -2.0, -9.0, -2.0, -2.0)], 4, 4).any()


def test_the_box_of_a_mask_includes_its_last_pixels():
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = True
    assert find_mask_box(mask) == (3, 2, 4, 3)
    mask[5, 7] = True
    assert find_mask_box(mask) == (3, 2, 8, 6)
    assert find_mask_box(np.zeros((3, 3), bool)) is None


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_the_box_of_an_encoded_mask_is_that_of_its_pixels(density):
    rng = np.random.default_rng(5)
    for height, width in ((1, 1), (1, 9), (9, 1), (7, 5), (40, 30)):
        mask = rng.random((height, width)) < density
        assert find_rle_box(encode_mask(mask)) == find_mask_box(mask)


def test_runs_of_no_pixels_have_no_box():
    assert find_rle_box(pack_runs(np.array([3, 0, 2, 1, 3]), 3, 3)) == (1, 2, 2, 3)
    assert find_rle_box(pack_runs(np.array([3, 0, 6]), 3, 3)) is None
    with pytest.raises(InvalidInput):
        find_rle_box(MaskRle(height=3, width=3, counts="0"))


def test_the_box_of_polygons_spans_all_rings():
    assert find_polygons_box([(1.0, 2.0, 3.0, 4.0, 0.5, 9.0), (7.0, 1.0, 8.0, 2.0, 7.5, 3.0)]) == (0.5, 1, 8, 9)
    with pytest.raises(InvalidInput):
        find_polygons_box([])


def test_the_box_of_an_annotation_comes_from_what_it_has():
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1] = True
    assert find_annotation_box(Annotation(category="a", box_xyxy=(1, 2, 3, 4))) == (1, 2, 3, 4)
    assert find_annotation_box(Annotation(category="a", polygons=((0.0, 0.0, 2.0, 0.0, 2.0, 1.0),))) == (0, 0, 2, 1)
    assert find_annotation_box(Annotation(category="a", mask=encode_mask(mask))) == (1, 1, 2, 3)
    assert find_annotation_box(Annotation(category="a")) is None


def test_an_annotation_is_drawn_from_its_richest_geometry():
    mask = np.eye(4, dtype=bool)
    box = (0.0, 0.0, 2.0, 1.0)
    assert draw_annotation(Annotation(category="a", box_xyxy=box, mask=encode_mask(mask)), 4, 4).sum() == 4
    assert draw_annotation(Annotation(category="a", box_xyxy=box), 4, 4).sum() == 2
    assert draw_annotation(Annotation(category="a"), 4, 4).all()
    with pytest.raises(InvalidInput, match="height x width"):
        draw_annotation(Annotation(category="a", mask=encode_mask(mask)), 5, 4)


def draw_label_map(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2)
    if seed % 2:
        return rng.integers(0, 6, (height, width)).astype(np.uint8)
    smooth = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 3)
    return np.clip(smooth * 16 - 6, 0, 5).astype(np.uint8)


@pytest.mark.parametrize("seed", range(30))
def test_a_label_map_becomes_annotations_and_comes_back(seed):
    label_map = draw_label_map(seed)  # 4 and 5 are no category
    annotations = label_map_to_annotations(label_map, CATEGORIES)
    assert [one.category for one in annotations] == [
        name for index, name in enumerate(CATEGORIES) if (label_map == index).any()
    ]
    for one in annotations:
        member = label_map == CATEGORIES.index(one.category)
        assert one.mask == encode_mask(member)
        assert one.box_xyxy == find_mask_box(member)
    back = annotations_to_label_map(annotations, CATEGORIES, *label_map.shape, unlabelled=255)
    np.testing.assert_array_equal(back, np.where(label_map < 4, label_map, 255))
    assert back.dtype == np.uint8


def test_later_annotations_lie_on_top():
    below, above = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    below[:3], above[1:] = True, True
    annotations = [Annotation(category="a", mask=encode_mask(below)), Annotation(category="c", mask=encode_mask(above))]
    assert annotations_to_label_map(annotations, CATEGORIES, 4, 4, 9)[:, 0].tolist() == [0, 2, 2, 2]
    assert annotations_to_label_map(annotations[::-1], CATEGORIES, 4, 4, 9)[:, 0].tolist() == [0, 0, 0, 2]


def test_polygons_are_painted_and_boxes_are_not():
    polygon = Annotation(category="b", polygons=((0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0),))
    box = Annotation(category="c", box_xyxy=(2, 0, 4, 2))
    assert annotations_to_label_map([polygon, box], CATEGORIES, 2, 4, 7).tolist() == [[1, 1, 7, 7], [1, 1, 7, 7]]


def test_label_maps_grow_wide_when_uint8_does_not_hold_them():
    many = Categories([str(index) for index in range(300)])
    annotation = Annotation(category="299", mask=encode_mask(np.ones((2, 2), bool)))
    assert annotations_to_label_map([annotation], many, 2, 2, 255).tolist() == [[299, 299], [299, 299]]
    assert annotations_to_label_map([], CATEGORIES, 2, 2, -1).tolist() == [[-1, -1], [-1, -1]]


def test_skipped_categories_give_no_annotation_and_confidences_are_kept():
    label_map = np.array([[0, 1, 2]], np.int32)
    annotations = label_map_to_annotations(label_map, CATEGORIES, {"a": 0.5, "b": 0.25}, origin="model", background="c")
    assert [(one.category, one.confidence, one.origin) for one in annotations] == [("a", 0.5, "model"), ("b", 0.25, "model")]


def test_negative_and_empty_label_maps_give_nothing():
    assert label_map_to_annotations(np.full((3, 3), -1), CATEGORIES) == []
    assert label_map_to_annotations(np.zeros((0, 3), int), CATEGORIES) == []
    with pytest.raises(InvalidInput):
        label_map_to_annotations(np.zeros(3, int), CATEGORIES)


def test_unknown_categories_and_other_sizes_are_refused():
    mask = encode_mask(np.ones((2, 2), bool))
    with pytest.raises(NotFound, match="'zebra'"):
        annotations_to_label_map([Annotation(category="zebra", mask=mask)], CATEGORIES, 2, 2, 9)
    with pytest.raises(InvalidInput):
        annotations_to_label_map([Annotation(category="a", mask=mask)], CATEGORIES, 3, 2, 9)


def test_masks_of_real_street_scenes_survive(shared_data):
    paths = sorted((shared_data / "segmentation").rglob("*annot*/*.png"))[:2]
    if not paths:
        pytest.skip("no label maps below segmentation")
    for path in paths:
        label_map = read_label_map(path)
        names = Categories([str(index) for index in range(int(label_map.max()) + 1)])
        annotations = label_map_to_annotations(label_map, names)
        np.testing.assert_array_equal(annotations_to_label_map(annotations, names, *label_map.shape, 255), label_map)
        for one in annotations:
            mask = decode_mask(one.mask)
            if not has_holes(mask):
                np.testing.assert_array_equal(draw_polygons(trace_mask(mask), *mask.shape), mask)


@pytest.mark.parametrize(
    ("ring", "area"),
    [((0, 0, 4, 0, 4, 3), 6.0), ((4, 3, 4, 0, 0, 0), 6.0), ((1, 1, 2, 1, 2, 2, 1, 2), 1.0), ((0, 0, 5, 5), 0.0), ((), 0.0)],
)
def test_the_area_of_a_ring_by_hand(ring, area):
    assert compute_ring_area(ring) == area
