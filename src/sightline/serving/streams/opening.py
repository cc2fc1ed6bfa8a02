"""Open a video within the decoder process: what may be opened, which of its streams, and what it says of itself."""

import logging
import os
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


class SourceError(Exception):
    """Why the source cannot be shown; one line for the caller."""


def open_source(settings: DecoderSettings, give_up: Callable[[str], NoReturn]) -> Any:
    """Open the file or the URL. Args: give_up: ends the process, at once. Raises: SourceError."""
    options = {"format_whitelist": settings.formats, "protocol_whitelist": settings.protocols or "none"}
    began_s = time.monotonic()
    watch = LogWatch(give_up)
    try:
        if not settings.url:
            os.lseek(settings.descriptor, 0, os.SEEK_SET)
            file = os.fdopen(settings.descriptor, "rb", buffering=0, closefd=False)
            return av.open(file, mode="r", options=options, buffer_size=READ_BUFFER_BYTES)
        # Only the address that was checked is visited: no redirects, no play lists, nothing that points elsewhere.
        options |= {"rtsp_transport": "tcp", "max_redirects": "0", "tls_verify": "1"}
        if settings.ca_file:
            options["ca_file"] = settings.ca_file
        with hear_log(watch):
            return av.open(settings.url, mode="r", options=options, timeout=(settings.open_timeout_s, settings.read_timeout_s))
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
            raise SourceError(f"the address does not open as a video: {error.strerror}") from error
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
    """Hears what FFmpeg says nowhere but in its log.

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
        line = record.getMessage().lower()
        self.has_distrust |= "certificate" in line
        if "redirect" in line:
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
