"""Look at a picture's header: which format it is, how large, which way up; no pixel is decoded.

The format is told by its first bytes and opened by that one Pillow plugin, never by trying every plugin Pillow has: a picture
of any other format is refused before foreign parsing code sees it, and Pillow's own size warning has no say (our limit does).
"""

import io
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import msgspec
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, PpmImagePlugin, TiffImagePlugin
from PIL import WebPImagePlugin as WebpImagePlugin
from PIL.ImageFile import ImageFile

from sightline.core.errors import ImageTooLarge, UnreadableImage
from sightline.imaging.files.jpeg import ORIENTATION_TAG, check_kind, check_scans, count_scans
from sightline.imaging.files.png import check_chunks
from sightline.imaging.files.ppm import check_ppm_header, use_quick_codec
from sightline.imaging.files.tiff import BITS_TAG, check_directory, count_pages

DEFAULT_MAX_PIXELS = 50_000_000
FORMATS = "JPEG, PNG, WebP, BMP, TIFF, GIF, binary PGM or PPM"

# Everything Pillow, zlib and OpenCV raise at bytes that are not a whole picture (seen on the fuzzers' files of the tests).
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    cv2.error,
    Image.DecompressionBombError,
)

# format -> Pillow plugin class.
PLUGINS: dict[str, type[ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebpImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "ppm": PpmImagePlugin.PpmImageFile,
}
BIG_ENDIAN_BIGTIFF = b"MM\0+"  # Pillow takes it for a TIFF, libtiff does not: they would read two directories
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (BIG_ENDIAN_BIGTIFF, "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    *((f"P{digit}".encode() + space, "ppm") for digit in "456" for space in (b"\n", b" ", b"\r", b"\t")),
)
BMP_RUNS = (BmpImagePlugin.BmpImageFile.COMPRESSIONS["RLE8"], BmpImagePlugin.BmpImageFile.COMPRESSIONS["RLE4"])
MAX_RUNS = 2_500_000  # pixels or bytes: 0.3 s and 0.4 s at worst; 50,000,000 in a row, a file of 1 KB, took 5.7 s
PLAIN_TEXT = re.compile(rb"P[123]\s")


# What the heads of animations hold: WebP's chunk ANIM, PNG's chunk acTL. A GIF has a control block before each frame.
ANIMATION_MARKS = {"webp": b"ANIM", "png": b"acTL"}
ANIMATION_HEAD_BYTES = 4096
GIF_FRAME = re.compile(rb"\x21\xf9\x04.{4}\x00\x2c", re.DOTALL)


class ImageHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture's header says.

    Attributes:
        format: "jpeg", "png", "webp", "bmp", "tiff", "gif" or "ppm" (PGM and PBM too).
        width, height: pixels of the upright picture: after the EXIF orientation.
        orientation: EXIF orientation 1..8; 1 when there is none.
        is_deep: more than 8 bits a channel.
        pages: of a TIFF, smaller copies of a page left out; 1 for other formats.
        is_animated: an animation, whose first frame alone is decoded.
    """

    format: str
    width: int
    height: int
    orientation: int
    is_deep: bool = False
    pages: int = 1
    is_animated: bool = False


def probe_image(content: bytes, name: str = "image") -> ImageHeader:
    """Read format, upright size and orientation from a picture's header, without decoding a pixel.

    Args:
        content: bytes of the file.
        name: what messages call it.

    Raises:
        UnreadableImage: not a picture of a format we decode, or a broken header.
    """
    with quiet_pillow():
        return open_picture(content, name)[1]


def open_picture(content: bytes, name: str) -> tuple[ImageFile, ImageHeader]:
    """Open with the one plugin of its format, pixels still undecoded; call inside `quiet_pillow`. Raises: UnreadableImage."""
    kind = identify_format(content, name)
    if kind == "png":
        check_chunks(content, name)
    if kind == "tiff":
        check_directory(content, name)
        if content.startswith(BIG_ENDIAN_BIGTIFF):
            raise UnreadableImage(
                f"expected {name} to be a TIFF or a little-endian BigTIFF, got a big-endian one; save it again"
            )
    if kind == "ppm":
        check_ppm_header(content, name)
    scans = 0
    if kind == "jpeg":
        scans = count_scans(content, name)
        check_kind(content, name)
    try:
        image = PLUGINS[kind](io.BytesIO(content), "")
        orientation = _read_orientation(image, kind, content)
        width, height = image.size
        is_deep = _is_deep(image, kind, content)
    except DECODER_ERRORS as error:
        raise UnreadableImage(describe_failure(name, kind, error)) from error
    if width < 1 or height < 1:
        raise UnreadableImage(f"expected {name} to hold at least one pixel, its header says {width} x {height}; save it again")
    if kind == "ppm":
        use_quick_codec(image)
    if kind == "bmp":
        _check_runs(image, len(content), name)
    if kind == "jpeg":
        check_scans(scans, width, height, name)
    # Pillow turns a TIFF upright by itself and already gives its upright size; the other formats are turned by `reading`.
    if orientation >= 5 and kind != "tiff":
        width, height = height, width
    pages = count_pages(content) if kind == "tiff" else 1
    facts = ImageHeader(
        format=kind,
        width=width,
        height=height,
        orientation=orientation,
        is_deep=is_deep,
        pages=pages,
        is_animated=is_animated(content, kind),
    )
    return image, facts


def is_animated(content: bytes, kind: str) -> bool:
    """Whether a file of the format `kind` holds more than one frame."""
    if kind == "gif":
        return len(GIF_FRAME.findall(content)) > 1
    return kind in ANIMATION_MARKS and ANIMATION_MARKS[kind] in content[:ANIMATION_HEAD_BYTES]


def check_pixel_limit(width: int, height: int, max_pixels: int, name: str) -> None:
    """Refuse a picture that is too large before a pixel is decoded. Raises: ImageTooLarge."""
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"expected {name} to have at most {max_pixels:,} pixels, its header says {width} x {height} = "
            f"{width * height:,}; make it smaller or raise SIGHTLINE_MAX_IMAGE_PIXELS"
        )


def identify_format(content: bytes, name: str) -> str:
    """Name of the format that the first bytes show. Raises: UnreadableImage when it is none of ours."""
    for magic, kind in MAGIC:
        if content.startswith(magic):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    found = "an empty file" if not content else f"a file that begins with {content[:8]!r}"
    if content[4:8] == b"ftyp":
        found = "a HEIC or AVIF picture or a video"
    if content[128:132] == b"DICM":
        found = "a DICOM file"
    if PLAIN_TEXT.match(content):
        found = "a PBM, PGM or PPM in plain text"
    raise UnreadableImage(f"expected {name} to be {FORMATS}, got {found}; convert it to one of these")


def describe_failure(name: str, kind: str, error: Exception) -> str:
    """One line that says what the decoder found, whatever it raised."""
    if isinstance(error, struct.error | IndexError | EOFError):
        reason = "its header is cut short"  # their own words speak of buffers and offsets
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
    return f"expected {name} to be a whole {kind.upper()} picture, got a damaged one ({reason[:200]}); save it again"


def _check_runs(image: ImageFile, size_bytes: int, name: str) -> None:
    """Pillow reads the runs of a BMP one by one and fills rows that end early pixel by pixel. Raises: UnreadableImage."""
    width, height = image.size
    if image.info.get("compression") in BMP_RUNS and max(width * height, size_bytes) > MAX_RUNS:
        raise UnreadableImage(
            f"expected {name} to have at most {MAX_RUNS:,} pixels and bytes, since it is a BMP of run lengths, got "
            f"{width} x {height} in {size_bytes:,} bytes; save it without compression or as PNG"
        )


def _is_deep(image: ImageFile, kind: str, content: bytes) -> bool:
    """Whether a channel has more than 8 bits; Pillow's mode does not say so of colour pictures."""
    if kind == "png":
        return content[24] > 8  # signature 8, length 4, "IHDR" 4, width 4, height 4, bit depth 1
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return bool(max(image.tag_v2.get(BITS_TAG, (1,))) > 8)
    return isinstance(image, PpmImagePlugin.PpmImageFile) and find_largest_sample(image) > 255


def find_largest_sample(image: PpmImagePlugin.PpmImageFile) -> int:
    """The value that a PGM or PPM calls white, 1..65535, from its header; Pillow scales it to 255, or to 65535 in mode "I"."""
    arguments = image.tile[0].args  # with this value for its own decoders; without for 255, 65535 and one bit
    if isinstance(arguments, tuple) and len(arguments) == 2:
        return int(arguments[1])
    return 65535 if image.mode == "I" else 255


def _read_orientation(image: ImageFile, kind: str, content: bytes) -> int:
    """EXIF orientation 1..8; a broken or absent EXIF block means 1: the picture itself may still be good."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        value = image.tag_v2.get(ORIENTATION_TAG)
    else:
        # Not `image.getexif()`: for a PNG whose eXIf chunk lies behind the pixels it decodes them.
        block = image.info.get("exif") or (_find_png_chunk(content, b"eXIf") if kind == "png" else None)
        if not block:
            return 1
        exif = Image.Exif()
        try:
            exif.load(block)
            value = exif.get(ORIENTATION_TAG)
        except DECODER_ERRORS:
            return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _find_png_chunk(content: bytes, wanted: bytes) -> bytes | None:
    """Body of a PNG's first chunk of a type, or None: hops from length to length."""
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == wanted:
            return content[position + 8 : position + 8 + length]
        position += 12 + int(length)
    return None


_quiet_lock = threading.Lock()
# A process that is forked while another thread holds the lock would wait for it for ever.
os.register_at_fork(before=_quiet_lock.acquire, after_in_parent=_quiet_lock.release, after_in_child=_quiet_lock.release)
_quiet_depth = 0
_quiet_filters: "warnings.catch_warnings[None] | None" = None


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence the warnings of Pillow's modules (odd metadata) while any thread is inside.

    `warnings.catch_warnings` alone is not safe here: two threads that overlap would put each other's filters back, for good.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None
