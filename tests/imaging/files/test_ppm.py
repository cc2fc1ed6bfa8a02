"""Binary PGM and PPM, which are read without Pillow's loops over bytes."""

import io

import numpy as np
import pytest
from PIL import PpmImagePlugin

from sightline.core.errors import UnreadableImage
from sightline.imaging.files.headers import probe_image
from sightline.imaging.files.ppm import MAX_HEADER_BYTES
from sightline.imaging.files.reading import decode_image


@pytest.mark.parametrize("magic", [b"P1", b"P2", b"P3"])
@pytest.mark.parametrize("space", [b"\n", b" ", b"\r", b"\t"])
def test_pictures_in_plain_text_are_refused_as_such(magic: bytes, space: bytes) -> None:
    for read in (decode_image, probe_image):
        with pytest.raises(UnreadableImage, match="binary PGM or PPM, got a PBM, PGM or PPM in plain text"):
            read(magic + space + b"2 2 1\n0 1 1 0\n")


@pytest.mark.parametrize("magic", [b"P4", b"P5", b"P6"])
@pytest.mark.parametrize("filling", [b"#%s\n", b"%s", b"#%s\r"])
def test_the_header_is_bounded_wherever_its_comments_stand(magic: bytes, filling: bytes) -> None:
    words = [magic, b"3", b"2", *([] if magic == b"P4" else [b"255"])]
    for place in range(1, len(words) + filling.startswith(b"#")):  # blanks behind the last word are pixels
        for size, is_read in ((MAX_HEADER_BYTES - 100, True), (MAX_HEADER_BYTES, False), (3 * MAX_HEADER_BYTES, False)):
            gap = filling.replace(b"%s", b" " * size)
            rows = b"\n".join(words[:place]) + b"\n" * (place < len(words)) + gap + b"\n".join(words[place:]) + b"\n"
            content = rows + bytes(18) + bytes(MAX_HEADER_BYTES)
            if is_read:
                assert probe_image(content).width == 3
                continue
            with pytest.raises(UnreadableImage, match=r"a header of at most 65,536 bytes in image"):
                probe_image(content)


@pytest.mark.parametrize("magic", [b"P5", b"P6"])
@pytest.mark.parametrize("largest", [1, 3, 100, 254, 255, 256, 1023, 4095, 65534, 65535])
def test_samples_are_spread_as_pillow_spreads_them(magic: bytes, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bands = 3 if magic == b"P6" else 1
    samples = np.random.default_rng(largest).integers(0, largest + 2, 7 * 5 * bands).clip(0, 65535)
    samples[:2] = 0, largest
    body = samples.astype(">u2" if largest > 255 else "u1").tobytes()
    content = magic + b" 7 5 %d\n" % largest + body
    slow = np.asarray(PpmImagePlugin.PpmImageFile(io.BytesIO(content))).astype(np.int64)
    expected = slow >> 8 if bands == 1 and largest > 255 else slow
    monkeypatch.setattr(PpmImagePlugin.PpmDecoder, "decode", None)  # byte by byte
    np.testing.assert_array_equal(decode_image(content)[..., 0], expected.reshape(5, 7, bands)[..., 0])


@pytest.mark.parametrize("largest", [100, 1000])
def test_a_cut_picture_is_refused(largest: int) -> None:
    for missing in range(1, 4):
        content = b"P5 3 1 %d\n" % largest + bytes(3 * (1 + (largest > 255)) - missing)
        with pytest.raises(UnreadableImage, match="damaged"):
            decode_image(content)
