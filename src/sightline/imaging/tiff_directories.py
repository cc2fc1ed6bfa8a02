"""The directories of a TIFF (TIFF 6.0, section 2; BigTIFF): the first is counted before Pillow reads it; each is a page.

Pillow goes over the entries of the directory, and over the places of strips or tiles, one by one in Python, however small the
picture is: a file of 4 MB that names a million of them took 7 s.
"""

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


def check_directory(content: bytes, name: str) -> None:
    """Raises: UnreadableImage for more entries, or more values of one, than pictures have; nothing else is looked at."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = 43 in content[2:4]
    start_form, count_form, entry_form = ("Q", "Q", "HHQ8x") if is_big else ("I", "H", "HHI4x")
    try:
        (start,) = struct.unpack_from(order + start_form, content, 8 if is_big else 4)
        (entries,) = struct.unpack_from(order + count_form, content, start)
    except (struct.error, OverflowError):
        return  # Pillow says what is wrong
    if entries > MAX_ENTRIES:
        raise UnreadableImage(f"expected {name} to have at most {MAX_ENTRIES:,} TIFF entries, got {entries:,}; save it again")
    first, form = start + struct.calcsize(order + count_form), struct.Struct(order + entry_form)
    whole = min(entries, max(0, len(content) - first) // form.size)
    for tag, kind, count in form.iter_unpack(content[first : first + whole * form.size]):
        if count > MAX_VALUES and (tag in TAGS_OF_PLACES or (tag < PRIVATE_TAGS and kind not in BYTE_KINDS)):
            raise UnreadableImage(
                f"expected at most {MAX_VALUES:,} values of the TIFF tag {tag} of {name}, got {count:,}; save it again"
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
