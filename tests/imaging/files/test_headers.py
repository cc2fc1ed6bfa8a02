import os
import select
import signal
import struct
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.core.errors import UnreadableImage
from sightline.imaging.files.headers import MAX_RUNS, probe_image, quiet_pillow
from sightline.imaging.files.reading import decode_image, read_label_map


def make_bmp(width: int, height: int, body: bytes, compression: int, bits: int) -> bytes:
    """A BMP whose colour number N is the gray N."""
    palette = b"".join(bytes((number, number, number, 0)) for number in range(1 << bits))
    start = 54 + len(palette)
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, 1 << bits, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + sizes + palette + body


@pytest.mark.parametrize(("compression", "bits", "runs"), [(1, 8, b"\2\7\1\5"), (2, 4, b"\2\x77\1\x50")])
def test_run_lengths_of_a_bmp_are_read(compression: int, bits: int, runs: bytes) -> None:
    content = make_bmp(3, 1, runs + b"\0\1", compression, bits)
    np.testing.assert_array_equal(decode_image(content)[..., 0], [[7, 7, 5]])


@pytest.mark.parametrize(("compression", "bits"), [(1, 8), (2, 4)])
def test_run_lengths_that_take_long_are_refused_before_they_are_read(compression: int, bits: int, tmp_path: Path) -> None:
    wide = make_bmp(MAX_RUNS + 1, 1, b"\1\1\0\0\0\1", compression, bits)
    idle = make_bmp(8, 8, b"\0\2\0\0" * (MAX_RUNS // 4), compression, bits)
    for content in (wide, idle):
        path = tmp_path / "it.bmp"
        path.write_bytes(content)
        for read in (decode_image, probe_image, lambda _, path=path: read_label_map(path)):
            with pytest.raises(UnreadableImage, match=r"2,500,000 pixels and bytes.*BMP of run lengths.*PNG"):
                read(content)


def test_a_large_bmp_without_run_lengths_is_read() -> None:
    content = make_bmp(2000, 1300, bytes(2000 * 1300), 0, 8)
    assert decode_image(content).shape == (1300, 2000, 3)


def test_a_process_forked_while_another_thread_silences_pillow_can_do_so_too() -> None:
    done = threading.Event()

    def silence() -> None:
        while not done.is_set():
            with quiet_pillow():
                pass

    thread = threading.Thread(target=silence)
    thread.start()
    try:
        for _ in range(50):
            child = os.fork()
            if child == 0:
                with quiet_pillow():
                    os._exit(0)
            ending = os.pidfd_open(child)
            has_ended = select.select([ending], [], [], 20)[0] == [ending]
            os.close(ending)
            if not has_ended:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            assert has_ended
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_an_animation_is_told_from_a_still_picture(kind: str) -> None:
    frames = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)) for seed in range(3)]
    still, moving = BytesIO(), BytesIO()
    frames[0].save(still, kind)
    frames[0].save(moving, kind, save_all=True, append_images=frames[1:])
    assert not probe_image(still.getvalue()).is_animated and probe_image(moving.getvalue()).is_animated


def test_a_heic_picture_is_called_so() -> None:
    with pytest.raises(UnreadableImage, match="got a HEIC or AVIF picture or a video; convert it"):
        probe_image(b"\0\0\0\x18ftypheic" + b"\0" * 40)
