import weakref
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from sightline.core.errors import InvalidInput
from sightline.core.manifests import InputSpec
from sightline.imaging.preprocessing import (
    batch_shape,
    is_identity,
    normalise_batch,
    place_batch,
    place_one_by_one,
    prepare_batch,
)
from sightline.imaging.resizing import letterbox_image


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_the_tensor_is_pixel_minus_mean_over_std(picture, layout, colour):
    spec = InputSpec(width=32, height=24, layout=layout, colour=colour, mean=(1.0, 20.0, 300.0), std=(2.0, 50.0, 0.5))
    (tensor,), _ = prepare_batch([picture], spec)
    for row, column, channel in ((0, 0, 0), (5, 7, 1), (23, 31, 2)):
        pixel = float(picture[row, column, channel if colour == "RGB" else 2 - channel])
        value = tensor[channel, row, column] if layout == "NCHW" else tensor[row, column, channel]
        assert value == pytest.approx((pixel - spec.mean[channel]) / spec.std[channel], rel=1e-5, abs=1e-4)
    assert tensor.dtype == np.float32
    assert tensor.shape == batch_shape(spec, 1)[1:]


def test_gray_is_the_weighted_mean_of_the_channels(picture):
    spec = InputSpec(width=32, height=24, colour="GRAY", mean=(0.0,), std=(1.0,))
    (tensor,), _ = prepare_batch([picture], spec)
    expected = picture @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert tensor.shape == (1, 24, 32)
    np.testing.assert_allclose(tensor[0], expected, atol=1)


def test_a_batch_is_its_pictures_one_by_one(rng):
    spec = InputSpec(width=40, height=30, mean=(10.0, 20.0, 30.0))
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((30, 40), (100, 20), (7, 9))]
    batch, placements = prepare_batch(pictures, spec)
    assert batch.shape == (3, 3, 30, 40)
    assert batch.flags.c_contiguous
    for row, placement, picture in zip(batch, placements, pictures, strict=True):
        (alone,), (alone_placement,) = prepare_batch([picture], spec)
        np.testing.assert_array_equal(row, alone)
        assert placement == alone_placement


def test_letterbox_bands_have_the_pad_value():
    spec = InputSpec(width=20, height=20, pad_value=51)
    (tensor,), (placement,) = prepare_batch([np.full((10, 20, 3), 255, np.uint8)], spec)
    np.testing.assert_allclose(tensor[:, :5], 0.2, rtol=1e-6)  # 51 / 255
    np.testing.assert_allclose(tensor[:, 5:15], 1.0)
    assert placement == letterbox_image(np.zeros((10, 20, 3), np.uint8), 20, 20)[1]


@pytest.mark.parametrize("resize", ["letterbox", "stretch", "centre_crop"])
def test_every_resize_rule_gives_the_size_of_the_spec(picture, resize):
    (tensor,), (placement,) = prepare_batch([picture], InputSpec(width=17, height=11, resize=resize, crop_fraction=0.8))
    assert tensor.shape == (3, 11, 17)
    assert (placement.input_width, placement.input_height) == (17, 11)


def test_an_empty_batch_is_empty():
    batch, placements = prepare_batch([], InputSpec(width=8, height=4))
    assert batch.shape == (0, 3, 4, 8)
    assert placements == []


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_only_rgb_pictures_are_prepared(picture):
    with pytest.raises(InvalidInput, match="uint8"):
        prepare_batch([picture], InputSpec(width=8, height=8))


@pytest.mark.parametrize("fields", [{"mean": (0.0,)}, {"std": (1.0, 0.0, 1.0)}, {"colour": "GRAY", "mean": (0.0,) * 3}])
def test_a_spec_that_contradicts_itself_is_refused(picture, fields):
    with pytest.raises(InvalidInput, match="input spec"):
        prepare_batch([picture], InputSpec(width=8, height=8, **fields))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("colour", ["RGB", "BGR", "GRAY"])
def test_placing_and_normalising_is_preparing(rng, layout, colour):
    channels = 1 if colour == "GRAY" else 3
    spec = InputSpec(
        width=20, height=16, layout=layout, colour=colour, mean=(10.0, 20.0, 30.0)[:channels], std=(2.0, 3.0, 4.0)[:channels]
    )
    images = [rng.integers(0, 256, (31, 17, 3), np.uint8), rng.integers(0, 256, (8, 40, 3), np.uint8)]
    pixels, placed = place_batch(images, spec)
    prepared, placements = prepare_batch(images, spec)
    assert pixels.dtype == np.uint8 and pixels.shape == (2, 16, 20, channels)
    assert placed == placements
    assert np.array_equal(normalise_batch(pixels, spec), prepared)


def test_only_pixels_in_their_own_order_are_the_tensor_already():
    plain = {"width": 4, "height": 4, "layout": "NHWC", "mean": (0.0,) * 3, "std": (1.0,) * 3}
    assert is_identity(InputSpec(**plain))
    for other in ({"layout": "NCHW"}, {"std": (2.0, 1.0, 1.0)}, {"mean": (0.0, 0.0, 1.0)}, {"colour": "BGR"}):
        assert not is_identity(InputSpec(**{**plain, **other}))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_padded_batch_has_the_pictures_own_size(layout: str) -> None:
    spec = InputSpec(width=4, height=2, layout=layout, resize="pad", mean=(0, 0, 0), std=(1, 1, 1))  # type: ignore[arg-type]
    images = [np.full((3, 5, 3), value, np.uint8) for value in (7, 9)]
    batch, placements = prepare_batch(images, spec)
    assert batch.shape == ((2, 3, 4, 8) if layout == "NCHW" else (2, 4, 8, 3))
    assert [batch[row].max() for row in (0, 1)] == [batch[row].min() for row in (0, 1)] == [7, 9]
    assert [(one.input_width, one.input_height) for one in placements] == [(8, 4), (8, 4)]
    np.testing.assert_array_equal(normalise_batch(place_batch(images, spec)[0], spec), batch)


def test_pictures_of_several_sizes_cannot_share_a_padded_batch() -> None:
    spec = InputSpec(width=4, height=4, resize="pad")
    images = [np.zeros((3, 3, 3), np.uint8), np.zeros((3, 5, 3), np.uint8)]
    for make in (prepare_batch, place_batch):
        with pytest.raises(InvalidInput, match="one size"):
            make(images, spec)  # type: ignore[operator]
    assert place_batch([np.zeros((3, 3, 3), np.uint8), np.zeros((4, 2, 3), np.uint8)], spec)[0].shape == (2, 4, 4, 3)


@pytest.mark.parametrize("spec", [InputSpec(width=8, height=8), InputSpec(width=8, height=8, resize="pad")])
@pytest.mark.parametrize("colour", ["RGB", "GRAY"])
def test_a_picture_is_let_go_before_the_next_is_decoded(rng: np.random.Generator, spec: InputSpec, colour: str) -> None:
    spec = msgspec.structs.replace(spec, colour=colour)
    images = [rng.integers(0, 256, (7, 5, 3), np.uint8) for _ in range(3)]
    alive: list[weakref.ref[np.ndarray]] = []

    def decode() -> Iterator[np.ndarray]:
        for image in images:
            assert all(one() is None for one in alive)
            decoded = [image.copy()]
            alive.append(weakref.ref(decoded[0]))
            yield decoded.pop()

    batch, placements = place_one_by_one(decode(), 3, spec)
    expected, expected_placements = place_batch(images, spec)
    np.testing.assert_array_equal(batch, expected)
    assert placements == expected_placements


def test_rows_without_a_picture_have_no_placement() -> None:
    spec = InputSpec(width=8, height=4)
    for images in ([], [np.zeros((5, 5, 3), np.uint8)]):
        batch, placements = place_one_by_one(iter(images), 2, spec)
        assert batch.shape == (2, 4, 8, 3) and len(placements) == len(images)
