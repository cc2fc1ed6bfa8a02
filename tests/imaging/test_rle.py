import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask

from sightline.core.annotations import MaskRle
from sightline.core.errors import InvalidInput
from sightline.imaging.rle import count_mask_pixels, decode_mask, encode_mask, encode_patch, pack_runs, unpack_runs


def draw_mask(seed: int) -> np.ndarray:
    """Noise or blobs of a random size, now and then empty or full."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 70, 2)
    if seed % 11 == 0:
        return np.full((height, width), seed % 2 == 0)
    noise = rng.random((height, width)).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 2) > 0.5) if seed % 3 else noise < rng.random()


@pytest.mark.parametrize("seed", range(60))
def test_the_code_is_that_of_coco(seed):
    mask = draw_mask(seed)
    rle = encode_mask(mask)
    counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert rle.counts == (counts.decode() if isinstance(counts, bytes) else counts)
    np.testing.assert_array_equal(decode_mask(rle), mask)
    assert count_mask_pixels(rle) == mask.sum()


def test_runs_by_hand():
    mask = np.array([[1, 0], [1, 1], [0, 1]], bool)  # down the columns: 1 1 0 | 0 1 1
    assert unpack_runs(encode_mask(mask)).tolist() == [0, 2, 2, 2]


def test_long_runs_survive():
    mask = np.zeros((4000, 3000), bool)
    mask[:, 1500:2999] = True
    rle = encode_mask(mask)
    assert unpack_runs(rle).tolist() == [6_000_000, 5_996_000, 4000]
    assert count_mask_pixels(rle) == 5_996_000


def test_numbers_other_than_bool_count_as_set_when_not_zero():
    assert encode_mask(np.array([[0, 3], [-1, 0]])) == encode_mask(np.array([[False, True], [True, False]]))


def test_decoded_masks_are_contiguous():
    assert decode_mask(encode_mask(np.eye(5, dtype=bool))).flags.c_contiguous


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_a_mask_without_pixels_survives(shape):
    assert decode_mask(encode_mask(np.zeros(shape, bool))).shape == shape


@pytest.mark.parametrize("counts", ["", "5", "zzzz", "é", "\x01", "6o", "2" + "o" * 20 + "0"])
def test_a_broken_code_is_refused(counts):
    with pytest.raises(InvalidInput):
        decode_mask(MaskRle(height=2, width=2, counts=counts))


def test_only_one_mask_at_a_time_is_encoded():
    with pytest.raises(InvalidInput, match=r"\(H, W\)"):
        encode_mask(np.zeros((2, 3, 3), bool))


def test_a_code_that_ends_within_a_number_is_refused_though_what_is_there_would_fill_the_mask():
    with pytest.raises(InvalidInput, match="run-length string"):
        decode_mask(MaskRle(height=2, width=499, counts="6o"))  # 6 + 31 * 32 = 998, and more was to follow


def test_runs_whose_sum_comes_round_to_the_masks_size_are_refused():
    step, size = 1 << 37, 50 * 100
    count = next(n for n in range(16_000, 20_000) if step * n * (n + 1) // 2 >= (1 << 64) + size)
    excess = step * count * (count + 1) // 2 - (1 << 64) - size
    runs = [step * number - excess // count for number in range(1, count + 1)]
    runs[-1] -= excess % count
    assert sum(runs) == (1 << 64) + size
    assert min(runs) >= 0
    with pytest.raises(InvalidInput, match="expected runs that fill 50 x 100"):
        decode_mask(pack_runs(np.array(runs), 50, 100))


@pytest.mark.parametrize("seed", range(40))
def test_a_patch_is_encoded_as_the_mask_that_holds_it(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 9, 2)
    top, left = rng.integers(0, height), rng.integers(0, width)
    bottom, right = rng.integers(top, height) + 1, rng.integers(left, width) + 1
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = rng.random((bottom - top, right - left)) < rng.random()
    assert encode_patch(mask[top:bottom, left:right], left, top, height, width) == encode_mask(mask)


def test_a_patch_as_high_as_the_mask_has_runs_over_its_columns():
    assert encode_patch(np.ones((3, 2), bool), 1, 0, 3, 4) == encode_mask(np.array([[0, 1, 1, 0]] * 3))
    assert unpack_runs(encode_patch(np.ones((3, 2), bool), 0, 0, 3, 2)).tolist() == [0, 6]
    assert unpack_runs(encode_patch(np.zeros((3, 2), bool), 0, 0, 3, 2)).tolist() == [6]
