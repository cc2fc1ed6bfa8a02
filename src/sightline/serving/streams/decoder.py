"""The decoder process of one stream: `python -m sightline.serving.streams.decoder`, fed through its standard input.

Video is untrusted and decoders are large C libraries, so this process may die without harm: it has no environment, no rights
to gain, a memory limit, and ends with its parent. It imports PyAV and little else. The main thread reads and decodes, keeping
time; a second one converts and sends the frames that were asked for; a third hears what is asked, and the end of the parent.
"""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import av
import av.error
import msgspec

from sightline.core.processes import end_with_parent
from sightline.data.video.orientation import Orientation
from sightline.serving.streams.messages import (
    SETTINGS,
    Counts,
    DecoderSettings,
    Finished,
    FrameHead,
    Message,
    Progress,
    pack,
    unpack,
)
from sightline.serving.streams.opening import (
    SourceError,
    describe_source,
    find_early_end,
    find_end_s,
    find_picture_stream,
    find_tick_s,
    find_time_s,
    has_times,
    open_source,
    refuse_size,
)
from sightline.serving.streams.pacing import CatchUp, FrameSelector, Pacer, PresentationOrder, Restraint
from sightline.serving.streams.waiting_frames import WaitingFrames

PROGRESS_EVERY_S = 1.0
STUCK_S = 30.0  # one packet that takes longer ends the process; a URL's own timeouts are shorter
AT_LIVE_EDGE_S = 0.02  # who waited so long for a packet is not behind: the packet was not there before
ERRORS_IN_A_ROW = 50  # a camera's line loses a packet now and then; so many mean that nothing will come any more
WAITING_SHARE = 4  # frames that wait may take a quarter of the memory; the codec keeps some of its own to refer to
FILE_NICENESS = 10  # weighs a tenth of the server's threads, and is still far from STUCK_S on a machine that is full
PR_SET_NO_NEW_PRIVS = 38

Due = tuple[Any, FrameHead]  # the decoded frame, and what to say of it once it is converted


class Decoding:
    """The state that the three threads share.

    Args:
        settings: as the server sent them.
        output: descriptor of the pipe to the server.
        cpu_clock: processor time of the process, seconds.
    """

    def __init__(self, settings: DecoderSettings, output: int, cpu_clock: Callable[[], float] = time.process_time) -> None:
        self.settings = settings
        self.counts = Counts()
        self.waiting: WaitingFrames[Due] = WaitingFrames(
            settings.drop, settings.max_waiting_frames, settings.memory_bytes // WAITING_SHARE
        )
        self.error = self.remark = ""
        self._output = output
        self._sending = threading.Lock()
        self._busy_since_s: float | None = None
        self._selector: FrameSelector | None = None
        self._pacer: Pacer | None = None
        self._restraint = None if settings.is_camera else Restraint(cpu_clock)
        self._catch_up = CatchUp()
        self._orientation = Orientation()
        self._left_out = False  # frames since the last wanted one, because decoding was behind
        self._last_index = -1
        self._packets = 0  # of this repeat, with those that are not to be shown
        self._end_s = 0.0  # of the latest of them
        self._errors_in_a_row = 0
        self._by_arrival = False  # a camera that gives no times: frames are shown as they come
        self._opened_s = time.monotonic()
        self._repeat = 0
        self._before_s = 0.0  # how long the repeats before this one were: for pace and choice time goes on
        self._first_s: float | None = None
        self._length_s = 0.0  # of this repeat so far, from its first frame to the latest

    def run(self) -> None:
        """Decode to the end; `error` says afterwards what went wrong, `remark` what was odd."""
        try:
            self._show_once()
            while self.settings.loop:
                self._repeat += 1
                self._show_once()
        except Exception as error:  # noqa: BLE001 - the border of the process: the server says it of the stream
            self.error = self._explain(error)
        finally:
            self.waiting.close()

    def _explain(self, error: Exception) -> str:
        """What ended decoding, in one line for the caller."""
        if isinstance(error, SourceError):
            return str(error)
        if isinstance(error, MemoryError):
            return f"the video needs more than the {self.settings.memory_bytes >> 20} MiB that a decoder may use"
        if isinstance(error, av.error.ExitError | TimeoutError) and self.settings.url:
            return f"the address was silent for {self.settings.read_timeout_s:g} s after frame {self.counts.read}"
        if isinstance(error, av.error.FFmpegError | OSError):
            return f"the video cannot be read after frame {self.counts.read}: {error.strerror}"
        return f"the decoder failed: {type(error).__name__}"

    def send_frames(self) -> None:
        """Send what is asked for until the end, and word of it in between; then the last message."""
        try:
            self._send_until_end()
        except BrokenPipeError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - the border of the process: the server says it of the stream
            self._give_up(self._explain(error))

    def _send_until_end(self) -> None:
        while not self.waiting.is_finished:
            due = self.waiting.take(PROGRESS_EVERY_S)
            counts = self._measure()
            if due is not None:
                self._send_frame(*due)
            elif counts.busy_s > STUCK_S:
                self._give_up(f"the decoder made no progress for {STUCK_S:g} s")
            elif not self.waiting.is_finished:
                self.send(Progress(counts=counts))
        self.send(Finished(error=self.error, remark=self.remark, counts=self._measure()))

    def send(self, message: Message, pixels: memoryview | None = None) -> None:
        """Write a message, and a frame's pixels behind it."""
        with self._sending:
            write_all(self._output, memoryview(pack(message)))
            if pixels is not None:
                write_all(self._output, pixels)

    def _give_up(self, error: str) -> NoReturn:
        """Say why and end the process, whatever its other threads do."""
        self.send(Finished(error=error, counts=self._measure()))
        os._exit(1)

    def _measure(self) -> Counts:
        since_s = self._busy_since_s
        self.counts.busy_s = 0.0 if since_s is None else time.monotonic() - since_s
        self.counts.cpu_s = time.process_time()
        self.counts.dropped = self.waiting.dropped
        self.counts.waiting = len(self.waiting)
        return self.counts

    def _send_frame(self, frame: Any, head: FrameHead) -> None:
        picture = frame.reformat(format="rgb24", threads=1)
        plane = picture.planes[0]
        pixels = memoryview(plane)[: plane.line_size * picture.height]
        converted = msgspec.structs.replace(head, width=picture.width, height=picture.height, line_bytes=plane.line_size)
        self.send(converted, pixels)
        if self._restraint is not None:
            self._restraint.note_sent()

    def _show_once(self) -> None:
        """The source from its beginning to its end. Raises: SourceError and what FFmpeg raises."""
        self._last_index, self._packets, self._end_s = -1, 0, 0.0
        self._first_s, self._length_s = None, 0.0
        self._busy_since_s = time.monotonic()
        with open_source(self.settings, self._give_up) as container:
            stream = find_picture_stream(container, self.settings.max_pixels)
            opened = describe_source(container, stream)
            is_live = bool(self.settings.url) and opened.duration_s is None
            if self._selector is None:
                self.send(opened)
                self._pacer = Pacer(time.monotonic, is_live) if self.settings.realtime else None
                self._by_arrival = is_live and not has_times(container)
                frame_s = 0.0 if self._by_arrival else 1 / (opened.frames_per_s or 1e9)
                self._selector = FrameSelector(self.settings.frames_per_second, find_tick_s(stream), frame_s)
            order = PresentationOrder()
            for packet in self._read_packets(container, stream):
                self._choose_skipping(packet, stream, self._selector)
                for frame in self._decode(packet, order):
                    self._offer(frame, stream, self._selector, order, is_live)
            if self._last_index < 0:
                raise SourceError("expected a video with frames, got none that can be decoded")
            self.remark = find_early_end(container, stream, self._packets, self._end_s)
            self._before_s += self._length_s + 1 / (opened.frames_per_s or 25)  # the last frame is shown for its time, too

    def _read_packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """The packets, with the time that reading and decoding each one takes watched."""
        packets = container.demux(stream)
        while True:
            began_s = self._busy_since_s = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                self._busy_since_s = None
                return
            if packet.size:
                self._packets += 1
                self._end_s = max(self._end_s, find_end_s(packet))
                self.counts.read += not packet.is_discard  # an edit list leaves it out: it is decoded for others alone
            waited_s = time.monotonic() - began_s
            if self.settings.url and self._pacer and waited_s > AT_LIVE_EDGE_S and self.counts.lag_s > AT_LIVE_EDGE_S:
                self._pacer.restart()
            yield packet
            if self._restraint is not None:
                self._busy_since_s = None
                time.sleep(self._restraint.find_rest_s())

    def _decode(self, packet: Any, order: PresentationOrder) -> list[Any]:
        """Frames that a packet completes; a damaged packet completes none. Raises: SourceError after many in a row."""
        if packet.pts is not None and not packet.is_discard:
            order.add_packet(packet.pts)
        try:
            frames: list[Any] = packet.decode()
        except MemoryError:
            raise
        except av.error.FFmpegError as error:
            self.counts.errors += 1
            self._errors_in_a_row += 1
            if self._errors_in_a_row >= ERRORS_IN_A_ROW:
                raise SourceError(f"the video is damaged after frame {self.counts.read}: {error.strerror}") from error
            return []
        self._errors_in_a_row = 0
        return frames

    def _choose_skipping(self, packet: Any, stream: Any, selector: FrameSelector) -> None:
        """Tell the decoder what it may leave out of this packet."""
        if packet.pts is None or not packet.time_base or self._by_arrival or packet.is_discard:
            stream.codec_context.skip_frame = "DEFAULT"
            return
        time_s = self._before_s + float(packet.pts * packet.time_base)
        skip = "DEFAULT"
        if self._pacer is not None:
            self.counts.lag_s = self._pacer.find_lag_s(time_s)
            if self.settings.drop != "none":
                skip = self._catch_up.find_skip(self.counts.lag_s, packet.is_keyframe)
                self._left_out |= skip != "DEFAULT"
        if skip == "DEFAULT" and selector.is_needless(time_s):
            skip = "NONREF"
        stream.codec_context.skip_frame = skip

    def _offer(self, frame: Any, stream: Any, selector: FrameSelector, order: PresentationOrder, is_live: bool) -> None:
        """Put a frame where it can be asked for, when it is wanted and due."""
        index = order.take_index(frame.pts)
        time_s = time.monotonic() - self._opened_s if self._by_arrival else find_time_s(frame, index, stream)
        self._first_s = time_s if self._first_s is None else self._first_s
        self._length_s = max(self._length_s, time_s - self._first_s)
        is_wanted, missed = selector.choose(self._before_s + time_s, index - self._last_index - 1)
        self._last_index = index
        if not is_wanted:
            return
        if self._left_out:
            self.counts.late += missed
            self._left_out = False
        if frame.width * frame.height > self.settings.max_pixels:
            raise SourceError(refuse_size(frame.width, frame.height, self.settings.max_pixels))
        self._busy_since_s = None
        due_s = time.monotonic()
        if self._pacer is not None:
            due_s = self._pacer.find_due_s(self._before_s + time_s)
            if not is_live:
                time.sleep(max(0.0, due_s - time.monotonic()))
        is_mirrored, turns = self._orientation.find(frame)
        head = FrameHead(
            index=index,
            repeat=self._repeat,
            pts=frame.pts,
            time_s=time_s,
            due_s=due_s,
            width=frame.width,
            height=frame.height,
            line_bytes=0,
            is_mirrored=is_mirrored,
            turns=turns,
            counts=self.counts,
        )
        self.waiting.put((frame, head), sum(plane.buffer_size for plane in frame.planes))
        self._busy_since_s = time.monotonic()


def write_all(descriptor: int, content: memoryview) -> None:
    """Write everything; a pipe takes as much as fits."""
    while content:
        content = content[os.write(descriptor, content) :]


def read_exactly(size: int) -> bytes:
    """So many bytes of the standard input. Raises: EOFError."""
    content = b""
    while len(content) < size:
        more = os.read(0, size - len(content))
        if not more:
            raise EOFError
        content += more
    return content


def hear_requests(waiting: WaitingFrames[Due]) -> None:
    """Each byte asks for a frame; the end of them is the end of the server."""
    while True:
        asked = os.read(0, 4096)
        if not asked:
            os._exit(0)
        waiting.ask(len(asked))


def give_up_rights(memory_bytes: int) -> None:
    """No core dumps, no written files, bounded memory; on Linux no new rights, and the end when the parent's thread ends."""
    wanted = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_AS: memory_bytes}
    for limit, most in wanted.items():
        _, hard = resource.getrlimit(limit)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (bound, bound))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    end_with_parent()


def main() -> None:
    """Hear what to decode, decode it, end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the server's to answer
    try:
        settings = unpack(read_exactly, SETTINGS)
    except EOFError:
        return
    give_up_rights(settings.memory_bytes)
    if not settings.is_camera:
        os.nice(FILE_NICENESS)
    output = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not reach the pipe
    decoding = Decoding(settings, output)
    threading.Thread(target=hear_requests, args=(decoding.waiting,), daemon=True).start()
    sender = threading.Thread(target=decoding.send_frames)
    sender.start()
    decoding.run()
    sender.join()


if __name__ == "__main__":
    main()
