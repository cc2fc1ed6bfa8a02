"""Videos that are not one picture every 40 ms from the top left on: a stream sees of them what the file's reader sees."""

from pathlib import Path

import av
import numpy as np
import pytest
from decoder_client import read_all

from sightline.data.video import read_video_frames


@pytest.mark.parametrize("flip", ["hflip", "vflip"])
@pytest.mark.parametrize("turn", [0, 90])
def test_mirrored_video_stands_upright(tmp_path: Path, flip: str, turn: int) -> None:
    path = tmp_path / "a.mp4"
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 255  # top left
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(turn, **{flip: True})
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    (expected,) = read_video_frames(path)
    ((_, seen),), _ = read_all(path)
    np.testing.assert_array_equal(seen, expected.image)
    if not turn:
        corner = expected.image[-4:, :4] if flip == "vflip" else expected.image[:4, -4:]
        assert corner.min() > 200 and expected.image.mean() < 80
