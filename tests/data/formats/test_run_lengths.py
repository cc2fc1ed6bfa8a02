import numpy as np
import pytest
from faster_coco_eval import mask as coco_masks

from sightline.data.formats.run_lengths import read_rle
from sightline.imaging.masks import decode_mask

PIXELS = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)  # down the columns: 0 0 1 1 1 0


def test_a_compressed_text_and_a_list_are_the_same_mask() -> None:
    compressed = coco_masks.encode(np.asfortranarray(PIXELS))
    text = {"size": [2, 3], "counts": compressed["counts"].decode()}
    assert np.array_equal(decode_mask(read_rle(text, None)), PIXELS)
    assert np.array_equal(decode_mask(read_rle({"size": [2, 3], "counts": [2, 3, 1]}, (3, 2))), PIXELS)


@pytest.mark.parametrize(
    ("rle", "size"),
    [
        ({"size": [2, 3], "counts": [2, 3, 2]}, None),
        ({"size": [2, 3], "counts": [7, -1]}, None),
        ({"size": [2, 3], "counts": [2, 3, 1]}, (9, 2)),
        ({"size": [2], "counts": [2]}, None),
        ({"size": [2, 3]}, None),
        ({"size": ["two", 3], "counts": "1"}, None),
        ({"size": [1 << 20, 1 << 20], "counts": [1 << 40]}, None),
    ],
)
def test_what_does_not_fill_the_picture_is_no_mask(rle: dict[str, object], size: tuple[int, int] | None) -> None:
    with pytest.raises((ValueError, KeyError)):
        read_rle(rle, size)
