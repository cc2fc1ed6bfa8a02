import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sightline.core.errors import ImageTooLarge, InvalidInput, NotFound, UnreadableVideo
from sightline.data.video.frames import read_clock, read_stated_end_s, read_video_frames

COLOURS = [
    (200, 30, 30),
    (30, 200, 30),
    (30, 30, 200),
    (200, 200, 30),
]  # quadrants: top left, top right, bottom left, bottom right


def write_video(path: Path, pts: list[int], width: int = 96, height: int = 64) -> None:
    """An mp4 on a clock of 1/1000 s whose frames show four quadrants."""
    image = np.zeros((height, width, 3), np.uint8)
    for index, colour in enumerate(COLOURS):
        row, column = divmod(index, 2)
        image[row * height // 2 : (row + 1) * height // 2, column * width // 2 : (column + 1) * width // 2] = colour
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.time_base = Fraction(1, 1000)
        for moment in pts:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def turn_mp4(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d of the display matrix into the track header of an mp4 (ISO 14496-12 section 8.3.2)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: 40 bytes from version to the matrix
    a, b, c, d = (value << 16 for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def quadrant_order(image: np.ndarray) -> list[int]:
    height, width = image.shape[:2]
    points = [
        (height // 4, width // 4),
        (height // 4, 3 * width // 4),
        (3 * height // 4, width // 4),
        (3 * height // 4, 3 * width // 4),
    ]
    return [int(np.argmin([np.abs(image[point].astype(int) - colour).sum() for colour in COLOURS])) for point in points]


def test_frames_come_upright_in_rgb_with_the_times_of_the_file(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0, 40, 100, 500, 540])  # a variable rate
    frames = list(read_video_frames(tmp_path / "a.mp4"))
    assert [frame.pts_s for frame in frames] == pytest.approx([0, 0.04, 0.1, 0.5, 0.54])
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape == (64, 96, 3)
    assert frames[0].image.dtype == np.uint8
    assert quadrant_order(frames[0].image) == [0, 1, 2, 3]


def test_frames_are_kept_by_time(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0, 40, 100, 500, 540])
    # multiples of 0.1 s: 0 -> 0, 0.1 -> frame 2, 0.2 to 0.5 -> frame 3; 0.6 is after the end
    assert [frame.index for frame in read_video_frames(tmp_path / "a.mp4", every_s=0.1)] == [0, 2, 3]


def test_a_display_matrix_turns_the_frames(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0, 40])
    turn_mp4(tmp_path / "a.mp4", (0, 1, -1, 0))  # a telephone held upright: shown turned 90 degrees clockwise
    frame = next(iter(read_video_frames(tmp_path / "a.mp4")))
    assert frame.image.shape == (96, 64, 3)
    # turned clockwise: bottom left comes top left, top left comes top right
    assert quadrant_order(frame.image) == [2, 0, 3, 1]


def test_half_a_turn_is_applied(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0])
    turn_mp4(tmp_path / "a.mp4", (-1, 0, 0, -1))
    assert quadrant_order(next(iter(read_video_frames(tmp_path / "a.mp4"))).image) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("matrix", "order"),  # x' = ax + cy and y' = bx + dy, so by hand
    [
        ((-1, 0, 0, 1), [1, 0, 3, 2]),
        ((1, 0, 0, -1), [2, 3, 0, 1]),
        ((0, 1, 1, 0), [0, 2, 1, 3]),
        ((0, -1, -1, 0), [3, 1, 2, 0]),
    ],
    ids=["left to right", "top to bottom", "at the diagonal", "at the other diagonal"],
)
def test_a_display_matrix_mirrors_the_frames(tmp_path: Path, matrix: tuple[int, int, int, int], order: list[int]) -> None:
    write_video(tmp_path / "a.mp4", [0])
    turn_mp4(tmp_path / "a.mp4", matrix)
    image = next(iter(read_video_frames(tmp_path / "a.mp4"))).image
    assert quadrant_order(image) == order
    assert image.shape == ((64, 96, 3) if matrix[0] else (96, 64, 3))


def test_files_that_are_no_video_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((8, 8, 3), np.uint8))
    for name in ("text.mp4", "empty.mp4", "list.m3u8", "picture.png"):
        with pytest.raises(UnreadableVideo, match="expected a video") as error:
            list(read_video_frames(tmp_path / name))
        assert "\n" not in str(error.value)
    with pytest.raises(NotFound):
        list(read_video_frames(tmp_path / "absent.mp4"))


def test_a_cut_off_video_is_refused_or_gives_the_frames_before_the_cut(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", list(range(0, 400, 40)))
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])  # the index at the end of the file is lost
    with pytest.raises(UnreadableVideo):
        list(read_video_frames(tmp_path / "cut.mp4"))


@pytest.mark.parametrize("every_s", [0.0, -1.0, float("nan")])
def test_a_step_must_be_positive(every_s: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="above 0"):
        read_video_frames(tmp_path / "a.mp4", every_s)


def test_frames_above_the_limit_are_refused_before_decoding(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0])
    with pytest.raises(ImageTooLarge, match="96x64"):
        list(read_video_frames(tmp_path / "a.mp4", max_pixels=96 * 64 - 1))
    assert len(list(read_video_frames(tmp_path / "a.mp4", max_pixels=96 * 64))) == 1


@pytest.mark.parametrize(
    ("name", "frames", "size", "last_s"),
    [
        ("datumaro-tiny-avi/video_1.avi", 20, (4, 4), 1.9),
        ("imageio/realshort.mp4", 36, (320, 240), 104930 / 90000),
        ("intel-sample-videos/asl_gestures/bird.mkv", 63, (640, 480), 2.1),
        ("intel-sample-videos/asl_gestures/milk.mkv", 51, (640, 480), None),
    ],
)
def test_real_videos_give_every_frame(
    shared_data: Path, name: str, frames: int, size: tuple[int, int], last_s: float | None
) -> None:
    path = shared_data / "video" / name
    count, previous = 0, -1.0
    for frame in read_video_frames(path):
        assert frame.pts_s > previous
        assert frame.image.shape == (size[1], size[0], 3)
        count, previous = count + 1, frame.pts_s
    assert count == frames
    assert frame.pts is not None
    if last_s is not None:
        assert previous == pytest.approx(last_s, abs=1e-4)


def test_frames_equal_those_of_opencv(shared_data: Path) -> None:
    path = shared_data / "video" / "imageio" / "realshort.mp4"
    capture = cv2.VideoCapture(str(path))
    for frame in read_video_frames(path):
        there, bgr = capture.read()
        assert there
        # two converters from YUV: they differ by rounding, not by frame (neighbouring frames differ by far more)
        assert np.abs(frame.image.astype(int) - bgr[..., ::-1]).mean() < 2
    assert not capture.read()[0]
    capture.release()


@pytest.mark.slow
def test_a_long_video_gives_1189_frames_and_one_each_second(shared_data: Path) -> None:
    path = shared_data / "video" / "intel-sample-videos" / "bottle-detection.mp4"
    assert sum(1 for _ in read_video_frames(path)) == 1189
    kept = list(read_video_frames(path, every_s=1.0))
    assert len(kept) == 40  # seconds 0 to 39 of 39.85
    assert all(frame.pts_s - second < 0.034 for second, frame in enumerate(kept))


@pytest.mark.parametrize("suffix", ["mp4", "avi"])
def test_names_of_encoders_may_be_in_any_encoding(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write_video(path, [0, 40])
    content = path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xeb\xff\xfe\xe9"))
    assert len(list(read_video_frames(path))) == 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_the_end_that_a_file_states_stays_when_it_is_cut_off(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write_video(path, list(range(0, 4000, 40)))
    assert read_stated_end_s(path) == pytest.approx(4.0, abs=0.05)  # the last frame comes at 3.96 s
    if suffix == "mkv":  # of the others the index, or the number of frames, stands at the end
        path.write_bytes(path.read_bytes()[:-2000])
        assert read_stated_end_s(path) == pytest.approx(4.0, abs=0.05)


def test_a_clock_is_read_as_seconds() -> None:
    assert read_clock("01:02:03.500000000") == 3723.5
    assert read_clock("00:00:40") == 40
    assert read_clock("") is None
    assert read_clock("\u0661:02:03") is None
