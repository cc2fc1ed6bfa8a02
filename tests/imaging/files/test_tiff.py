"""Directories of TIFF files that would take Pillow long to read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import UnreadableImage
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.reading import decode_image
from sightline.imaging.files.tiff import MAX_ENTRIES, MAX_VALUES, check_directory, count_pages

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


def tile_tiff(width: int, height: int, tile_width: int, tile_height: int) -> bytes:
    """One gray tile of zeros, deflated, behind the directory."""
    data = zlib.compress(bytes(tile_width * tile_height))
    sizes = ((256, 4, 1, width), (257, 4, 1, height), (322, 4, 1, tile_width), (323, 4, 1, tile_height))
    entries = (*sizes, (258, 4, 1, 8), (259, 4, 1, 8), (262, 4, 1, 1), (277, 4, 1, 1), (325, 4, 1, len(data)))
    return make_tiff(*entries, (324, 4, 1, len(make_tiff(*entries, (324, 4, 1, 0))))) + data


def test_tiles_far_larger_than_the_picture_are_refused() -> None:
    assert decode_image(tile_tiff(16, 16, 512, 512)).shape == (16, 16, 3)
    assert decode_image(tile_tiff(16, 16, 2048, 2048)).shape == (16, 16, 3)
    with pytest.raises(UnreadableImage, match=r"fit image of 16 x 16 pixels, got 2064 x 2048"):
        decode_image(tile_tiff(16, 16, 2064, 2048))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "bits", "room"), [(3, 16, 32), (4, 32, 32), (3, 16, 64), (4, 32, 64), (16, 64, 64)])
def test_sizes_of_tiles_are_read_in_every_form(order: str, kind: int, bits: int, room: int) -> None:
    shift = room - bits if order == ">" else 0  # values stand at the left of their place
    sizes = [(tag, kind, 1, value << shift) for tag, value in ((256, 16), (257, 16), (322, 4096), (323, 2048))]
    with pytest.raises(UnreadableImage, match=r"fit it of 16 x 16 pixels, got 4096 x 2048"):
        check_directory(make_tiff(*BASE[2:], *sizes, order=order, is_big=room == 64), "it")


def test_a_bigtiff_in_big_endian_order_is_refused_as_such() -> None:
    with pytest.raises(UnreadableImage, match="got a big-endian one"):
        probe_image(make_tiff(*BASE, order=">", is_big=True))


def test_many_tiles_that_stand_out_of_the_picture_are_refused() -> None:
    with pytest.raises(UnreadableImage, match=r"fit image of 60000 x 1 pixels, got 16 x 4096"):
        probe_image(make_tiff(*BASE[2:], (256, 4, 1, 60_000), (257, 4, 1, 1), (322, 4, 1, 16), (323, 4, 1, 4096)))


@pytest.mark.parametrize("tag", [256, 257, 322, 323])
@pytest.mark.parametrize(("kind", "count"), [(4, 2), (16, 1), (5, 1), (12, 1)])
def test_a_size_that_is_not_one_whole_number_is_refused(tag: int, kind: int, count: int) -> None:
    rest = [entry for entry in BASE if entry[0] != tag]
    with pytest.raises(UnreadableImage, match=f"one whole number of the TIFF tag {tag}"):
        probe_image(make_tiff(*rest, (tag, kind, count, 16)))
    with pytest.raises(UnreadableImage, match=f"one whole number of the TIFF tag {tag}"):
        probe_image(make_tiff(*rest, (tag, 4, 1, 16), (tag, 4, 1, 32)))


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
