"""Videos that are not one picture every 40 ms from the top left on: a stream sees of them what the file's reader sees."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from decoder_client import decode, read_all
from stream_fakes import write_video

from sightline.data.video.frames import read_video_frames
from sightline.serving.streams.messages import Finished, FrameHead


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


def test_names_of_encoders_may_be_in_any_encoding(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.mp4", [0, 40])
    content = path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xeb\xff\xfe\xe9"))
    frames, _ = read_all(path)
    assert len(frames) == 2


def write_frames(path: Path, moments_ms: list[int]) -> Path:
    """H.264 with three B frames between reference frames and one key frame."""
    clock = Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"x264-params": "bframes=3:b-adapt=0:scenecut=0:b-pyramid=none:keyint=250"}
        stream.codec_context.time_base = clock
        for number, moment_ms in enumerate(moments_ms):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 2, np.uint8), format="rgb24")
            frame.pts, frame.time_base = moment_ms, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", [8, 10])
def test_a_rate_picks_what_the_file_reader_picks_where_the_frame_rate_changes(tmp_path: Path, rate: int) -> None:
    fast, slow = [round(number * 1000 / 30) for number in range(90)], [3200 + 200 * number for number in range(29)]
    path = write_frames(tmp_path / "a.mp4", fast + [moment_ms + 10 * (moment_ms // 200 % 3) for moment_ms in slow])
    expected = [frame.index for frame in read_video_frames(path, every_s=1 / rate)]
    frames, _ = read_all(path, frames_per_second=rate)
    assert [head.index for head, _ in frames] == expected


def skip_start(whole: Path, path: Path, start_s: float) -> None:
    """Copy an mp4, with an edit list that leaves out the frames before this moment."""
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(whole)) as source, av.open(str(path), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                later = round(start_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - later, packet.dts - later, stream
                target.mux(packet)


@pytest.mark.parametrize("rate", [None, 5.0])
def test_frames_that_an_edit_list_leaves_out_have_no_number(tmp_path: Path, rate: float | None) -> None:
    whole, path = write_frames(tmp_path / "whole.mp4", [number * 40 for number in range(60)]), tmp_path / "a.mp4"
    skip_start(whole, path, 0.2)  # five frames are decoded for the others alone
    with av.open(str(path)) as container:
        assert [packet.is_discard for packet in container.demux(video=0)].count(True) == 5
    expected = [frame.index for frame in read_video_frames(path, every_s=1 / rate if rate else None)]
    frames, last = read_all(path, frames_per_second=rate)
    assert [head.index for head, _ in frames] == expected
    assert (last.counts.read, last.remark) == (55, "")


def test_packets_that_an_edit_list_spares_the_decoder_are_not_missed(tmp_path: Path) -> None:
    whole, path = write_video(tmp_path / "whole.mp4", [number * 4 for number in range(60)]), tmp_path / "a.mp4"
    skip_start(whole, path, 0.6)  # behind the second key frame, so that FFmpeg begins there
    frames, last = read_all(path)
    assert len(frames) == 45 and last.counts.read == 45 and last.remark == ""


def test_large_frames_that_wait_fit_into_the_memory_however_many_may_wait(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0] * 36, size=(4096, 2304))  # 14 MB each: 32 take 450
    with decode(path, max_waiting_frames=32, memory_bytes=500 << 20) as (process, hear):
        messages = [hear()[0] for _ in range(4)]
        while len({message.counts.waiting for message in messages[-3:]}) > 1:
            messages.append(hear()[0])  # word of progress, until nothing more is decoded
        assert 4 < messages[-1].counts.waiting < 10
        process.ask(36)
        while not isinstance(messages[-1], Finished):
            messages.append(hear()[0])
    assert messages[-1].error == "" and sum(isinstance(message, FrameHead) for message in messages) == 36
