import cv2
import numpy as np
import pytest

from sightline.core.errors import ImageTooLarge, InvalidInput
from sightline.imaging.resizing import centre_crop_image, letterbox_image, pad_image, resize_image, stretch_image


@pytest.mark.parametrize("seed", range(30))
def test_boxes_come_back_from_the_input_exactly(seed):
    rng = np.random.default_rng(seed)
    source_width, source_height, width, height = rng.integers(1, 900, 4)
    image = np.zeros((source_height, source_width, 3), np.uint8)
    boxes = rng.uniform(-50, 950, (20, 4)).astype(np.float32)
    for placement in (
        letterbox_image(image, width, height)[1],
        stretch_image(image, width, height)[1],
        centre_crop_image(image, width, height, 0.875)[1],
    ):
        there = placement.boxes_to_input(boxes)
        np.testing.assert_allclose(placement.boxes_to_source(there), boxes, atol=2e-3 * max(1.0, 1 / placement.scale_x / 10))
        assert there.dtype == np.float32


def test_letterbox_of_a_wide_picture_by_hand():
    image = np.full((50, 100, 3), 200, np.uint8)
    boxed, placement = letterbox_image(image, 80, 80, pad_value=7)
    # Scale 0.8: 80 x 40, bands of 20 rows above and below.
    assert (boxed[:20] == 7).all() and (boxed[60:] == 7).all() and (boxed[20:60] == 200).all()
    assert placement.boxes_to_input(np.array([[0, 0, 100, 50], [50, 25, 60, 35]])).tolist() == [
        [0, 20, 80, 60],
        [40, 40, 48, 48],
    ]


def test_letterbox_of_the_right_size_changes_nothing(rng):
    image = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
    boxed, placement = letterbox_image(image, 48, 32)
    np.testing.assert_array_equal(boxed, image)
    assert (placement.scale_x, placement.scale_y, placement.offset_x, placement.offset_y) == (1, 1, 0, 0)


def test_letterbox_of_a_tall_picture_by_hand():
    boxed, placement = letterbox_image(np.full((100, 50, 3), 200, np.uint8), 80, 90, pad_value=7)
    # Scale 0.9: 45 x 90, bands of 17 columns to the left and 18 to the right.
    assert (boxed[:, :17] == 7).all() and (boxed[:, 62:] == 7).all() and (boxed[:, 17:62] == 200).all()
    assert placement.boxes_to_input(np.array([[0, 0, 50, 100]])).tolist() == [[17, 0, 62, 90]]
    assert (letterbox_image(np.zeros((1, 2, 3), np.uint8), 2, 2)[0][1] == 114).all()  # where nothing else is said


@pytest.mark.parametrize(("shape", "size"), [((1, 1000, 3), (64, 1)), ((1000, 1, 3), (1, 64)), ((1, 1, 3), (64, 64))])
def test_extreme_shapes_keep_at_least_one_pixel(shape, size):
    boxed, placement = letterbox_image(np.full(shape, 250, np.uint8), 64, 64, pad_value=0)
    assert boxed.shape == (64, 64, 3)
    whole = np.array([[0, 0, shape[1], shape[0]]])
    left, top, right, bottom = placement.boxes_to_input(whole)[0].round().astype(int)
    assert (right - left, bottom - top) == size
    assert (boxed[top:bottom, left:right] == 250).all()


def test_a_marked_object_lies_where_its_box_says():
    image = np.zeros((333, 517, 3), np.uint8)
    image[100:180, 200:320] = 255
    box = np.array([[200, 100, 320, 180]], np.float32)
    for placed, placement in (
        letterbox_image(image, 416, 320, 0),
        stretch_image(image, 224, 300),
        centre_crop_image(image, 300, 300, 0.9),
    ):
        rows, columns = np.nonzero(placed[:, :, 0] > 127)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(placement.boxes_to_input(box)[0], found, atol=1.0)


def test_centre_crop_by_hand():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    cropped, placement = centre_crop_image(image, 70, 70, crop_fraction=0.7)
    # Shorter side 100 -> 70 / 0.7 = 100: no scaling; cut 70 from the middle: x 65..135, y 15..85.
    assert (placement.scale_x, placement.offset_x, placement.offset_y) == (1.0, -65, -15)
    assert (cropped[:, :35] == 0).all() and (cropped[:, 35:] == 255).all()


@pytest.mark.parametrize("shape", [(400, 3), (3, 400), (1, 300), (700, 5), (37, 601)])
def test_the_crop_of_a_thin_picture_is_that_of_the_whole_one_grown(rng, shape):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    cropped, placement = centre_crop_image(image, 224, 160, 0.875)
    outer = round(shape[1] * placement.scale_x), round(shape[0] * placement.scale_y)
    left, top = round(-placement.offset_x), round(-placement.offset_y)
    grown = cv2.resize(image, outer, interpolation=cv2.INTER_LINEAR)[top : top + 160, left : left + 224]
    assert cropped.shape == grown.shape
    assert np.abs(cropped.astype(int) - grown).max() <= 1  # a level of rounding


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (2, 1_000_000)])
def test_a_thin_picture_is_never_grown_whole(monkeypatch, shape):
    made: list[int] = []
    grow = cv2.resize

    def watch(image, size, **rest):
        made.append(size[0] * size[1])
        assert made[-1] <= 16 * 224 * 224
        return grow(image, size, **rest)

    monkeypatch.setattr(cv2, "resize", watch)
    cropped, _ = centre_crop_image(np.full((*shape, 3), 77, np.uint8), 224, 224, 0.875)
    assert cropped.shape == (224, 224, 3)
    assert (cropped == 77).all()


@pytest.mark.parametrize("shape", [(300, 200), (30, 20), (20, 240), (224, 1500), (2000, 1000)])
def test_the_crop_of_an_ordinary_picture_is_cut_from_the_whole_one_bit_for_bit(rng, shape):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    cropped, placement = centre_crop_image(image, 224, 224, 0.875)
    outer = round(shape[1] * placement.scale_x), round(shape[0] * placement.scale_y)
    left, top = round(-placement.offset_x), round(-placement.offset_y)
    np.testing.assert_array_equal(cropped, resize_image(image, *outer)[top : top + 224, left : left + 224])


@pytest.mark.parametrize("fraction", [0.0, 1.5, -1.0])
def test_a_crop_fraction_outside_0_to_1_is_refused(fraction):
    with pytest.raises(InvalidInput, match="crop_fraction"):
        centre_crop_image(np.zeros((8, 8, 3), np.uint8), 4, 4, fraction)


def test_shrinking_averages_areas():
    image = np.array([[0, 100, 50, 150]] * 2, np.uint8)
    assert resize_image(image, 2, 1).tolist() == [[50, 100]]  # means of 2 x 2 pixels, by hand
    row = np.array([[0, 100, 50, 250]], np.uint8)  # one side stays as it is
    assert resize_image(row, 1, 1).tolist() == resize_image(row.T, 1, 1).tolist() == [[100]]
    assert resize_image(row, 1, 1, shrink="bilinear").tolist() == [[75]]  # the two pixels in the middle


def test_growing_interpolates_at_pixel_centres():
    # Centres of the new pixels lie at -0.25, 0.25, 0.75, 1.25 of the old grid: edges repeat, the middle is 1/4 and 3/4.
    assert resize_image(np.array([[0, 100]], np.uint8), 4, 1).tolist() == [[0, 25, 75, 100]]


def test_a_single_channel_keeps_its_axis():
    assert resize_image(np.zeros((4, 6, 1), np.uint8), 3, 2).shape == (2, 3, 1)


@pytest.mark.parametrize(("shape", "width"), [((4, 4, 3), 0), ((0, 4, 3), 2), ((4,), 2)])
def test_impossible_sizes_are_refused(shape, width):
    with pytest.raises(InvalidInput):
        resize_image(np.zeros(shape, np.uint8), width, 2)
    with pytest.raises(InvalidInput):
        resize_image(np.zeros((4, 4, 3), np.uint8), 2, 0)


def test_boxes_of_the_wrong_shape_are_refused_and_none_are_fine():
    placement = letterbox_image(np.zeros((10, 10, 3), np.uint8), 20, 20)[1]
    assert placement.boxes_to_source(np.zeros((0, 4))).shape == (0, 4)
    with pytest.raises(InvalidInput, match=r"\(N, 4\)"):
        placement.boxes_to_source(np.zeros((3, 5)))


def test_clipping_cuts_at_the_edges_of_the_source():
    placement = letterbox_image(np.zeros((10, 20, 3), np.uint8), 40, 40)[1]
    assert placement.clip_to_source(np.array([[-5, -1, 25, 12]], np.float32)).tolist() == [[0, 0, 20, 10]]


def test_padding_repeats_the_last_row_and_column_up_to_the_next_multiples() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    padded, placement = pad_image(image, 4, 3)
    assert padded.shape == (3, 4, 3)
    np.testing.assert_array_equal(padded[:2, :3], image)
    np.testing.assert_array_equal(padded[2, :3], image[1])
    np.testing.assert_array_equal(padded[:, 3], padded[:, 2])
    np.testing.assert_allclose(placement.boxes_to_source(np.array([[1, 1, 3, 2]])), [[1, 1, 3, 2]])


def test_a_picture_of_fitting_size_is_not_padded() -> None:
    image = np.zeros((6, 8, 3), np.uint8)
    assert pad_image(image, 4, 3)[0] is image
    assert pad_image(image, 1, 1)[0] is image


def test_a_picture_that_would_need_too_much_memory_as_it_is_is_refused() -> None:
    with pytest.raises(ImageTooLarge, match="4000000 pixels"):
        pad_image(np.zeros((2000, 2001, 3), np.uint8), 1, 1)
