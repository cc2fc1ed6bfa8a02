"""Open a video within the decoder process: what may be opened, which of its streams, and what it says of itself."""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import av
import av.error
import av.logging
from av.format import Flags
from av.stream import Disposition

from sightline.serving.streams.messages import DecoderSettings, Opened

READ_BUFFER_BYTES = 256 * 1024
REDIRECT = re.compile(r"Status \d+: Redirecting to ")  # FFmpeg's rtsp.c, before it goes there
SLACK_FRAMES = 2  # Matroska's length is rounded, and its last frame need have none of its own


class SourceError(Exception):
    """Why the source cannot be shown; one line for the caller."""


def open_source(settings: DecoderSettings, give_up: Callable[[str], NoReturn]) -> Any:
    """Open the file or the URL. Args: give_up: ends the process, at once. Raises: SourceError."""
    options = {"format_whitelist": settings.formats, "protocol_whitelist": settings.protocols or "none"}
    lenient = "replace"  # titles and names of encoders are in any encoding; nobody needs them here
    began_s = time.monotonic()
    watch = LogWatch(give_up)
    try:
        if not settings.url:
            os.lseek(settings.descriptor, 0, os.SEEK_SET)
            file = os.fdopen(settings.descriptor, "rb", buffering=0, closefd=False)
            return av.open(file, mode="r", options=options, buffer_size=READ_BUFFER_BYTES, metadata_errors=lenient)
        # Only the address that was checked is visited: no redirects, no play lists, nothing that points elsewhere.
        options |= {"rtsp_transport": "tcp", "max_redirects": "0", "tls_verify": "1"}
        if settings.ca_file:
            options["ca_file"] = settings.ca_file
        with hear_log(watch):
            timeout = settings.open_timeout_s, settings.read_timeout_s
            return av.open(settings.url, mode="r", options=options, timeout=timeout, metadata_errors=lenient)
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError) as error:
        if watch.has_distrust:
            raise SourceError(
                "the address shows no certificate of its name by an authority that is trusted; "
                "the server's operator can name the authority's file with --stream-ca"
            ) from error
        # Some protocols report the end of their time as bad data.
        if settings.url and time.monotonic() - began_s >= settings.open_timeout_s:
            raise SourceError(f"the address did not answer within {settings.open_timeout_s:g} s") from error
        if settings.url:
            # A redirect that FFmpeg does not follow over HTTP is an input/output error, and the one without a word in the log.
            may_lead = error.errno == errno.EIO and settings.url.startswith("http") and not getattr(error, "log", None)
            advice = "; if it leads to another address, which is not followed, give that address" if may_lead else ""
            raise SourceError(f"the address does not open as a video: {error.strerror}{advice}") from error
        raise SourceError("expected a video (mp4, mkv, webm, avi, mov, ...), got a file that does not open as one") from error


@contextmanager
def hear_log(watch: "LogWatch") -> Iterator[None]:
    """Let FFmpeg's log be heard, line by line: it waits for whoever hears it."""
    logger = logging.getLogger("libav")
    logger.addHandler(watch)
    logger.setLevel(logging.INFO)
    av.logging.set_level(av.logging.INFO)
    try:
        yield
    finally:
        av.logging.set_level(None)
        logger.removeHandler(watch)


class LogWatch(logging.Handler):
    """Hears what FFmpeg says nowhere but in its log: by who says it, for hosts and cameras choose words that come into it, too.

    A camera that speaks RTSP and leads elsewhere ends the process: FFmpeg says so before it goes there, and it goes, for
    `max_redirects` is for HTTP alone.

    Args:
        give_up: told of the first redirect over RTSP.

    Attributes:
        has_distrust: whether a certificate was refused.
    """

    def __init__(self, give_up: Callable[[str], NoReturn]) -> None:
        super().__init__()
        self.has_distrust = False
        self._give_up = give_up

    def emit(self, record: logging.LogRecord) -> None:
        """One line, on the thread that opens."""
        line = record.getMessage()
        self.has_distrust |= record.name.startswith("libav.tls") and "certificate" in line.lower()
        if record.name == "libav.rtsp" and REDIRECT.match(line):
            self._give_up("the camera leads to another address, which is not followed; give that address")


def find_picture_stream(container: Any, max_pixels: int) -> Any:
    """The first video stream, its size checked before anything is decoded. Raises: SourceError."""
    stream = next((one for one in container.streams.video if not one.disposition & Disposition.attached_pic), None)
    if stream is None:
        raise SourceError("expected a video, got sound without a picture stream")
    context = stream.codec_context
    if context.width * context.height > max_pixels:
        raise SourceError(refuse_size(context.width, context.height, max_pixels))
    context.thread_count = 1  # one core a stream: the others are for other cameras and for inference
    return stream


def describe_source(container: Any, stream: Any) -> Opened:
    """What the source says of itself."""
    rate = stream.average_rate or stream.guessed_rate
    duration_s = None
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / av.time_base
    return Opened(
        container=container.format.name,
        codec=stream.codec_context.name,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        frames_per_s=float(rate) if rate else None,
        duration_s=duration_s,
    )


def find_end_s(packet: Any) -> float:
    """Until when the frame of a packet is shown, seconds; 0 when that is not known."""
    start = packet.dts if packet.pts is None else packet.pts
    return 0.0 if start is None or not packet.time_base else float((start + (packet.duration or 0)) * packet.time_base)


def find_early_end(container: Any, stream: Any, packets: int, end_s: float) -> str:
    """What a video says that lacks its end, as a file that was cut off does; "" for a whole one, or when that is not known.

    Args:
        packets: that were read. end_s: until when the last of them is shown.
    """
    announced_s = find_announced_end_s(container, stream)
    frame_s = 1 / float(stream.average_rate or 25)
    if stream.frames:
        # Of fewer packets than frames an edit list may have left out the others; then its end is the end.
        if packets < stream.frames and (announced_s is None or end_s < announced_s - frame_s / 2):
            return f"the video ends early: it has {packets} of the {stream.frames} frames it announces"
    elif announced_s is not None and end_s < announced_s - SLACK_FRAMES * frame_s:
        return f"the video ends early: it has {end_s:.1f} of the {announced_s:.1f} s it announces"
    return ""


def find_announced_end_s(container: Any, stream: Any) -> float | None:
    """Where the pictures end by the header, seconds; None when it does not say so, or of the sound as well."""
    if stream.duration is not None and stream.frames:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if "matroska" not in container.format.name:
        return None
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        is_alone = len(container.streams) == 1
        return container.duration / av.time_base if is_alone and container.duration is not None else None


def has_times(container: Any) -> bool:
    """Whether the format says when frames are shown; MJPEG over HTTP does not, and FFmpeg then makes times up."""
    return not container.format.flags & Flags.no_timestamps.value


def find_tick_s(stream: Any) -> float:
    """Length of one tick of the video's clock, seconds."""
    return float(stream.time_base or 0)


def find_time_s(frame: Any, index: int, stream: Any) -> float:
    """The moment the video shows the frame; by its number only where it holds no times (raw streams). Raises: SourceError."""
    if frame.time is not None:
        return float(frame.time)
    rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise SourceError(f"frame {index} has no time and the video no frame rate; convert it to mp4 first")
    return float(index / rate)


def refuse_size(width: int, height: int, max_pixels: int) -> str:
    """The refusal of a frame that is too large."""
    return f"the video has frames of {width}x{height} pixels, the limit is {max_pixels}; send a smaller one"
