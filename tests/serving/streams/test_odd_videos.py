"""Videos that are not one picture every 40 ms from the top left on: a stream sees of them what the file's reader sees."""

from fractions import Fraction
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


@pytest.mark.parametrize("rate", [8, 10])
def test_a_rate_picks_what_the_file_reader_picks_where_the_frame_rate_changes(tmp_path: Path, rate: int) -> None:
    path, clock = tmp_path / "a.mp4", Fraction(1, 1000)
    moments = [round(number * 1000 / 30) for number in range(90)] + [
        3200 + 200 * number + 10 * (number % 3) for number in range(29)
    ]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"x264-params": "bframes=3:b-adapt=0:scenecut=0:b-pyramid=none:keyint=250"}
        stream.codec_context.time_base = clock
        for number, moment in enumerate(moments):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 2, np.uint8), format="rgb24")
            frame.pts, frame.time_base = moment, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = [frame.index for frame in read_video_frames(path, every_s=1 / rate)]
    frames, _ = read_all(path, frames_per_second=rate)
    assert [head.index for head, _ in frames] == expected
