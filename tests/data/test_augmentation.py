import cv2
import numpy as np
import pytest

from sightline.data.augmentation import (
    AugmentationSettings,
    Objects,
    cut_objects,
    erase_rectangle,
    fit_matrix,
    jitter_colours,
    random_affine,
    rotation_matrix,
    scale_matrix,
    shift_matrix,
    warp_boxes,
    warp_objects,
    warp_pixels,
    warp_points,
    weaken_geometry,
)

STRONG = AugmentationSettings(
    scale=(0.7, 1.4), stretch=1.3, shift=0.1, rotation_deg=30, shear_deg=10, flip_x=0.5, flip_y=0.5, quarter_turns=True
)
AXIS_ALIGNED = AugmentationSettings(scale=(0.7, 1.4), stretch=1.3, shift=0.1, flip_x=0.5, flip_y=0.5, quarter_turns=True)
RING = np.array([(30, 24), (66, 30), (60, 62), (36, 56)], float)


def make_objects(boxes: list[list[float]], *outlines: list[np.ndarray], is_crowd: bool = False) -> Objects:
    count = len(boxes)
    drawn = list(outlines) or [[] for _ in boxes]
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.arange(count), np.full(count, is_crowd), drawn)


def find_bounds(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


def fill_ring(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """A slow polygon fill: a pixel is inside when its centre is (even-odd rule)."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside.astype(np.uint8)


def test_without_settings_nothing_moves(rng: np.random.Generator) -> None:
    assert np.array_equal(random_affine(rng, AugmentationSettings(), 64, 48), np.eye(3))
    image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert np.array_equal(warp_pixels(image, np.eye(3), 64, 48), image)
    assert jitter_colours(image, rng, AugmentationSettings()) is image


def test_geometry_is_weakened_evenly_and_mirrors_stay() -> None:
    strong = AugmentationSettings(
        scale=(0.25, 9), stretch=4, shift=0.2, rotation_deg=30, shear_deg=8, flip_y=0.5, quarter_turns=True, colour=0.3
    )
    half = weaken_geometry(strong, 0.5)
    assert (half.scale, half.stretch, half.shift) == ((0.5, 3), 2, 0.1)  # square roots of the factors, by hand
    assert (half.rotation_deg, half.shear_deg) == (15, 4)
    assert (half.flip_y, half.quarter_turns, half.colour) == (0.5, True, 0.3)
    assert weaken_geometry(strong, 1) == strong


def check_range(values: np.ndarray, low: float, high: float) -> None:
    """300 draws fill a range and do not leave it."""
    margin = 0.05 * (high - low)
    assert low - 1e-9 <= values.min() < low + margin
    assert high - margin < values.max() <= high + 1e-9


def draw_affines(settings: AugmentationSettings) -> np.ndarray:
    """300 variations of a picture of 64 x 48, `(300, 3, 3)`."""
    return np.stack([random_affine(np.random.default_rng(seed), settings, 64, 48) for seed in range(300)])


def test_each_setting_varies_the_picture_around_its_middle_up_to_its_limit() -> None:
    zoomed, stretched = draw_affines(AugmentationSettings(scale=(0.5, 2))), draw_affines(AugmentationSettings(stretch=1.44))
    check_range(np.log2(zoomed[:, 0, 0]), -1, 1)
    assert abs(np.log2(zoomed[:, 0, 0]).mean()) < 0.15  # evenly in the logarithm
    assert np.array_equal(zoomed[:, 0, 0], zoomed[:, 1, 1])
    check_range(np.log(stretched[:, 0, 0] / stretched[:, 1, 1]), -np.log(1.44), np.log(1.44))
    assert stretched[:, 0, 0] * stretched[:, 1, 1] == pytest.approx(1)
    turned, sheared = draw_affines(AugmentationSettings(rotation_deg=30)), draw_affines(AugmentationSettings(shear_deg=10))
    check_range(np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0])), -30, 30)
    check_range(np.degrees(np.arctan(sheared[:, 0, 1])), -10, 10)
    check_range(np.degrees(np.arctan(sheared[:, 1, 0])), -10, 10)
    for varied in (zoomed, stretched, turned, sheared):
        assert np.allclose(varied @ [32, 24, 1], [32, 24, 1])
    shifted = draw_affines(AugmentationSettings(shift=0.1))
    check_range(shifted[:, 0, 2], -6.4, 6.4)
    check_range(shifted[:, 1, 2], -4.8, 4.8)


def test_flips_and_quarter_turns_are_as_often_as_asked_for() -> None:
    assert np.array_equal(draw_affines(AugmentationSettings(flip_x=1))[0], [[-1, 0, 64], [0, 1, 0], [0, 0, 1]])
    assert np.array_equal(draw_affines(AugmentationSettings(flip_y=1))[0], [[1, 0, 0], [0, -1, 48], [0, 0, 1]])
    assert (draw_affines(AugmentationSettings(flip_x=0.2))[:, 0, 0] < 0).mean() == pytest.approx(0.2, abs=0.07)
    turns = draw_affines(AugmentationSettings(quarter_turns=True))
    angles = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0])).round() % 360
    assert [(angles == angle).mean() for angle in (0, 90, 180, 270)] == pytest.approx([0.25] * 4, abs=0.08)


def test_geometry_of_strength_zero_moves_nothing(rng: np.random.Generator) -> None:
    still = weaken_geometry(AugmentationSettings(scale=(0.5, 2), stretch=1.3, shift=0.2, rotation_deg=30, shear_deg=8), 0)
    assert random_affine(rng, still, 64, 48) == pytest.approx(np.eye(3))


def test_a_mirrored_picture_is_numpy_s_mirrored_picture(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    mirror = shift_matrix(7, 0) @ scale_matrix(-1, 1)
    assert np.array_equal(warp_pixels(image, mirror, 7, 5), image[:, ::-1])


def test_a_quarter_turn_is_numpy_s_quarter_turn(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    turn = shift_matrix(3, 3) @ rotation_matrix(90) @ shift_matrix(-3, -3)
    assert np.array_equal(warp_pixels(image, turn, 6, 6), np.rot90(image, -1))  # clockwise


def test_stretching_agrees_with_opencv_s_resize() -> None:
    ramp = np.tile(np.arange(0, 240, 5, dtype=np.uint8)[None, :, None], (40, 1, 3))
    warped = warp_pixels(ramp, fit_matrix(48, 40, 96, 80, "stretch"), 96, 80)
    resized = cv2.resize(ramp, (96, 80), interpolation=cv2.INTER_LINEAR)
    assert np.abs(warped[2:-2, 2:-2].astype(int) - resized[2:-2, 2:-2]).max() <= 1


def test_the_resize_rules_place_the_corners() -> None:
    corners = np.array([[0.0, 0.0], [200.0, 100.0]])
    assert warp_points(corners, fit_matrix(200, 100, 64, 64, "stretch")).tolist() == [[0, 0], [64, 64]]
    assert warp_points(corners, fit_matrix(200, 100, 64, 64, "letterbox")).tolist() == [[0, 16], [64, 48]]
    assert warp_points(corners, fit_matrix(200, 100, 64, 64, "centre_crop")).tolist() == [[-32, 0], [96, 64]]
    # Cropped to a half, all is twice as large, around the middle.
    assert warp_points(corners, fit_matrix(200, 100, 64, 64, "centre_crop", 0.5)).tolist() == [[-96, -32], [160, 96]]


@pytest.mark.parametrize("settings", [STRONG, AXIS_ALIGNED], ids=["strong", "axis-aligned"])
def test_a_warped_mask_has_the_box_of_its_warped_polygon(settings: AugmentationSettings) -> None:
    mask = fill_ring(RING, 96, 80)
    for seed in range(25):
        matrix = random_affine(np.random.default_rng(seed), settings, 96, 80)
        matrix = shift_matrix(60, 60) @ matrix  # room for what would leave the picture
        warped_mask = warp_pixels(mask, matrix, 220, 220, border=0, nearest=True)
        drawn = fill_ring(warp_points(RING, matrix), 220, 220)
        assert np.abs(find_bounds(warped_mask) - find_bounds(drawn)).max() <= 1.5
        union = np.count_nonzero(warped_mask | drawn)
        assert np.count_nonzero(warped_mask & drawn) / union > 0.93


def test_a_warped_box_is_the_box_of_the_warped_mask_within_a_pixel() -> None:
    box = np.array([[30, 24, 66, 62]], np.float32)
    mask = np.zeros((80, 96), np.uint8)
    mask[24:62, 30:66] = 1
    for seed in range(25):
        matrix = shift_matrix(40, 40) @ random_affine(np.random.default_rng(seed), AXIS_ALIGNED, 96, 80)
        warped = warp_pixels(mask, matrix, 200, 200, border=0, nearest=True)
        assert np.abs(find_bounds(warped) - warp_boxes(box, matrix)[0]).max() <= 1.0


def test_the_box_of_an_outline_is_its_bounds_even_when_turned() -> None:
    objects = make_objects([[30, 24, 66, 62]], [RING])
    turn = shift_matrix(48, 40) @ rotation_matrix(45) @ shift_matrix(-48, -40)
    moved = warp_objects(objects, turn)
    mask = warp_pixels(fill_ring(RING, 96, 80), turn, 96, 80, border=0, nearest=True)
    assert np.abs(moved.boxes_xyxy[0] - find_bounds(mask)).max() <= 1.0
    assert np.abs(warp_boxes(objects.boxes_xyxy, turn)[0] - moved.boxes_xyxy[0]).max() > 3  # an outline tells more than a box


def test_a_box_is_turned_as_the_ellipse_in_it() -> None:
    circle = np.array([[20, 20, 40, 40]], np.float32)
    turn = shift_matrix(30, 30) @ rotation_matrix(45) @ shift_matrix(-30, -30)
    assert warp_boxes(circle, turn)[0] == pytest.approx([20, 20, 40, 40])  # a circle stays a circle
    for seed in range(25):
        ellipse = np.zeros((80, 96), np.uint8)
        y, x = np.mgrid[0:80, 0:96] + 0.5
        ellipse[((x - 48) / 18) ** 2 + ((y - 40) / 8) ** 2 <= 1] = 1
        matrix = shift_matrix(40, 40) @ random_affine(np.random.default_rng(seed), STRONG, 96, 80)
        warped = warp_pixels(ellipse, matrix, 200, 200, border=0, nearest=True)
        box = warp_boxes(np.array([[30, 32, 66, 48]], np.float32), matrix)[0]
        assert np.abs(find_bounds(warped) - box).max() <= 1.5


def test_objects_that_leave_the_picture_are_dropped_and_the_rest_is_clipped() -> None:
    objects = make_objects([[0, 0, 10, 10], [40, 40, 60, 60], [70, 70, 78, 78]])
    moved = warp_objects(objects, shift_matrix(-50, -45))
    shown = cut_objects(moved, 80, 80, least_visible=0.25)
    assert shown.labels.tolist() == [1, 2]  # 15 of 20 rows and 10 of 20 columns of the second stay: 3 / 8
    assert shown.boxes_xyxy.tolist() == [[0, 0, 10, 15], [20, 25, 28, 33]]
    assert shown.outlines == [[], []]
    for least, labels in ((3 / 8, [1, 2]), (0.4, [2]), (0, [1, 2])):
        assert cut_objects(moved, 80, 80, least_visible=least).labels.tolist() == labels


def test_of_an_outline_that_is_cut_the_box_is_drawn_around_what_shows() -> None:
    triangle, far = np.array([(0, 0), (40, 0), (40, 40)], float), np.array([(60, 0), (70, 0), (70, 9)], float)
    objects = make_objects([[0, 0, 40, 40], [0, 0, 70, 40], [0, 0, 40, 40]], [triangle], [triangle, far], [])
    shown = cut_objects(warp_objects(objects, shift_matrix(0, -30)), 80, 80, least_visible=0.0)
    assert shown.boxes_xyxy.tolist() == [[30, 0, 40, 10], [30, 0, 40, 10], [0, 0, 40, 10]]  # below y = 30 it begins at x = 30
    assert cut_objects(warp_objects(objects, shift_matrix(0, -30)), 80, 80, least_visible=0.1).labels.tolist() == [2]


def test_an_outline_whose_box_alone_shows_is_gone() -> None:
    triangle = np.array([(0, 0), (40, 0), (0, 40)], float)
    shown = cut_objects(warp_objects(make_objects([[0, 0, 40, 40]], [triangle]), shift_matrix(-25, -25)), 80, 80, 0.0)
    assert shown.labels.tolist() == []


def test_of_a_crowd_any_part_stays() -> None:
    crowd = make_objects([[0, 0, 40, 40]], is_crowd=True)
    shown = cut_objects(warp_objects(crowd, shift_matrix(-39, 0)), 80, 80, least_visible=0.25)
    assert shown.boxes_xyxy.tolist() == [[0, 0, 1, 40]]
    assert shown.is_crowd.tolist() == [True]


def test_what_comes_from_outside_is_gray() -> None:
    moved = warp_pixels(np.zeros((8, 8, 3), np.uint8), np.eye(3), 16, 16)
    assert moved.shape == (16, 16, 3)
    assert (moved[8:] == 114).all()


def test_label_maps_are_never_blended() -> None:
    label_map = np.zeros((20, 20), np.uint8)
    label_map[:, 10:] = 9
    turn = shift_matrix(10, 10) @ rotation_matrix(33) @ shift_matrix(-10, -10)
    assert set(np.unique(warp_pixels(label_map, turn, 20, 20, border=255, nearest=True))) == {0, 9, 255}


def test_the_same_seed_gives_the_same_variation() -> None:
    matrices = [random_affine(np.random.default_rng(seed), STRONG, 64, 64) for seed in (1, 1, 2)]
    assert np.array_equal(matrices[0], matrices[1])
    assert not np.array_equal(matrices[0], matrices[2])


def test_brightness_moves_the_mean_and_stays_in_range() -> None:
    image = np.full((4, 4, 3), 250, np.uint8)
    settings = AugmentationSettings(brightness=0.5)
    means = {jitter_colours(image, np.random.default_rng(seed), settings).mean() for seed in range(8)}
    assert max(means) == 255
    assert min(means) < 200


def jitter_level(level: int, settings: AugmentationSettings) -> np.ndarray:
    """300 variations of one grey pixel, `(300, 3)`."""
    pixel = np.full((1, 1, 3), level, np.uint8)
    return np.stack([jitter_colours(pixel, np.random.default_rng(seed), settings)[0, 0] for seed in range(300)]).astype(float)


def test_light_contrast_and_colour_change_up_to_their_limits() -> None:
    light = jitter_level(100, AugmentationSettings(brightness=0.2))
    check_range(light[:, 0], 100 - 51, 100 + 51)  # a fifth of 255; levels are cut to whole ones
    assert (light[:, :1] == light).all()
    for level in (67, 188):  # 60.5 below and above the middle, which contrast leaves where it is
        contrast = jitter_level(level, AugmentationSettings(contrast=0.5))
        check_range(np.abs(contrast[:, 2] + 0.5 - 127.5), 30, 91)  # 60.5 times 0.5 to 1.5
        assert (contrast[:, :1] == contrast).all()
    gains = jitter_level(100, AugmentationSettings(colour=0.3))
    for channel in range(3):
        check_range(gains[:, channel], 70, 130)
    assert np.abs(np.corrcoef(gains.T) - np.eye(3)).max() < 0.2


def test_erased_rectangles_cover_two_to_twenty_percent_anywhere() -> None:
    sizes, edges = [], []
    for seed in range(300):
        x0, y0, x1, y1 = find_bounds(
            erase_rectangle(np.zeros((400, 600, 3), np.uint8), np.random.default_rng(seed)).any(axis=2)
        )
        sizes.append(((x1 - x0) * (y1 - y0) / 240_000, np.log((y1 - y0) / (x1 - x0))))
        edges.append((x0 / (600 - (x1 - x0)), y0 / (400 - (y1 - y0))))  # of the room there is
    check_range(np.array(sizes)[:, 0], 0.0199, 0.2005)
    check_range(np.array(sizes)[:, 1], -1.02, 1.02)
    check_range(np.array(edges)[:, 0], 0, 1)
    check_range(np.array(edges)[:, 1], 0, 1)
    assert erase_rectangle(np.zeros((1, 1, 3), np.uint8), np.random.default_rng(0)).shape == (1, 1, 3)


def test_erasing_paints_one_rectangle_on_a_copy(rng: np.random.Generator) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    erased = erase_rectangle(image, rng, share=(0.1, 0.1))
    assert not image.any()
    changed = erased.any(axis=2)
    x0, y0, x1, y1 = find_bounds(changed).astype(int)
    assert changed[y0:y1, x0:x1].all()
    assert changed.mean() == pytest.approx(0.1, abs=0.03)
