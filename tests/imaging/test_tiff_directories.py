"""Directories of TIFF files that would take Pillow long to read."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import UnreadableImage
from sightline.imaging.reading import decode_image, probe_image
from sightline.imaging.tiff_directories import MAX_ENTRIES, MAX_VALUES, check_directory, count_pages

BASE = ((256, 4, 1, 20), (257, 4, 1, 10), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1))


def make_tiff(*entries: tuple[int, int, int, int], order: str = "<", is_big: bool = False) -> bytes:
    """A directory of (tag, kind, count, value or place); what is in no entry is zeros."""
    head = b"II" if order == "<" else b"MM"
    begin, count, entry, end = ("HHHQ", "Q", "HHQQ", "Q") if is_big else ("HI", "H", "HHII", "I")
    start = (43, 8, 0, 16) if is_big else (42, 8)
    rows = b"".join(struct.pack(order + entry, *row) for row in sorted(entries))
    return (
        head
        + struct.pack(order + begin, *start)
        + struct.pack(order + count, len(entries))
        + rows
        + bytes(8 if end == "Q" else 4)
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize(("tag", "kind"), [(273, 4), (325, 1), (258, 3)])
def test_more_values_than_any_picture_has_are_refused(order: str, is_big: bool, tag: int, kind: int) -> None:
    rest = [entry for entry in BASE if entry[0] != tag]
    check_directory(make_tiff(*rest, (tag, kind, MAX_VALUES, 200), order=order, is_big=is_big), "it")
    content = make_tiff(*rest, (tag, kind, MAX_VALUES + 1, 200), order=order, is_big=is_big)
    for read in (decode_image, probe_image):
        with pytest.raises(UnreadableImage, match=f"65,536 values of the TIFF tag {tag} of image, got 65,537"):
            read(content)


def test_more_entries_than_any_picture_has_are_refused() -> None:
    extra = [(40_000 + number, 4, 1, 0) for number in range(MAX_ENTRIES)]
    with pytest.raises(UnreadableImage, match="4,096 TIFF entries, got 4,102"):
        probe_image(make_tiff(*BASE, *extra))


def test_texts_profiles_and_private_tables_may_be_long() -> None:
    check_directory(make_tiff(*BASE, (270, 2, 1 << 20, 200), (34675, 7, 1 << 20, 200), (50839, 4, 1 << 20, 200)), "it")


def test_what_is_cut_is_left_to_pillow() -> None:
    target = io.BytesIO()
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(target, "TIFF")
    content = target.getvalue()
    assert probe_image(content).width == 20
    for size in range(4, len(content)):
        check_directory(content[:size], "it")
    check_directory(b"II+\0\x08\0\0\0" + b"\xff" * 8, "it")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
def test_pages_are_counted_but_smaller_copies(order: str, is_big: bool) -> None:
    start, end = (16, "Q") if is_big else (8, "I")
    page = make_tiff(*BASE, order=order, is_big=is_big)
    bytes_of_one = len(page) - start
    copy = make_tiff((254, 4, 1, 1 << 32 if is_big and order == ">" else 1), *BASE, order=order, is_big=is_big)
    content = page[: -struct.calcsize(end)] + struct.pack(order + end, len(page))
    content += page[start : -struct.calcsize(end)] + struct.pack(order + end, len(page) + bytes_of_one)
    content += copy[start:]
    assert [count_pages(page), count_pages(content), count_pages(content[:-3])] == [1, 2, 2]


def test_pages_that_lead_back_or_nowhere_are_counted_once() -> None:
    page = make_tiff(*BASE)
    assert count_pages(page[:-4] + struct.pack("<I", 8)) == 1
    assert count_pages(page[:-4] + struct.pack("<I", 1 << 31)) == 1
    assert count_pages(page[:6]) == 1
