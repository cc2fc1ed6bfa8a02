import numpy as np
import pytest

from sightline.data.augmentation import scale_matrix, warp_pixels
from sightline.training.learned_categories import find_learned_categories
from sightline.training.pictures import Pictures
from sightline.training.tasks.semantic import make_label_map_reader


def test_pictures_are_shrunk_to_cover_the_input_and_never_enlarged(make_version) -> None:
    version = make_version("classification", {"train": 1}, width=64, height=48)
    small = Pictures(version, ("train",), width=16, height=16, cache_bytes=1 << 20).read(0)
    assert small.image.shape == (16, 21, 3)  # the shorter side covers the input
    assert small.scale_xy == (21 / 64, 16 / 48)
    large = Pictures(version, ("train",), width=256, height=256, cache_bytes=1 << 20).read(0)
    assert large.image.shape == (48, 64, 3)
    assert large.scale_xy == (1.0, 1.0)


def test_pictures_of_a_line_camera_can_be_warped_however_long(make_version) -> None:
    version = make_version("classification", {"train": 1}, width=40_000, height=20)
    long = Pictures(version, ("train",), width=64, height=64, cache_bytes=1 << 24).read(0)
    assert long.image.shape == (16, 32_766, 3)
    assert long.scale_xy == (32_766 / 40_000, 16 / 20)
    assert warp_pixels(long.image, scale_matrix(64 / 32_766, 64 / 16), 64, 64).shape == (64, 64, 3)


def test_a_cached_picture_is_not_decoded_again(make_version) -> None:
    version = make_version("classification", {"train": 2}, width=64, height=48)
    pictures = Pictures(version, ("train",), width=64, height=48, cache_bytes=64 * 48 * 3 + 1)
    decoded = [pictures.read(index).image for index in (0, 1)]
    assert np.shares_memory(pictures.read(0).image, pictures.read(0).image)
    assert not np.shares_memory(pictures.read(1).image, pictures.read(1).image)  # there is room for one
    assert all(np.array_equal(pictures.read(index).image, decoded[index]) for index in (0, 1))


@pytest.mark.parametrize("task", ["classification", "semantic"])
def test_a_cached_picture_is_as_it_was_decoded(task: str, make_version) -> None:
    version = make_version(task, {"train": 3}, width=64, height=48)
    reader = make_label_map_reader(find_learned_categories(version, task)) if task == "semantic" else None
    pictures = Pictures(version, ("train",), width=20, height=20, cache_bytes=1 << 20, make_label_map=reader)
    for index in range(3):
        first, kept = pictures.read(index), pictures.read(index)
        assert np.array_equal(first.image, kept.image)
        assert first.scale_xy == kept.scale_xy
        assert kept.label_map is first.label_map is None or np.array_equal(first.label_map, kept.label_map)


def test_a_picture_of_another_size_than_its_row_says_is_decoded_each_time(make_version) -> None:
    version = make_version("classification", {"train": 1}, width=64, height=48)
    pictures = Pictures(version, ("train",), width=64, height=64, cache_bytes=1 << 20)
    pictures._original_sizes = pictures._original_sizes[:, ::-1]  # as if its row were from before it was turned
    first, second = pictures.read(0), pictures.read(0)
    assert first.image.shape == (48, 64, 3)
    assert np.array_equal(first.image, second.image)
    assert not np.shares_memory(first.image, second.image)


def test_label_maps_shrink_with_their_pictures(make_version) -> None:
    version = make_version("semantic", {"train": 1}, width=64, height=48)
    reader = make_label_map_reader(find_learned_categories(version, "semantic"))
    picture = Pictures(version, ("train",), width=32, height=24, cache_bytes=1 << 20, make_label_map=reader).read(0)
    assert picture.label_map is not None
    assert picture.label_map.shape == picture.image.shape[:2] == (24, 32)
    assert set(np.unique(picture.label_map)) == {0, 3}


def test_a_shrunk_label_map_takes_the_pixels_in_the_middle(make_version) -> None:
    version = make_version("semantic", {"train": 1}, width=96, height=72)
    reader = make_label_map_reader(find_learned_categories(version, "semantic"))
    picture = Pictures(version, ("train",), width=32, height=24, cache_bytes=1 << 20, make_label_map=reader).read(0)
    assert np.array_equal(picture.label_map, reader(version.load_items(("train",))[0])[1::3, 1::3])  # of each 3 x 3


def test_only_the_named_splits_are_read(make_version) -> None:
    version = make_version("classification", {"train": 3, "val": 2, "test": 4})
    assert len(Pictures(version, ("train", "val"), width=16, height=16, cache_bytes=0)) == 5
