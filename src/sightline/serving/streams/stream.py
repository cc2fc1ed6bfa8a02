"""One stream: hears its decoder, asks for a frame, has it analysed, writes an event, asks for the next.

Only one frame of a stream is on its way through the model at a time, so cameras share the Device evenly, results come in order,
and a slow model drops frames in the decoder, before they are converted and copied. Everything here runs on the event loop and
handles references to pictures, never pixels.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Literal

import msgspec
import numpy as np

from sightline.core.errors import Exhausted, InvalidInput, QueueFull, QueueTimeout, SightlineError, UnknownHost
from sightline.imaging.heads.decoding import decode_outputs
from sightline.serving.http.keys import Caller
from sightline.serving.inference.calls import Call, Inferred, ServedFacts
from sightline.serving.inference.service import InferenceService
from sightline.serving.streams.decoder_process import DecoderProcess
from sightline.serving.streams.events import EventLog
from sightline.serving.streams.messages import DecoderSettings, DropPolicy, Finished, FrameHead, Message, Opened
from sightline.serving.streams.sources import VideoSource
from sightline.serving.streams.stream_statistics import StatisticsView, StreamStatistics

State = Literal["starting", "running", "reconnecting", "ended", "failed"]
LONGEST_RECONNECT_S = 30.0
SHORTEST_TIMEOUT_S, LONGEST_TIMEOUT_S = 0.2, 5.0
RETRY_S = 0.05
logger = logging.getLogger("sightline.serving")


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done with a video.

    Attributes:
        model, version: as in any request; "" lets the model's policy choose, frame by frame.
        frames_per_second: rate of analysed frames; None: all.
        realtime: frames come when they are due, and late ones are dropped; False: every frame as fast as possible.
        drop, max_waiting_frames: which frame gives way when so many wait.
        confidence: of predictions at least, 0..1; None: the model's own.
        loop: begin again at the end of a file.
        name: for people.
    """

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    version: Annotated[str, msgspec.Meta(max_length=20)] = ""
    frames_per_second: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None
    realtime: bool = True
    drop: DropPolicy = "oldest"
    max_waiting_frames: Annotated[int, msgspec.Meta(ge=1)] = 4
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    loop: bool = False
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""


class StreamView(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as its callers see it."""

    id: str
    name: str
    state: State
    detail: str
    model: str
    version: str
    source: str
    video: Opened | None
    options: StreamOptions
    last_event: int
    statistics: StatisticsView


class Stream:
    """A running stream; `run` is its task.

    Args:
        identity: unguessable.
        caller: whose it is. Each analysed frame counts for its limits, as a request does.
        settings: for the decoder.
        service: analyses frames.
        check_source: called before a live source is opened again; raises SightlineError when it may not be, but UnknownHost and
            Exhausted when that cannot be told now.
        events: what viewers read.
        clock: seconds, monotonic; the one that the decoder's process has as well.
        reconnect_s: before a live source is opened again; twice as long after each failure, at most 30 s.
    """

    def __init__(
        self,
        identity: str,
        *,
        caller: Caller,
        source: VideoSource,
        options: StreamOptions,
        settings: DecoderSettings,
        service: InferenceService,
        check_source: Callable[[], Awaitable[None]],
        events: EventLog,
        clock: Callable[[], float],
        reconnect_s: float = 1.0,
    ) -> None:
        self.id = identity
        self.caller = caller
        self.events = events
        self.statistics = StreamStatistics(clock)
        self.state: State = "starting"
        self.detail = ""
        self.stop_detail = "the stream was stopped"
        self.viewers = 0
        self._source = source
        self._options = options
        self._settings = settings
        self._service = service
        self._check_source = check_source
        self._video: Opened | None = None
        self._decoder: DecoderProcess | None = None
        self._reconnect_s = reconnect_s
        self._timeout_s = find_timeout_s(options)

    @property
    def tenant(self) -> str:
        """Name of the caller's key."""
        return self.caller.name

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._options.model

    @property
    def is_over(self) -> bool:
        """Ended or failed."""
        return self.state in ("ended", "failed")

    @property
    def decoder_pid(self) -> int | None:
        """Process id of the decoder that runs now; None without one."""
        return None if self._decoder is None else self._decoder.pid

    def describe(self) -> StreamView:
        """Its state and statistics now."""
        return StreamView(
            id=self.id,
            name=self._options.name,
            state=self.state,
            detail=self.detail,
            model=self._options.model,
            version=self._options.version,
            source=self._source.name,
            video=self._video,
            options=self._options,
            last_event=self.events.last_number,
            statistics=self.statistics.read(),
        )

    async def run(self) -> None:
        """Show the video to its end, to the state "ended" or "failed". Raises nothing but its own cancellation."""
        try:
            await self._run_with_reconnects()
        except SightlineError as error:
            self._end("failed", str(error))
        except Exception:
            logger.exception("internal error in stream %s", self.id)
            self._end("failed", "the server failed on this stream; its log has the details")

    def close(self) -> None:
        """Let go of the source, once, when the task is over; one that was cancelled has ended by that."""
        if not self.is_over:
            self._end("ended", self.stop_detail)
        self._source.close()

    async def _run_with_reconnects(self) -> None:
        wait_s = self._reconnect_s
        while True:
            last = await self._run_decoder()
            self.statistics.end_decoder()
            is_live = self._source.url and self._video is not None and self._video.duration_s is None
            if not is_live:
                self._end("failed" if last.error else "ended", last.error or last.remark)
                return
            if last.counts.read:
                wait_s = self._reconnect_s
            wait_s = await self._wait_for_source(last.error or "the source ended", wait_s)
            self.statistics.reconnects += 1

    async def _wait_for_source(self, reason: str, wait_s: float) -> float:
        """Until the source may be opened again. Returns: how long to wait the next time. Raises: SightlineError when never."""
        while True:
            self.state, self.detail = "reconnecting", f"{reason}; opened again in {wait_s:g} s"
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_RECONNECT_S)
            try:
                await self._check_source()
                return wait_s
            except (UnknownHost, Exhausted) as error:  # name servers fail as cameras do, and come back
                reason = str(error)

    async def _run_decoder(self) -> Finished:
        """One decoder process from start to end. Returns: its last message."""
        loop = asyncio.get_running_loop()
        inbox: asyncio.Queue[tuple[FrameHead | Finished, np.ndarray | None]] = asyncio.Queue()

        def receive(message: Message, image: np.ndarray | None) -> None:
            if isinstance(message, Opened):
                self._begin(message)
                return
            self.statistics.set_counts(message.counts)
            if isinstance(message, FrameHead | Finished):
                inbox.put_nowait((message, image))

        def pass_on(message: Message, image: np.ndarray | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(receive, message, image)

        decoder = self._decoder = DecoderProcess(self._settings, pass_on)
        decoder.start()
        try:
            while True:
                message, image = await inbox.get()
                if isinstance(message, Finished):
                    return message
                assert image is not None
                await self._analyse(message, image)
                decoder.ask()
        finally:
            decoder.stop()
            self._decoder = None
            await asyncio.shield(asyncio.to_thread(decoder.join))

    def _begin(self, opened: Opened) -> None:
        """The source is open: ask for the first frame, and without time to keep for a second, prepared meanwhile."""
        self._video = opened
        self.state, self.detail = "running", ""
        if self._decoder is not None:
            self._decoder.ask(1 if self._options.realtime else 2)

    async def _analyse(self, head: FrameHead, image: np.ndarray) -> None:
        """One frame through the model, and its event. Raises: SightlineError when no frame can be analysed."""
        call = Call(
            model=self._options.model,
            version=self._options.version,
            images=(image,),
            write_answer=partial(write_annotations, confidence=self._options.confidence),
            tenant=self.tenant,
            timeout_s=self._timeout_s,
            hastens=False,  # it is how long a frame is worth anything, and no claim on those who wait too
        )
        while True:
            quota, reason = self.caller.quota, "limit"
            if quota.enter_frame():
                try:
                    version, annotations = await self._service.infer(call)
                    break
                except Exhausted as error:
                    reason = name_drop(error)
                finally:
                    quota.leave_frame()
            if self._options.realtime:
                self.statistics.add_drop(reason)
                return
            await asyncio.sleep(RETRY_S)  # nothing may be lost: the same frame again
        latency_s = self.statistics.add_result(head.due_s)
        self.events.append("frame", self._write_event(head, image, version, annotations, latency_s))

    def _write_event(self, head: FrameHead, image: np.ndarray, version: int, annotations: bytes, latency_s: float) -> bytes:
        height, width = image.shape[:2]
        return msgspec.json.encode(
            {
                "type": "frame",
                "id": self.events.last_number + 1,
                "stream": self.id,
                "model": self._options.model,
                "version": version,
                "frame": head.index,
                "repeat": head.repeat,
                "pts": head.pts,
                "time_s": round(head.time_s, 6),
                "latency_ms": round(latency_s * 1000, 3),
                "image": {"width": width, "height": height},
                "annotations": msgspec.Raw(annotations),
            }
        )

    def _end(self, state: Literal["ended", "failed"], detail: str) -> None:
        self.state, self.detail = state, detail
        self.statistics.end()
        message = {"type": "end", "id": self.events.last_number + 1, "stream": self.id, "state": state, "detail": detail}
        self.events.append("end", msgspec.json.encode(message))
        self.events.close()


def write_annotations(facts: ServedFacts, inferred: Inferred, confidence: float | None) -> tuple[int, bytes]:
    """Version and annotations of one frame as JSON, as `/predict` gives them; runs on the thread that inferred."""
    if facts.decode is None:
        raise InvalidInput(f"expected a model that answers with annotations, got {facts.name} of task {facts.task}")
    (found,) = decode_outputs(facts.decode, inferred.outputs, inferred.placements, facts.table, confidence)
    return facts.version, msgspec.json.encode(found)


def find_timeout_s(options: StreamOptions) -> float | None:
    """How long a frame may wait for the Device: as long as frames may wait at all by the policy; None: for ever."""
    if not options.realtime:
        return None
    allowed_s = options.max_waiting_frames / (options.frames_per_second or 25)
    return min(max(allowed_s, SHORTEST_TIMEOUT_S), LONGEST_TIMEOUT_S)


def name_drop(error: Exhausted) -> str:
    """The reason as statistics name it."""
    if isinstance(error, QueueTimeout):
        return "timeout"
    return "queue_full" if isinstance(error, QueueFull) else "unavailable"
