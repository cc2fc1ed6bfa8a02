"""Binary PGM and PPM, which Pillow reads byte by byte in Python: the header is bounded before, and samples are spread by NumPy.

A comment of 1 MB in the header took 0.2 s. Where the largest sample is neither 255 nor 65535, each megapixel took half a
second, and zeros of 50 megapixels are 50 KB when zipped. Those in plain text (P1 to P3) are refused by `headers`: the time that
their comments cost grows with the square of their number, 9 s a megabyte.
"""

import re

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile, PyDecoder

from sightline.core.errors import UnreadableImage

MAX_HEADER_BYTES = 64 * 1024
COMMENT = re.compile(rb"#[^\r\n]*+[\r\n]?")
HEADER = re.compile(rb"P(?:4|[56]\s++\S++)\s++\S++\s++\S++\s")  # P5 and P6 state the largest sample, too
SLOW_CODEC, QUICK_CODEC = "ppm", "sightline_ppm"


def check_ppm_header(content: bytes, name: str) -> None:
    """Raises: UnreadableImage for a header with longer comments than pictures have."""
    if len(content) > MAX_HEADER_BYTES and not HEADER.match(COMMENT.sub(b"", content[:MAX_HEADER_BYTES])):
        raise UnreadableImage(f"expected a header of at most {MAX_HEADER_BYTES:,} bytes in {name}, got more; save it again")


def use_quick_codec(image: ImageFile) -> None:
    """Let NumPy spread the samples, where Pillow would do so one by one; nothing is decoded yet."""
    image.tile = [tile._replace(codec_name=QUICK_CODEC) if tile.codec_name == SLOW_CODEC else tile for tile in image.tile]


class _SampleDecoder(PyDecoder):
    """As Pillow's own: 0 to the stated largest sample become 0 to 255, or 0 to 65535 of gray with more than 8 bits."""

    _pulls_fd = True

    def decode(self, buffer: "Image.DecoderInput") -> tuple[int, int]:
        """All at once."""
        assert self.fd is not None
        largest_in, largest_out = self.args[-1], 65535 if self.mode == "I" else 255
        samples_in = np.dtype(">u2" if largest_in > 255 else "u1")
        samples_out = np.dtype("<u4" if self.mode == "I" else "u1")
        count = self.state.xsize * self.state.ysize * Image.getmodebands(self.mode)
        content = self.fd.read(count * samples_in.itemsize)
        samples = np.frombuffer(content, samples_in, len(content) // samples_in.itemsize)
        steps = np.arange(1 << (8 * samples_in.itemsize)) / largest_in * largest_out
        spread = np.rint(steps).clip(0, largest_out).astype(samples_out)
        self.set_as_raw(spread[samples].tobytes(), "I;32" if self.mode == "I" else self.mode)
        return -1, 0


Image.register_decoder(QUICK_CODEC, _SampleDecoder)
