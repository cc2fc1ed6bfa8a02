"""The server's end of a decoder process: one thread starts it, hears it, waits for its end, and reports everything once.

The thread owns the process: on Linux the kernel ends a decoder together with the thread that started it, so none outlives the
server, however that ends. What the process says is checked, for a hostile video may have taken it over: only frames that were
asked for come, one word of the video, and word of progress once a second. So whoever hears it is not flooded.
"""

import contextlib
import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import msgspec
import numpy as np

from sightline.serving.streams.messages import (
    MESSAGE,
    Counts,
    DecoderSettings,
    Finished,
    FrameHead,
    Message,
    Opened,
    pack,
    unpack,
)

COMMAND = (sys.executable, "-P", "-m", "sightline.serving.streams.decoder")
SILENCE_S = 30.0  # a decoder speaks every second
DEATH_S = 5.0  # between the end of its pipe and its own
SPARE_WORDS = 10  # of progress, beyond one a second
PIPE_BYTES = 1 << 20
PADDING_BYTES = 256  # of a line at most; FFmpeg ends lines where 64 bytes and often 64 pixels do: 189 bytes of padding
PADDED_TIMES = 2  # what a frame may take with its padding, of what the largest one takes without
STOPPED = "stopped"
# All a decoder needs to start; keys and tokens of the server are none of its business.
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT")


OnMessage = Callable[[Message, np.ndarray | None], None]
logger = logging.getLogger("sightline.serving")


class UnaskedError(ValueError):
    """The decoder said what nobody waits for."""


class DecoderProcess:
    """A decoder process and the thread that reads it.

    Args:
        settings: what it decodes, and how.
        on_message: called in the thread with every message, and with the upright picture `uint8 (H, W, 3)` RGB of a frame.
            The last one is a `Finished`, also when the process died or this thread failed.
        silence_s: a process that says nothing for so long is ended.
    """

    def __init__(self, settings: DecoderSettings, on_message: OnMessage, silence_s: float = SILENCE_S) -> None:
        self._settings = settings
        self._on_message = on_message
        self._silence_s = silence_s
        self._counts = Counts()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._due_frames = 0  # asked for and not here yet
        self._words = 0  # of progress
        self._is_opened = False
        self._began_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="stream-decoder", daemon=True)

    def start(self) -> None:
        """Begin; `settings.descriptor` must stay open until the last message."""
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the process; None before it runs."""
        return None if self._process is None else self._process.pid

    def ask(self, count: int = 1) -> None:
        """Ask for so many more frames; never waits. Only after the first message."""
        with self._lock:
            if self._process is None or self._is_stopped:
                return
            assert self._process.stdin is not None
            self._due_frames += count
            try:
                os.write(self._process.stdin.fileno(), bytes(count))
            except OSError:
                return  # it has died: the thread says so

    def stop(self) -> None:
        """End the process; does not wait. The last message comes nevertheless."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def join(self, timeout_s: float = 10.0) -> None:
        """Wait for the end of the thread. Blocking."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            last = self._decode()
        except Exception:  # the border of the thread: whoever waits for the last message would wait for ever
            logger.exception("internal error in the thread of a decoder")
            last = Finished(error="the server failed on this video; its log has the details", counts=self._counts)
        self._on_message(last, None)

    def _decode(self) -> Finished:
        """From the start of the process to its end. Returns: the last message."""
        try:
            process = self._start_process()
        except OSError as error:
            return Finished(error=f"the decoder cannot be started: {error.strerror}", counts=self._counts)
        if process is None:
            return Finished(error=STOPPED, counts=self._counts)
        try:
            return self._hear(process)
        finally:
            self.stop()
            with process:  # closes the pipes and waits
                pass

    def _start_process(self) -> subprocess.Popen[bytes] | None:
        """Start it and tell it what to do; None when it is no longer wanted."""
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        with self._lock:
            if self._is_stopped:
                return None
            process = subprocess.Popen(
                COMMAND,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**environment, "MALLOC_ARENA_MAX": "1"},
                pass_fds=() if self._settings.url else (self._settings.descriptor,),
            )
            self._process = process
        assert process.stdin is not None and process.stdout is not None
        widen_pipe(process.stdout.fileno())
        with contextlib.suppress(BrokenPipeError):  # it has died: reading says so
            os.write(process.stdin.fileno(), pack(self._settings))
        return process

    def _hear(self, process: subprocess.Popen[bytes]) -> Finished:
        """Pass its messages on. Returns: its last one, or what its death means."""
        assert process.stdout is not None
        reader = _TimedReader(process.stdout.fileno(), self._silence_s)
        while True:
            try:
                message = unpack(reader.read, MESSAGE)
                if isinstance(message, Finished):
                    return message
                if isinstance(message, FrameHead):
                    self._on_message(message, self._read_frame(reader, message))
                else:
                    self._check_word(message)
                    self._on_message(message, None)
            except EOFError:
                return self._describe_death(process)
            except TimeoutError:
                return Finished(error=f"the decoder was silent for {self._silence_s:g} s and was ended", counts=self._counts)
            except UnaskedError:
                return Finished(
                    error="the decoder said what nobody asked for and was ended; the video may be hostile", counts=self._counts
                )
            except MemoryError:
                return Finished(error="the server has no memory for a frame; try again later", counts=self._counts)
            except (ValueError, msgspec.DecodeError):
                return Finished(error="the decoder sent garbage and was ended; the video may be hostile", counts=self._counts)

    def _check_word(self, message: Message) -> None:
        """Raises: UnaskedError for a second word of the video, or too many of progress."""
        if isinstance(message, Opened):
            is_due, self._is_opened = not self._is_opened, True
        else:
            self._words += 1
            is_due = self._words <= time.monotonic() - self._began_s + SPARE_WORDS
        if not is_due:
            raise UnaskedError

    def _read_frame(self, reader: "_TimedReader", head: FrameHead) -> np.ndarray:
        """The pixels behind a head, upright. Raises: ValueError for sizes that cannot be; UnaskedError; MemoryError."""
        most, line_bytes = self._settings.max_pixels, head.line_bytes
        is_possible = head.width > 0 and head.height > 0 and 0 <= line_bytes - 3 * head.width <= PADDING_BYTES
        if not is_possible or head.width * head.height > most or head.height * line_bytes > PADDED_TIMES * 3 * most:
            raise ValueError(f"impossible frame of {head.width}x{head.height} pixels")
        with self._lock:
            if not self._due_frames:
                raise UnaskedError
            self._due_frames -= 1
        self._counts = head.counts
        lines = np.empty((head.height, line_bytes), np.uint8)
        reader.read_into(lines.data.cast("B"))
        picture = lines[:, : 3 * head.width].reshape(head.height, head.width, 3)  # (H, 3 W) -> (H, W, 3)
        upright = np.rot90(picture[::-1] if head.is_mirrored else picture, head.turns)
        return np.ascontiguousarray(upright)

    def _describe_death(self, process: subprocess.Popen[bytes]) -> Finished:
        if self._is_stopped:
            return Finished(error=STOPPED, counts=self._counts)
        try:
            code = process.wait(DEATH_S)
        except subprocess.TimeoutExpired:
            return Finished(error="the decoder closed its pipe and was ended; the video may be hostile", counts=self._counts)
        if code < 0:
            error = f"the decoder died of {name_signal(-code)}; the video may be damaged or need too much memory"
        else:
            error = f"the decoder ended without a word (exit code {code}); the video may be damaged"
        return Finished(error=error, counts=self._counts)


class _TimedReader:
    """Exact reads from a pipe whose writer may fall silent."""

    def __init__(self, descriptor: int, silence_s: float) -> None:
        self._descriptor = descriptor
        self._silence_ms = silence_s * 1000
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self, size: int) -> bytearray:
        """Raises: EOFError, TimeoutError."""
        content = bytearray(size)
        self.read_into(memoryview(content))
        return content

    def read_into(self, target: memoryview) -> None:
        """Fill the target. Raises: EOFError, TimeoutError."""
        while target:
            if not self._poll.poll(self._silence_ms):
                raise TimeoutError
            got = os.readv(self._descriptor, [target])
            if not got:
                raise EOFError
            target = target[got:]


def name_signal(number: int) -> str:
    """What a signal is called; most real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def widen_pipe(descriptor: int) -> None:
    """Let a whole frame into the pipe, so that its writer need not be woken every 64 KiB; where the system allows it."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            return  # beyond what a user may have in pipes: slower, not wrong
