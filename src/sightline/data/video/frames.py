"""Read video: frames as upright RGB pictures together with the moment each is shown.

Labels belong to frames, so the frame's presentation time from the file is kept, never computed from its number: videos with a
variable frame rate, a late first frame or dropped frames stay right. Only containers named below are opened: play lists and
other formats that point at further files or addresses are refused by the demuxer itself.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.video.stream
import msgspec
import numpy as np

from sightline.core.errors import ImageTooLarge, InvalidInput, NotFound, UnreadableVideo
from sightline.data.video.containers import CONTAINERS
from sightline.data.video.orientation import Orientation

MAX_FRAME_PIXELS = 50_000_000
CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", re.ASCII)


class VideoFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded frame.

    Attributes:
        index: its place among all frames of the video in order of presentation, from 0.
        pts: the moment it is shown in ticks of the stream's clock, as `Item.frame_pts` keeps it; None where it has none.
        pts_s: the same in seconds; the first frame need not be at 0.
        image: uint8 `(H, W, 3)` RGB, upright.
        is_damaged: its data are damaged, and the decoder filled in what it could not read.
    """

    index: int
    pts: int | None
    pts_s: float
    image: np.ndarray
    is_damaged: bool = False


def read_video_frames(path: Path, every_s: float | None = None, max_pixels: int = MAX_FRAME_PIXELS) -> Iterator[VideoFrame]:
    """Decode a video frame by frame in order of presentation; holds one frame at a time.

    Args:
        path: the video file.
        every_s: keep the first frame at or after each multiple of so many seconds, counted from the first frame; the first is
            always kept. None keeps all frames.
        max_pixels: largest frame that is decoded.

    Raises: NotFound; InvalidInput for a step that is not positive; UnreadableVideo for a file that is no video or is damaged
        on the way (frames before the damage have been given by then); ImageTooLarge.
    """
    if every_s is not None and not every_s > 0:
        raise InvalidInput(f"expected a step above 0, got every_s={every_s}; give the seconds between frames")
    return iterate_frames(path, every_s, max_pixels)


def iterate_frames(path: Path, every_s: float | None, max_pixels: int) -> Iterator[VideoFrame]:
    """The generator behind `read_video_frames`, whose arguments are checked already."""
    with open_video(path, max_pixels) as (container, stream):
        first_s: float | None = None
        next_s = 0.0
        frames, orientation = enumerate(container.decode(stream)), Orientation()
        index = -1
        while True:
            try:
                index, frame = next(frames)
            except StopIteration:
                break
            except av.error.FFmpegError as error:
                raise UnreadableVideo(f"{path} is damaged after frame {index} (from 0): {error.strerror}") from error
            pts_s = find_pts_s(frame, index, stream)
            first_s = pts_s if first_s is None else first_s
            wanted = every_s is None
            if every_s is not None:
                # Half a tick of tolerance: at 29.97 frames/s the clock's rounding must not skip the frame that is meant.
                wanted = pts_s - first_s >= next_s - tick_s(stream) / 2
                if wanted:
                    next_s = (np.floor((pts_s - first_s + tick_s(stream) / 2) / every_s) + 1) * every_s
            if wanted:
                check_frame_size(path, frame.width, frame.height, max_pixels)
                image = to_upright_rgb(frame, orientation)
                yield VideoFrame(index=index, pts=frame.pts, pts_s=pts_s, image=image, is_damaged=frame.is_corrupt)
        if index < 0:
            raise UnreadableVideo(f"expected a video with frames, got none in {path}")


def read_stated_end_s(path: Path) -> float | None:
    """When the video ends by its file's own account, seconds on the clock of `VideoFrame.pts_s`; None where it states nothing.

    Of a file that was cut off this may still be the end of the whole video. Raises: NotFound; UnreadableVideo; ImageTooLarge.
    """
    with open_video(path, MAX_FRAME_PIXELS) as (container, stream):
        start_s = (stream.start_time or 0) * tick_s(stream)
        if stream.duration is not None:
            return start_s + stream.duration * tick_s(stream)
        if container.duration is None:
            return None
        end_s = container.duration / av.time_base
        # Matroska: that of the longest stream; one of its own stands in a tag that many writers leave out.
        return min(end_s, read_clock(stream.metadata.get("DURATION", "")) or end_s)


def read_clock(text: str) -> float | None:
    """Seconds of "00:01:02.500000000"; None for other text."""
    match = CLOCK.fullmatch(text)
    return None if match is None else 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])


@contextmanager
def open_video(path: Path, max_pixels: int) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open the file and its first video stream, its size checked before anything is decoded."""
    if not path.is_file():
        raise NotFound(f"expected a video file, got {path}, which is not there")
    with path.open("rb") as file:
        try:
            # Titles and names of encoders are in any encoding; nobody needs them here.
            container = av.open(file, mode="r", options={"format_whitelist": CONTAINERS}, metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:  # FFmpeg's errors, and the seeks it asks of a file that is too short
            raise UnreadableVideo(
                f"expected a video (mp4, mkv, webm, avi, mov, ...), got {path}, which does not open as one"
            ) from error
        with container:
            if not container.streams.video:
                raise UnreadableVideo(f"expected a video, got {path}, which has no picture stream")
            stream = container.streams.video[0]
            check_frame_size(path, stream.codec_context.width, stream.codec_context.height, max_pixels)
            stream.thread_type = "AUTO"
            yield container, stream


def check_frame_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Raises: ImageTooLarge."""
    if width * height > max_pixels:
        raise ImageTooLarge(f"{path} has frames of {width}x{height} pixels, the limit is {max_pixels}; raise max_pixels")


def tick_s(stream: av.video.stream.VideoStream) -> float:
    """Length of one tick of the stream's clock, seconds."""
    return float(stream.time_base or Fraction(0))


def find_pts_s(frame: Any, index: int, stream: av.video.stream.VideoStream) -> float:
    """The moment the file shows the frame; by its number only where the file holds no times (raw streams)."""
    if frame.time is not None:
        return float(frame.time)
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise UnreadableVideo(f"frame {index} has no time and the video no frame rate; convert it to mp4 first")
    return float(index / rate)


def to_upright_rgb(frame: Any, orientation: Orientation) -> np.ndarray:
    """The frame as uint8 `(H, W, 3)` RGB, mirrored and turned as the file's display matrix asks."""
    image: np.ndarray = frame.to_ndarray(format="rgb24")
    is_mirrored, turns = orientation.find(frame)
    return np.ascontiguousarray(np.rot90(image[::-1] if is_mirrored else image, turns))
