"""What the decoder process and the server say to each other, and how it travels through pipes.

A message is four bytes of length, big-endian, and a JSON object of that length whose "kind" names the type; a `FrameHead` is
followed by its pixels. To the decoder goes one `DecoderSettings`, then one byte for every frame it may send: frames that
nobody asked for are neither converted nor copied. The decoder reads untrusted video, so the server checks what comes back.
"""

import struct
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

DropPolicy = Literal["oldest", "newest", "none"]
HEAD_LIMIT_BYTES = 64 * 1024
LENGTH = struct.Struct(">I")

T = TypeVar("T")


class DecoderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the decoder process is told.

    Attributes:
        url: address of the source; "" for a file, whose descriptor is then `descriptor`.
        descriptor: of the open file, inherited.
        frames_per_second: rate of the frames to send; None: all.
        realtime: send a frame when it is due by its time in the video; False: as soon as it is decoded.
        drop: what gives way when `max_waiting_frames` wait: the "oldest", the "newest", or nothing ("none": decoding waits).
        loop: begin again at the end of a file.
        max_pixels: largest frame.
        memory_bytes: address space of the process.
        open_timeout_s, read_timeout_s: how long a URL may stay silent.
        formats, protocols: what FFmpeg may open, in its own comma-separated names.
        ca_file: PEM file of the authorities to trust for https and rtsps; "": those of FFmpeg's TLS library.
    """

    url: str = ""
    descriptor: int = -1
    frames_per_second: float | None = None
    realtime: bool = True
    drop: DropPolicy = "oldest"
    max_waiting_frames: int = 4
    loop: bool = False
    max_pixels: int = 4096 * 2304
    memory_bytes: int = 1 << 30
    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    formats: str
    protocols: str = ""
    ca_file: str = ""

    @property
    def is_camera(self) -> bool:
        """Whether what is not decoded in time is lost; the times that a file gives its frames are those of whoever made it."""
        return bool(self.url) and self.realtime


class Counts(msgspec.Struct, kw_only=True):
    """What the decoder has done so far.

    Attributes:
        read: frames read from the source, decoded or not.
        errors: of them those that are damaged.
        late: wanted frames it did not decode because it was behind its time.
        dropped: decoded frames that gave way while they waited.
        waiting: decoded frames that wait to be asked for.
        lag_s: how far behind its time it is, seconds; 0 without a time.
        cpu_s: processor time of the process.
        busy_s: how long the present read or decoding has lasted.
    """

    read: int = 0
    errors: int = 0
    late: int = 0
    dropped: int = 0
    waiting: int = 0
    lag_s: float = 0.0
    cpu_s: float = 0.0
    busy_s: float = 0.0


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="opened"):
    """The source was opened; sizes in pixels as stored, before any rotation."""

    container: str
    codec: str
    width: int
    height: int
    frames_per_s: float | None
    duration_s: float | None


class FrameHead(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="frame"):
    """A frame; `height` rows of `line_bytes` follow, the first `3 * width` of each RGB, the rest padding.

    Attributes:
        index: its place among all frames of the video in order of presentation, from 0.
        repeat: how often the video had been shown before.
        pts: in ticks of the video's clock. time_s: the same in seconds.
        due_s: the moment it was due, on the monotonic clock of this machine.
        is_mirrored, turns: upright once it is mirrored, top to bottom, and then turned by quarters counter-clockwise.
    """

    index: int
    repeat: int
    pts: int | None
    time_s: float
    due_s: float
    width: int
    height: int
    line_bytes: int
    is_mirrored: bool
    turns: Literal[0, 1, 2, 3]
    counts: Counts


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="progress"):
    """Sent when there was nothing else to say for a while."""

    counts: Counts


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="finished"):
    """The last message: the source ended, or `error` says in one line why it could not go on; `remark`: what was odd."""

    error: str = ""
    remark: str = ""
    counts: Counts


Message = Opened | FrameHead | Progress | Finished
MESSAGE: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
SETTINGS: msgspec.json.Decoder[DecoderSettings] = msgspec.json.Decoder(DecoderSettings)


def pack(message: Message | DecoderSettings) -> bytes:
    """The message with its length."""
    body = msgspec.json.encode(message)
    return LENGTH.pack(len(body)) + body


def unpack(read: Callable[[int], bytes | bytearray], decoder: msgspec.json.Decoder[T]) -> T:
    """Read one message. Args: read: gives exactly so many bytes or raises EOFError.

    Raises: EOFError; ValueError for what is no such message.
    """
    (size,) = LENGTH.unpack(read(LENGTH.size))
    if size > HEAD_LIMIT_BYTES:
        raise ValueError(f"expected a message of at most {HEAD_LIMIT_BYTES} bytes, got {size}")
    return decoder.decode(read(size))
