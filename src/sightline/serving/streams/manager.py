"""The streams of a server: who may have how many, where their videos may lie, and the end of all when the server ends."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sightline.core.errors import Exhausted, InvalidInput, NotFound
from sightline.core.manifests import TENSOR_TASKS
from sightline.serving.http.keys import Caller
from sightline.serving.http.refusals import Refusal
from sightline.serving.http.tls import find_authorities, make_client_context
from sightline.serving.inference.service import InferenceService
from sightline.serving.streams.events import EventLog
from sightline.serving.streams.messages import DecoderSettings
from sightline.serving.streams.sources import VideoSource, open_file_source, parse_url
from sightline.serving.streams.stream import Stream, StreamOptions
from sightline.serving.streams.stream_metrics import StreamMetrics

CheckUrl = Callable[[str], Awaitable[None]]
Renew = Callable[[Caller], Caller | None]


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what streams may use.

    Attributes:
        streams, streams_per_tenant: that run at the same time, or whose videos are being sent.
        kept: streams that are over and can still be read; of the tenant that has most of them the first that ended goes first.
        viewers: connections that read one stream's events.
        waiting_frames: largest `max_waiting_frames` of a stream.
        upload_bytes: of one uploaded video; it goes to a file as it comes, so all of them take `streams` times as much disk.
        frame_pixels: of one frame.
        decoder_bytes: address space of one decoder process.
        open_timeout_s, read_timeout_s: how long a URL may stay silent.
        reconnect_s: before a live source that ended is opened again; doubles up to 30 s.
        kept_events, kept_event_bytes: of each stream, for viewers who come late or back.
        keep_alive_s: between comments to a viewer while nothing happens.
    """

    streams: int = 16
    streams_per_tenant: int = 8
    kept: int = 16
    viewers: int = 32
    waiting_frames: int = 32
    upload_bytes: int = 64 << 20
    frame_pixels: int = 4096 * 2304
    decoder_bytes: int = 1 << 30
    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    reconnect_s: float = 1.0
    kept_events: int = 512
    kept_event_bytes: int = 4 << 20
    keep_alive_s: float = 15.0


async def refuse_every_url(url: str) -> None:
    """The rule for addresses when the operator allows none. Raises: InvalidInput."""
    raise InvalidInput("this server opens no addresses; upload the video, or ask its operator for --allow-stream-urls")


def close_opened(opening: "asyncio.Task[VideoSource]") -> None:
    """Close what a task has opened that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class StreamManager:
    """Starts, finds and ends streams. All on one event loop.

    Args:
        service: analyses frames.
        folder: whose files may be named as a source; None: none.
        check_url: raises SightlineError for addresses that may not be opened.
        ca_file: PEM file of the authorities to trust for https and rtsps; None: those of the system, or of SSL_CERT_FILE.
        limits: see there.
        metrics: told of the beginning and end of each stream.
        renew: what a caller is now that the keys may have changed; None: its key is gone.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        service: InferenceService,
        *,
        folder: Path | None = None,
        check_url: CheckUrl = refuse_every_url,
        ca_file: Path | None = None,
        limits: StreamLimits | None = None,
        metrics: StreamMetrics | None = None,
        renew: Renew = lambda caller: caller,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or StreamLimits()
        self._service = service
        self._folder = folder
        self._check_url = check_url
        self._ca_file = ca_file
        self._metrics = metrics or StreamMetrics()
        self._renew = renew
        self._clock = clock
        self._streams: dict[str, Stream] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._over: list[Stream] = []  # that are kept, in the order in which they ended
        self._coming: list[str] = []  # tenants of streams that are being asked for
        self._is_closed = False

    async def start(self) -> None:
        """Take streams. Raises: NotFound when the folder of videos, or the file of authorities, is not there; InvalidInput."""
        if self._folder is not None and not self._folder.is_dir():
            raise NotFound(f"expected a folder of videos, got {self._folder}, which is none; correct --stream-files")
        if self._ca_file is not None:
            make_client_context(self._ca_file)
        self._is_closed = False

    async def close(self) -> None:
        """End every stream and wait until its decoder is gone; viewers are told. Takes no streams afterwards."""
        self._is_closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open_file(self, name: str) -> VideoSource:
        """A file of the operator's folder. Raises: InvalidInput, NotFound."""
        if self._folder is None:
            raise InvalidInput("this server has no folder of videos; upload the video, or ask its operator for --stream-files")
        opening = asyncio.create_task(asyncio.to_thread(open_file_source, self._folder, name))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:  # the client hung up; the thread opens the file all the same
            opening.add_done_callback(close_opened)
            raise

    async def open_url(self, url: str) -> VideoSource:
        """An address that may be opened. Raises: InvalidInput, or what the rule raises."""
        source = parse_url(url)
        await self._check_url(source.url)
        return source

    @contextmanager
    def hold_place(self, tenant: str) -> Iterator[None]:
        """Count a stream that is being asked for as if it ran; `create` it, or not, right after. Raises: Exhausted."""
        self._check_room(tenant)
        self._coming.append(tenant)
        try:
            yield
        finally:
            self._coming.remove(tenant)

    def _check_room(self, tenant: str) -> None:
        """Raises: Exhausted when no further stream may run."""
        tenants = [stream.tenant for stream in self._streams.values() if not stream.is_over] + self._coming
        mine = tenants.count(tenant)
        if self._is_closed:
            raise Exhausted("the server is ending; try again in a moment")
        if mine >= self.limits.streams_per_tenant:
            raise Exhausted(
                f"{mine} of your streams run or are being sent, which is the limit; delete one with DELETE /v2/streams/ID"
            )
        if len(tenants) >= self.limits.streams:
            raise Exhausted(f"{len(tenants)} streams run or are being sent, which is the limit of this server; try again later")

    def check_model(self, options: StreamOptions) -> None:
        """Raises: NotFound, Exhausted while it loads, InvalidInput for a model without annotations."""
        served = self._service.host.acquire(options.model, options.version)
        try:
            facts = served.facts
        finally:
            self._service.host.release(served)
        if facts.decode is None or facts.task in TENSOR_TASKS:
            raise InvalidInput(
                f"expected a model that answers pictures with annotations, got {facts.name} of task {facts.task}"
            )

    def create(self, source: VideoSource, options: StreamOptions, caller: Caller) -> Stream:
        """Start a stream; from now on the source is the stream's to close, also when this raises.

        Raises: Exhausted, NotFound, InvalidInput; Refusal when the caller's key has gone or changed while the video came.
        """
        try:
            caller = self._check_caller(caller, options.model)
            self._check_room(caller.name)
            self.check_model(options)
            settings = self._make_settings(source, options)
        except BaseException:
            source.close()
            raise
        stream = Stream(
            secrets.token_hex(8),
            caller=caller,
            source=source,
            options=options,
            settings=settings,
            service=self._service,
            check_source=lambda: self._check_url(source.url),
            events=EventLog(self.limits.kept_events, self.limits.kept_event_bytes),
            clock=self._clock,
            reconnect_s=self.limits.reconnect_s,
        )
        self._streams[stream.id] = stream
        self._metrics.begin(stream)
        task = self._tasks[stream.id] = asyncio.create_task(stream.run(), name=f"stream {stream.id}")
        task.add_done_callback(lambda _: self._finish(stream))
        return stream

    def list_streams(self, tenant: str) -> list[Stream]:
        """The streams of a caller, oldest first."""
        return [stream for stream in self._streams.values() if stream.tenant == tenant]

    def find(self, identity: str, tenant: str) -> Stream:
        """Raises: NotFound, also for the streams of others."""
        stream = self._streams.get(identity)
        if stream is None or stream.tenant != tenant:
            raise NotFound(f"there is no stream {identity[:64]!r}; GET /v2/streams lists them")
        return stream

    async def delete(self, identity: str, tenant: str) -> None:
        """End a stream, wait until its decoder is gone, and forget it. Raises: NotFound."""
        stream = self.find(identity, tenant)
        task = self._tasks.get(identity)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(asyncio.wait([task]))
        self._streams.pop(stream.id, None)

    def heed_keys(self) -> None:
        """The keys have changed: streams get the new limits, and end when their key is gone or may not use the model now."""
        for stream in list(self._streams.values()):
            caller = self._renew(stream.caller)
            if caller is None:
                stream.stop_detail = "the API key of this stream was removed or replaced"
                stream.events.clear()
                del self._streams[stream.id]  # another key of this name may come, and must not read it
            elif not caller.may_use(stream.model):
                stream.caller, stream.stop_detail = caller, "the API key of this stream may not use its model any more"
            else:
                stream.caller = caller
                continue
            if (task := self._tasks.get(stream.id)) is not None:
                task.cancel()

    def _check_caller(self, caller: Caller, model: str) -> Caller:
        renewed = self._renew(caller)
        if renewed is None:
            raise Refusal(401, "the API key of this request was removed or replaced meanwhile; ask for a new one")
        renewed.check_model(model)
        return renewed

    def _finish(self, stream: Stream) -> None:
        stream.close()
        self._metrics.end(stream)
        self._tasks.pop(stream.id, None)
        self._over.append(stream)
        self._forget_old()

    def _make_settings(self, source: VideoSource, options: StreamOptions) -> DecoderSettings:
        limits = self.limits
        if options.max_waiting_frames > limits.waiting_frames:
            raise InvalidInput(
                f"expected max_waiting_frames of at most {limits.waiting_frames}, got {options.max_waiting_frames}"
            )
        if options.loop and source.url:
            raise InvalidInput("loop is for files; a live source is opened again by itself")
        return DecoderSettings(
            url=source.url,
            descriptor=source.descriptor,
            frames_per_second=options.frames_per_second,
            realtime=options.realtime,
            drop=options.drop if options.realtime else "none",
            max_waiting_frames=options.max_waiting_frames,
            loop=options.loop,
            max_pixels=limits.frame_pixels,
            memory_bytes=limits.decoder_bytes,
            open_timeout_s=limits.open_timeout_s,
            read_timeout_s=limits.read_timeout_s,
            formats=source.formats,
            protocols=source.protocols,
            ca_file=str(self._ca_file or find_authorities() or ""),
        )

    def _forget_old(self) -> None:
        self._over = [stream for stream in self._over if stream.id in self._streams]
        while len(self._over) > self.limits.kept:
            counts = Counter(stream.tenant for stream in self._over)
            most = max(counts.values())
            first = next(stream for stream in self._over if counts[stream.tenant] == most)
            self._over.remove(first)
            del self._streams[first.id]
