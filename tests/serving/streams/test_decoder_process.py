"""A real decoder process against real and generated videos."""

import os
import queue
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from decoder_client import decode, read_all
from rtsp_camera import RtspCamera
from stream_fakes import write_sound, write_video
from waiting import DEADLINE_S, wait_until

from sightline.data.video.frames import CONTAINERS, read_video_frames
from sightline.serving.streams import decoder, decoder_process
from sightline.serving.streams.decoder import Decoding
from sightline.serving.streams.decoder_process import DecoderProcess
from sightline.serving.streams.messages import Counts, DecoderSettings, Finished, FrameHead, Message, Opened, Progress, pack
from sightline.serving.streams.sources import URL_FORMATS, URL_PROTOCOLS


@pytest.mark.parametrize(
    "name", ["imageio/realshort.mp4", "intel-sample-videos/asl_gestures/milk.mkv", "datumaro-tiny-avi/video_1.avi"]
)
def test_frames_are_those_of_the_file_reader_bit_for_bit(shared_data: Path, name: str) -> None:
    path = shared_data / "video" / name
    frames, last = read_all(path)
    expected = list(read_video_frames(path))
    assert (last.error, last.remark) == ("", "") and len(frames) == len(expected)
    for (head, image), frame in zip(frames, expected, strict=True):
        assert (head.index, head.pts) == (frame.index, frame.pts)
        np.testing.assert_array_equal(image, frame.image)


@pytest.mark.parametrize("rate", [5, 7.5, 12])
def test_a_rate_picks_what_the_file_reader_picks_though_others_are_not_decoded(shared_data: Path, rate: float) -> None:
    path = shared_data / "video" / "intel-sample-videos" / "asl_gestures" / "bird.mkv"
    frames, _ = read_all(path, frames_per_second=rate)
    expected = list(read_video_frames(path, every_s=1 / rate))
    assert [head.index for head, _ in frames] == [frame.index for frame in expected]
    for (_, image), frame in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(image, frame.image)


def test_frames_nobody_refers_to_are_numbered_though_never_decoded(tmp_path: Path) -> None:
    grays = [number * 6 for number in range(40)]
    path = write_video(tmp_path / "a.mp4", grays, rate=24, codec="libx264")
    frames, last = read_all(path, frames_per_second=4)
    assert [head.index for head, _ in frames] == [0, 6, 12, 18, 24, 30, 36]
    assert [round(float(image.mean())) for _, image in frames] == pytest.approx(
        [grays[head.index] for head, _ in frames], abs=4
    )
    assert last.counts.read == 40


def test_nothing_is_sent_before_it_is_asked_for(tmp_path: Path) -> None:
    with decode(write_video(tmp_path / "a.mp4", [0] * 9), max_waiting_frames=3) as (process, hear):
        assert isinstance(hear()[0], Opened)
        message, _ = hear()
        while message.counts.waiting < 3:
            message, _ = hear()
            assert isinstance(message, Progress)
        assert isinstance(message, Progress) and message.counts.waiting == 3
        process.ask()
        assert isinstance(hear()[0], FrameHead)


def test_in_real_time_the_policy_drops_what_nobody_asks_for(tmp_path: Path) -> None:
    with decode(write_video(tmp_path / "a.mp4", [0] * 12, rate=50), realtime=True, drop="oldest", max_waiting_frames=2) as (
        process,
        hear,
    ):
        assert isinstance(hear()[0], Opened)
        message, _ = hear()
        while message.counts.dropped + message.counts.waiting < 12:  # a second later all are due
            message, _ = hear()
        assert (message.counts.dropped, message.counts.waiting) == (10, 2)
        process.ask(2)
        assert [hear()[0].index for _ in range(2)] == [10, 11]
        assert isinstance(hear()[0], Finished)


def test_in_real_time_frames_come_when_they_are_due(tmp_path: Path) -> None:
    frames, last = read_all(write_video(tmp_path / "a.mp4", [0] * 6, rate=20), realtime=True, drop="oldest")
    due_s = [head.due_s for head, _ in frames]
    assert np.diff(due_s) == pytest.approx(np.full(5, 0.05), abs=1e-4)
    assert last.counts.dropped == 0


def test_a_loop_begins_again(tmp_path: Path) -> None:
    with decode(write_video(tmp_path / "a.mp4", [0, 80, 160]), loop=True) as (process, hear):
        assert isinstance(hear()[0], Opened)
        process.ask(8)
        heads = [hear()[0] for _ in range(8)]
    assert [(head.repeat, head.index) for head in heads] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize("realtime", [False, True])
def test_a_loop_keeps_the_rate(tmp_path: Path, realtime: bool) -> None:
    path = write_video(tmp_path / "a.mp4", [0, 80, 160], rate=50)  # 60 ms: 0, 100, 200 and 300 ms are 0, 1 2/3, 3 1/3, 5 times
    expected = [(0, 0), (1, 2), (3, 1), (5, 0)]
    with decode(path, loop=True, realtime=realtime, frames_per_second=10) as (process, hear):
        assert isinstance(hear()[0], Opened)
        process.ask(4)
        heads = [hear()[0] for _ in range(4)]
    assert [(head.repeat, head.index) for head in heads] == expected
    assert [head.time_s for head in heads] == pytest.approx([index / 50 for _, index in expected])
    if realtime:
        assert np.diff([head.due_s for head in heads]) == pytest.approx(np.full(3, 0.1), abs=0.001)


def test_rotated_video_stands_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0, 0], size=(64, 48))
    turned = tmp_path / "turned.mp4"
    import av

    with av.open(str(path)) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    frames, _ = read_all(turned)
    expected = list(read_video_frames(turned))
    assert frames[0][1].shape == expected[0].image.shape == (64, 48, 3)


def make_picture(path: Path) -> Path:
    import cv2

    cv2.imwrite(str(path.with_suffix(".jpg")), np.zeros((32, 32, 3), np.uint8))
    return path.with_suffix(".jpg").rename(path)


def make_garbage(path: Path) -> Path:
    path.write_bytes(bytes(range(256)) * 100)
    return path


def make_empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def make_play_list(path: Path) -> Path:
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    return path


@pytest.mark.parametrize("make", [make_picture, make_garbage, make_empty, make_play_list])
def test_files_that_are_no_videos_are_refused_in_one_line(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    frames, last = read_all(make(tmp_path / "a.mp4"))
    assert not frames
    assert "expected a video" in last.error and "\n" not in last.error and str(tmp_path) not in last.error


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    assert "without a picture stream" in read_all(write_sound(tmp_path / "a.mp4"))[1].error


def test_a_truncated_video_shows_what_is_there_and_says_so(tmp_path: Path, shared_data: Path) -> None:
    whole = (shared_data / "video" / "imageio" / "realshort.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    frames, last = read_all(tmp_path / "a.mp4")
    if whole.find(b"moov") < len(whole) // 2:
        assert 0 < len(frames) < 36 and "ends early" in last.remark
    else:
        assert not frames and "expected a video" in last.error


def test_a_truncated_matroska_ends_and_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [0, 200] * 30)
    assert read_all(path)[1].remark == ""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    frames, last = read_all(path)
    assert 0 < len(frames) < 60 and last.error == ""
    assert re.fullmatch(r"the video ends early: it has (1\.\d|2\.0) of the 2\.4 s it announces", last.remark)


def test_large_frames_are_refused_before_decoding(tmp_path: Path) -> None:
    frames, last = read_all(write_video(tmp_path / "a.mp4", [0]), max_pixels=64 * 48 - 1)
    assert not frames and "64x48" in last.error


def test_a_killed_decoder_is_reported(tmp_path: Path) -> None:
    with decode(write_video(tmp_path / "a.mp4", [0] * 9)) as (process, hear):
        assert isinstance(hear()[0], Opened)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        last = hear()[0]
        while not isinstance(last, Finished):
            last = hear()[0]
    assert "SIGKILL" in last.error


def test_a_stopped_decoder_is_gone(tmp_path: Path) -> None:
    with decode(write_video(tmp_path / "a.mp4", [0] * 9), loop=True) as (process, hear):
        hear()
        pid = process.pid
    assert pid is not None and not Path(f"/proc/{pid}").exists()


def test_a_silent_decoder_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One of the standard library: ours takes a good part of the time to start where much else runs."""
    script = SPEAKER.format(said=OPENED, once_asked=b"")
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-I", "-S", "-c", script))
    heard: queue.Queue[Message] = queue.Queue()
    with (tmp_path / "a.mp4").open("w+b") as file:
        settings = DecoderSettings(descriptor=file.fileno(), formats=CONTAINERS)
        process = DecoderProcess(settings, lambda message, image: heard.put(message), silence_s=3.0)
        process.start()
        assert isinstance(heard.get(timeout=DEADLINE_S), Opened)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        last = heard.get(timeout=DEADLINE_S)
        process.join()
    assert isinstance(last, Finished) and "silent" in last.error
    assert is_gone(process.pid)


def test_an_address_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live"
        _, last = read_all(None, url=url, formats=URL_FORMATS, protocols=URL_PROTOCOLS["http"], open_timeout_s=0.3)
    assert "did not answer within 0.3 s" in last.error


def test_a_redirect_is_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        target = elsewhere.getsockname()[1]
        with decode(None, url=f"http://127.0.0.1:{listener.getsockname()[1]}/", formats=URL_FORMATS, protocols="http,tcp") as (
            _,
            hear,
        ):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{target}/\r\nContent-Length: 0\r\n\r\n"
                connection.sendall(answer.encode())
                last = hear()[0]
        elsewhere.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert isinstance(last, Finished) and "does not open" in last.error and "leads to another address" in last.error


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("OPTIONS", "leads to another address"),
        ("DESCRIBE", "leads to another address"),
        ("SETUP", "does not open"),  # FFmpeg does not follow here
    ],
)
def test_a_redirect_over_rtsp_is_not_followed(method: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.0)
        leads = {method: f"rtsp://127.0.0.1:{elsewhere.getsockname()[1]}/inside"}
        with RtspCamera(b"", leads) as camera:
            settings = {"url": camera.url, "formats": URL_FORMATS, "protocols": URL_PROTOCOLS["rtsp"]}
            frames, last = read_all(None, **settings)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert not frames and words in last.error
    assert camera.methods[-1] == method


def pack_head(**changes: int) -> bytes:
    known = {"index": 0, "repeat": 0, "pts": 0, "time_s": 0.0, "due_s": 0.0, "width": 8, "height": 8, "line_bytes": 24}
    head = FrameHead(**known, is_mirrored=False, turns=0, counts=Counts())  # type: ignore[arg-type]
    return pack(msgspec.structs.replace(head, **changes))


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02{]",
        b'\x00\x00\x00\x0f{"kind":"other"}',
        pack_head(width=100_000, line_bytes=300_000, height=100_000),
        pack_head(width=8, line_bytes=1),
        pack_head(width=-8),
        pack_head(height=0),
        pack_head(line_bytes=1 << 40),
        pack_head(width=1, height=4096 * 2304, line_bytes=4099),
        pack_head(width=1, height=4096 * 2304, line_bytes=128),
    ],
)
def test_a_decoder_that_was_taken_over_cannot_harm_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: bytes
) -> None:
    script = f"import sys, time; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); time.sleep(60)"
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-c", script))
    with decode(write_video(tmp_path / "a.mp4", [0])) as (_, hear):
        last, _ = hear()
    assert isinstance(last, Finished) and "garbage" in last.error


WORD = pack(Progress(counts=Counts()))
OPENED = pack(Opened(container="mov", codec="h264", width=8, height=8, frames_per_s=None, duration_s=None))
SPEAKER = """
import os, sys
said, once_asked = {said!r}, {once_asked!r}
os.read(0, 1 << 16)  # its settings
sys.stdout.buffer.write(said)
sys.stdout.flush()
if once_asked:
    os.read(0, 1)
    sys.stdout.buffer.write(once_asked)
    sys.stdout.flush()
os.read(0, 1)
"""


@pytest.mark.parametrize(
    ("said", "once_asked", "kinds"),
    [
        (OPENED + pack_head() + bytes(192), b"", [Opened]),
        (OPENED, 2 * (pack_head() + bytes(192)), [Opened, FrameHead]),
        (2 * OPENED, b"", [Opened]),
        (OPENED + 100 * WORD, b"", [Opened] + [Progress] * decoder_process.SPARE_WORDS),
    ],
)
def test_a_decoder_that_says_what_nobody_asked_for_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: bytes, once_asked: bytes, kinds: list[type]
) -> None:
    script = SPEAKER.format(said=said, once_asked=once_asked)
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-c", script))
    heard = []
    with decode(write_video(tmp_path / "a.mp4", [0])) as (process, hear):
        while not heard or not isinstance(heard[-1], Finished):
            heard.append(hear()[0])
            if once_asked and len(heard) == 1:
                process.ask()
    assert [type(message) for message in heard[: len(kinds)]] == kinds
    assert all(isinstance(message, Progress) for message in heard[len(kinds) : -1]) and len(heard) < len(kinds) + 60
    assert heard[-1].error.startswith("the decoder said what nobody asked for")


def test_lines_that_ffmpeg_pads_the_most_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)  # decodes to RGB itself: lines end where 64 bytes and 64 pixels do
        stream.width, stream.height, stream.pix_fmt = 65, 4, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((4, 65, 3), 7, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    ((_, image),), last = read_all(path)
    assert last.error == ""
    np.testing.assert_array_equal(image, np.full((4, 65, 3), 7))


def test_a_decoder_may_die_of_a_signal_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = f"import os; os.kill(os.getpid(), {signal.SIGRTMIN + 1})"
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-c", script))
    with decode(write_video(tmp_path / "a.mp4", [0])) as (_, hear):
        last, _ = hear()
    assert isinstance(last, Finished) and f"died of signal {signal.SIGRTMIN + 1};" in last.error


@pytest.mark.parametrize(
    ("error", "words"), [(MemoryError(), "no memory for a frame"), (ZeroDivisionError(), "its log has the details")]
)
def test_whatever_goes_wrong_the_last_message_comes_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, words: str
) -> None:
    def fail(*_: object) -> np.ndarray:
        raise error

    script = SPEAKER.format(said=OPENED, once_asked=pack_head())
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr(decoder_process.np, "empty", fail)
    heard: list[Message] = []

    def take(message: Message, image: np.ndarray | None) -> None:
        heard.append(message)
        if isinstance(message, Opened):
            process.ask()

    with (tmp_path / "a.mp4").open("w+b") as file:
        process = DecoderProcess(DecoderSettings(descriptor=file.fileno(), formats=CONTAINERS), take)
        process.start()
        process.join(DEADLINE_S)
    assert process.pid is not None and is_gone(process.pid)
    assert [type(message) for message in heard] == [Opened, Finished]
    assert isinstance(heard[1], Finished) and words in heard[1].error


def test_a_decoder_that_ends_without_a_word_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-c", "raise SystemExit(7)"))
    with decode(write_video(tmp_path / "a.mp4", [0])) as (_, hear):
        last, _ = hear()
    assert isinstance(last, Finished) and "exit code 7" in last.error


OWNER = """
import os, sys, threading
from sightline.serving.streams import decoder, decoder_process
from sightline.serving.streams.decoder import Decoding
from sightline.serving.streams.decoder_process import DecoderProcess
from sightline.serving.streams.messages import DecoderSettings
settings = DecoderSettings(descriptor=os.open(sys.argv[1], os.O_RDONLY), formats="mov", loop=True)
process = DecoderProcess(settings, lambda message, image: print(process.pid, flush=True))
process.start()
threading.Event().wait()
"""


def test_no_decoder_outlives_a_killed_server(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0] * 9)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_until(lambda: is_gone(pid), "the decoder outlived its server")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_decoder_does_not_see_the_servers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_SECRET_KEY", "hidden")
    with decode(write_video(tmp_path / "a.mp4", [0] * 9)) as (process, hear):
        hear()
        assert b"hidden" not in Path(f"/proc/{process.pid}/environ").read_bytes()


def test_the_decoder_needs_no_numpy(tmp_path: Path) -> None:
    with decode(write_video(tmp_path / "a.mp4", [0] * 9)) as (process, hear):
        hear()
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "libavcodec" in maps and "numpy" not in maps and "openvino" not in maps


def test_memory_is_bounded(tmp_path: Path) -> None:
    _, last = read_all(write_video(tmp_path / "a.mp4", [0] * 3, size=(4096, 2304)), memory_bytes=170 << 20)
    assert "more than the 170 MiB" in last.error


def test_files_are_decoded_below_the_servers_priority_and_cameras_beside_it(tmp_path: Path) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    path = write_video(tmp_path / "camera.ts", [0, 255] * 15, codec="mpeg2video")
    for realtime in (False, True):
        with decode(path, realtime=realtime) as (process, hear):
            assert isinstance(hear()[0], Opened)
            assert os.getpriority(os.PRIO_PROCESS, process.pid or 0) == min(19, ours + 10)
    with RtspCamera(path.read_bytes()) as camera:
        settings = {"url": camera.url, "formats": URL_FORMATS, "protocols": URL_PROTOCOLS["rtsp"], "realtime": True}
        with decode(None, **settings) as (process, hear):
            assert isinstance(hear()[0], Opened)
            assert os.getpriority(os.PRIO_PROCESS, process.pid or 0) == ours


@pytest.mark.parametrize(("rate", "rests_s"), [(0.001, [0.0] * 2 + [1.5] * 8), (None, [0.0] * 10)])
def test_frames_that_nobody_wants_are_decoded_with_rests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rate: float | None, rests_s: list[float]
) -> None:
    used_s = iter(range(100))  # half a second of processor time for each of nine packets and the end
    path = write_video(tmp_path / "a.mp4", [0] * 9)
    slept_s: list[float] = []
    with path.open("rb") as file, (tmp_path / "said").open("wb") as said:
        settings = DecoderSettings(descriptor=file.fileno(), formats=CONTAINERS, realtime=False, frames_per_second=rate)
        decoding = Decoding(settings, said.fileno(), lambda: next(used_s) / 2)
        monkeypatch.setattr(decoder.time, "sleep", slept_s.append)
        if rate is None:
            monkeypatch.setattr(decoding.waiting, "put", lambda due, size_bytes: decoding._send_frame(*due))
        decoding.run()
    assert decoding.error == "" and slept_s == rests_s
