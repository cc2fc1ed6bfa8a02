"""A source network that runs in a process of its own, so that its framework's threads, memory and crashes stay out of ours.

This end of the pipe: it starts the process, waits until that has loaded the network, and asks it batch by batch in the messages
of `messages`. The other end says first what it has to say of the network, then answers each request; an answer with `error` is
a refusal, after which it goes on. A process that stays silent is ended, which ends the wait.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sightline.compiler.importers.messages import Message, read_arrays, read_head, send
from sightline.core.errors import Exhausted, InvalidInput, Unsupported

START_TIMEOUT_S = 300.0  # TensorFlow takes seconds to load, minutes on a busy machine
RUN_TIMEOUT_S = 600.0
EXIT_TIMEOUT_S = 2.0
LOG_BYTES = 600  # of the process's last words in an error


class SourceProcess:
    """The process, once it has loaded the network.

    Args:
        framework: what it runs, as errors name it: "Keras".
        network: its file's name, for errors.
        arguments: of Python: `["-m", MODULE, FILE]`.
        remedy: what to do when the framework cannot load the network: "save it again".
        start_timeout_s, run_timeout_s: until it must have loaded the network, and answered a batch.

    Attributes:
        greeting: what the process said of the network.
        pid: of the process.

    Raises: Unsupported when the framework cannot load the network; Exhausted when the process died or was too slow.
    """

    def __init__(
        self,
        framework: str,
        network: str,
        arguments: Sequence[str],
        remedy: str,
        start_timeout_s: float = START_TIMEOUT_S,
        run_timeout_s: float = RUN_TIMEOUT_S,
    ) -> None:
        self._framework, self._run_timeout_s = framework, run_timeout_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-P", *arguments], stdin=pipe, stdout=pipe, stderr=self._log)
        self.pid = self._process.pid
        try:
            self.greeting, _ = self._receive(start_timeout_s)
            if "error" in self.greeting:
                raise Unsupported(f"the installed {framework} cannot run {network}: {self.greeting['error']}; {remedy}")
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any], batch: np.ndarray) -> Message:
        """The answer for a batch, laid out as the framework wants it; it is sent as float32.

        Raises: InvalidInput where the framework refuses it; Exhausted when the process died or was too slow.
        """
        pipe = self._process.stdin
        assert pipe is not None
        watch = threading.Timer(self._run_timeout_s, self._process.kill)
        watch.start()  # a child that is stuck does not read either
        try:
            send(pipe, request, [batch.astype(np.float32)])
        except BrokenPipeError:
            raise Exhausted(self._describe_death()) from None
        finally:
            watch.cancel()
        head, arrays = self._receive(self._run_timeout_s)
        if "error" in head:
            raise InvalidInput(f"{self._framework} cannot run this batch {batch.shape}: {head['error']}")
        return head, arrays

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _receive(self, timeout_s: float) -> Message:
        """One message, waited for so long."""
        watch = threading.Timer(timeout_s, self._process.kill)
        watch.start()
        try:
            pipe = self._process.stdout
            head = None if pipe is None else read_head(pipe)
            if pipe is None or head is None:
                raise Exhausted(self._describe_death())
            return head, read_arrays(pipe, head["arrays"])
        except (EOFError, ValueError):
            raise Exhausted(self._describe_death()) from None
        finally:
            watch.cancel()

    def _describe_death(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT_S)  # its pipe closes before it has ended with the code that tells why
        self._process.kill()
        code = self._process.wait()
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - LOG_BYTES))
        last = " ".join(self._log.read().decode("utf-8", "replace").split())
        return f"the process that runs {self._framework} ended with code {code}; its last words: {last or 'none'}"


def find_version(packages: Sequence[str]) -> str:
    """Version of the first of these packages that is installed."""
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return "of unknown version"
