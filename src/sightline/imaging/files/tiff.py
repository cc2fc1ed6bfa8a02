"""The directories of a TIFF (TIFF 6.0, section 2; BigTIFF): the first is counted before Pillow reads it; each is a page.

Pillow goes over the entries of the directory, and over the places of strips or tiles, one by one in Python, however small the
picture is: a file of 4 MB that names a million of them took 7 s. A tile is decoded whole, however little of it the picture is:
one of 26,000 x 26,000 pixels, 3 KB when zipped, took 2 GB for a picture of 16 x 16.
"""

import math
import struct

from sightline.core.errors import UnreadableImage

MAX_ENTRIES = 4096
MAX_PAGES = 10_000  # that are counted
BITS_TAG, KIND_TAG = 258, 254  # BitsPerSample, NewSubfileType; the latter stands first where it is, since tags are in order
SMALLER_COPY = 1  # the bit of NewSubfileType
MAX_VALUES = 65_536  # strips of one row of a picture of that height; a large scan has some thousand tiles
TAGS_OF_PLACES = frozenset({273, 279, 324, 325})  # offsets and byte counts of strips and tiles
BYTE_KINDS = frozenset({1, 2, 6, 7})  # of blocks that are kept as they are: texts, profiles
PRIVATE_TAGS = 32_768  # from here on nobody looks at them
WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT = SIZE_TAGS = (256, 257, 322, 323)
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # kind -> form
TILE_PIXELS = 2048 * 2048  # of a tile, and of all tiles together, beyond the picture


def check_directory(content: bytes, name: str) -> None:
    """Hold the first directory against what pictures have.

    Raises: UnreadableImage for more entries, or more values of one, than they have, and for tiles far larger than the picture.
    """
    order = "<" if content[:2] == b"II" else ">"
    is_big = 43 in content[2:4]
    start_form, count_form, entry_form = ("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s")
    try:
        (start,) = struct.unpack_from(order + start_form, content, 8 if is_big else 4)
        (entries,) = struct.unpack_from(order + count_form, content, start)
    except (struct.error, OverflowError):
        return  # Pillow says what is wrong
    if entries > MAX_ENTRIES:
        raise UnreadableImage(f"expected {name} to have at most {MAX_ENTRIES:,} TIFF entries, got {entries:,}; save it again")
    first, form = start + struct.calcsize(order + count_form), struct.Struct(order + entry_form)
    whole = min(entries, max(0, len(content) - first) // form.size)
    sizes: dict[int, int] = {}
    for tag, kind, count, place in form.iter_unpack(content[first : first + whole * form.size]):
        if count > MAX_VALUES and (tag in TAGS_OF_PLACES or (tag < PRIVATE_TAGS and kind not in BYTE_KINDS)):
            raise UnreadableImage(
                f"expected at most {MAX_VALUES:,} values of the TIFF tag {tag} of {name}, got {count:,}; save it again"
            )
        if tag in SIZE_TAGS:
            value_form = order + WHOLE_NUMBERS.get(kind, "")
            if tag in sizes or count != 1 or not 0 < struct.calcsize(value_form) <= len(place):
                raise UnreadableImage(f"expected one whole number of the TIFF tag {tag} of {name}, got others; save it again")
            (sizes[tag],) = struct.unpack_from(value_form, place)
    _check_tiles(sizes, name)


def _check_tiles(sizes: dict[int, int], name: str) -> None:
    """Args: sizes: SIZE_TAGS -> pixels, those that there are. Raises: UnreadableImage."""
    if not all(sizes.get(tag) for tag in SIZE_TAGS):
        return  # it has strips, or Pillow says what is wrong
    width, height, tile_width, tile_height = (sizes[tag] for tag in SIZE_TAGS)
    tile = tile_width * tile_height
    tiles = math.ceil(width / tile_width) * math.ceil(height / tile_height)
    if tile > width * height + TILE_PIXELS or tiles * tile > 4 * width * height + TILE_PIXELS:
        raise UnreadableImage(
            f"expected TIFF tiles that fit {name} of {width} x {height} pixels, got {tile_width} x {tile_height}; "
            "save it again with smaller ones"
        )


def count_pages(content: bytes) -> int:
    """How many pages a TIFF has, smaller copies of one left out; 1 where that cannot be told. Hops from page to page."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = 43 in content[2:4]
    start_form, count_form, entry_bytes, value_at = ("Q", "Q", 20, 12) if is_big else ("I", "H", 12, 8)
    seen: set[int] = set()
    pages = 0
    try:
        (start,) = struct.unpack_from(order + start_form, content, 8 if is_big else 4)
        while start and start not in seen and len(seen) < MAX_PAGES:
            seen.add(start)
            (entries,) = struct.unpack_from(order + count_form, content, start)
            first = start + struct.calcsize(order + count_form)
            (tag,) = struct.unpack_from(order + "H", content, first)
            (value,) = struct.unpack_from(order + "I", content, first + value_at)
            pages += not (tag == KIND_TAG and value & SMALLER_COPY)
            (start,) = struct.unpack_from(order + start_form, content, first + entries * entry_bytes)
    except (struct.error, OverflowError):
        pass  # it is cut: Pillow says what is wrong with the first page
    return max(1, pages)
