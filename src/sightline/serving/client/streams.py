"""Streams as a client starts and follows them, free of any I/O: requests, records, and where to go on after a connection broke.

Results come as server-sent events (WHATWG HTML §9.2). Each has a number, so that whoever comes back names the last one it saw.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound
from sightline.serving.client.calls import ClientCall, doubt_server, explain_failure, is_distrust
from sightline.serving.client.retries import FIRST_WAIT_S, LONGEST_WAIT_S
from sightline.serving.streams.messages import Opened
from sightline.serving.streams.stream_statistics import StatisticsView

SILENCE_S = 60.0  # after so long without a byte a connection counts as broken: a server says something every 15 s


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream on a server.

    Attributes:
        state: "starting", "running", "reconnecting", "ended" or "failed"; detail: why.
        source: where the video comes from; video: what it is, once it was opened.
        last_event: number of the latest event.
    """

    id: str
    name: str
    state: str
    detail: str
    model: str
    version: str
    source: str
    video: Opened | None
    last_event: int
    statistics: StatisticsView


class StreamList(msgspec.Struct, frozen=True):
    """What `GET /v2/streams` answers."""

    streams: list[StreamState]


class ImageSize(msgspec.Struct, frozen=True):
    """Of a frame, upright, pixels."""

    width: int
    height: int


class StreamEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a stream.

    Attributes:
        type: "frame": a frame with its annotations; "end": the last event, see `state` and `detail`; "lost": this reader was
            too slow, and `count` events are gone.
        id: number of the event, from 1; 0 for "lost".
        model, version: what answered.
        frame: number of the frame in the video, from 0; repeat: how often the video had been shown before.
        pts: time of the frame in ticks of the video's clock; time_s: the same in seconds.
        latency_ms: time since the moment the frame was due.
        state: "ended" or "failed".
    """

    type: Literal["frame", "end", "lost"]
    id: int = 0
    model: str = ""
    version: int = 0
    frame: int = 0
    repeat: int = 0
    pts: int | None = None
    time_s: float = 0.0
    latency_ms: float = 0.0
    image: ImageSize | None = None
    annotations: list[Annotation] = []
    state: str = ""
    detail: str = ""
    count: int = 0


def call_start(model: str, video: str | os.PathLike[str] | None, url: str, file: str, options: Mapping[str, Any]) -> ClientCall:
    """Start a stream. Raises: NotFound for a video that is not there; InvalidInput for no source, or several."""
    given = {name: value for name, value in options.items() if value is not None} | {"model": model}
    if [video is not None, bool(url), bool(file)].count(True) != 1:
        raise InvalidInput("expected one source: a video's path to send, `url` of a camera, or `file` of the server's folder")
    if video is None:
        body = msgspec.json.encode(given | {"source": {"url": url} if url else {"file": file}})
        return ClientCall(
            method="POST",
            path="/v2/streams",
            content=body,
            headers={"Content-Type": "application/json"},
            is_repeatable=False,
        )
    if not isinstance(video, (str, os.PathLike)):
        raise InvalidInput(f"expected the path of a video, got {type(video).__name__}")
    if not Path(video).is_file():
        raise NotFound(f"no video {video}; give a file's path, `url` of a camera, or `file` of the server's folder")
    return ClientCall(
        method="POST",
        path="/v2/streams",
        file=Path(video),
        query={name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()},
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(Path(video).stat().st_size)},
        is_repeatable=False,
    )


def make_stream_path(stream: str, end: str = "") -> str:
    """Path of a stream, or of something of it. Raises: InvalidInput for an empty id."""
    if not stream:
        raise InvalidInput("expected the id of a stream, got an empty one; list_streams() tells them")
    return f"/v2/streams/{quote(stream, safe='')}{end}"


class Following:
    """One reader of a stream, over as many connections as it takes.

    Args:
        url: of the server, for messages.
        after: number of the last event that is known.
        patience_s: how long it tries to come back.
        clock: seconds, monotonic.
    """

    def __init__(
        self, url: str, stream: str, after: int, patience_s: float, clock: Callable[[], float], rng: random.Random
    ) -> None:
        self.is_over = False
        self._url = url
        self._path = make_stream_path(stream, "/events")
        self._seen = after
        self._patience_s = patience_s
        self._clock, self._rng = clock, rng
        self._rest = b""
        self._blocks = 0
        self._failures = 0
        self._broken_at_s = 0.0

    def begin(self) -> ClientCall:
        """The request of the next connection."""
        self._rest, self._blocks = b"", 0
        headers = {"Last-Event-ID": str(self._seen), "Accept": "text/event-stream"}
        return ClientCall(method="GET", path=self._path, headers=headers)

    def feed(self, piece: bytes) -> Iterator[StreamEvent]:
        """Events that a piece of the answer completes. Raises: InvalidInput when another program answers."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            self._blocks += 1
            if self._blocks > 1:  # the first is the server's greeting, which a connection that is of no use brings as well
                self._failures = 0
            event = self._read(block)
            if event is not None:
                self._seen = event.id or self._seen
                self.is_over = event.type == "end"
                yield event

    def end(self, answer: httpx.Response) -> None:
        """The answer ended before an "end". Raises: httpx.RemoteProtocolError unless the stream had no more to say."""
        if answer.status_code != httpx.codes.NO_CONTENT:  # nothing is left to say
            raise httpx.RemoteProtocolError("the connection ended before the stream")

    def choose_wait(self, error: Exception) -> float:
        """Seconds until the next connection. Raises: the error that this failure stands for when there is to be none."""
        now_s = self._clock()
        self._broken_at_s = self._broken_at_s if self._failures else now_s
        is_lasting = is_distrust(error) or not isinstance(error, httpx.TransportError)
        if is_lasting or now_s - self._broken_at_s >= self._patience_s:
            raise explain_failure(error, self._url) from error
        self._failures += 1
        return self._rng.uniform(0.0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures, 20)))

    def _read(self, block: bytes) -> StreamEvent | None:
        data = b"".join(line[len(b"data:") :] for line in block.split(b"\n") if line.startswith(b"data:"))
        try:
            return msgspec.json.decode(data, type=StreamEvent) if data else None
        except (msgspec.DecodeError, RecursionError) as error:
            raise doubt_server(self._url, error) from error
