"""The network as TensorFlow runs it, in a process of its own (`tensorflow.process`), which this end of the pipe speaks to."""

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np

from sightline.compiler.importers.importer import Tensors
from sightline.compiler.importers.messages import read_arrays, read_head, send
from sightline.compiler.importers.openvino.input import TO_NCHW, TO_NHWC
from sightline.core.errors import Exhausted, InvalidInput, Unsupported

START_TIMEOUT_S = 300.0  # TensorFlow takes seconds to load, minutes on a busy machine
RUN_TIMEOUT_S = 600.0
LOG_BYTES = 600  # of the process's last words in an error
PACKAGES = ("tensorflow", "tensorflow-cpu")


class TensorflowSource:
    """A SourceNetwork; the process starts with the first batch.

    Args:
        path: frozen graph, or the folder of a SavedModel.
        signature: of the SavedModel; "" for a frozen graph.
        nhwc: whether the network takes `(N, H, W, C)`.
        outputs: names of the graph's outputs, and whether each is `(N, H, W, C)` in TensorFlow.
        layers: TensorFlow's name of each tensor of the graph that it has, by the graph's name.
    """

    is_own_framework = True

    def __init__(
        self, path: Path, signature: str, nhwc: bool, outputs: Sequence[tuple[str, bool]], layers: Mapping[str, str]
    ) -> None:
        self.engine = f"tensorflow {_find_version()}"
        self._command = [sys.executable, "-m", "sightline.compiler.importers.tensorflow.process", str(path.resolve())]
        self._command += [signature] if signature else []
        self._name, self._nhwc, self._outputs, self._layers = path.name, nhwc, tuple(outputs), layers
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._is_closed = False

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for a batch `(N, C, H, W)` float32. Raises: InvalidInput if TensorFlow refuses it, Exhausted if it died."""
        arrays = self._ask(batch, [name for name, _ in self._outputs])
        return {
            name: array.transpose(TO_NCHW) if is_nhwc else array
            for (name, is_nhwc), array in zip(self._outputs, arrays, strict=True)
        }

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """Tensors of the graph as TensorFlow computes them; those it has under no name of its own are left out."""
        final = dict(self._outputs)
        known = [name for name in names if name in self._layers and name not in final]
        arrays = self._ask(batch, [self._layers[name] for name in known]) if known else []
        found: dict[str, np.ndarray] = dict(zip(known, arrays, strict=True))
        if any(name in final for name in names):
            found.update((name, values) for name, values in self.run(batch).items() if name in names)
        return found

    def close(self) -> None:
        """End the process."""
        self._is_closed = True
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self._process.kill()
            self._process.wait()
        if self._log is not None:
            self._log.close()

    def _ask(self, batch: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """The tensors of these names, in TensorFlow's layout."""
        if self._is_closed:
            raise InvalidInput("the source network is closed; import the file again")
        pipe = self._start().stdin
        assert pipe is not None
        laid_out = batch.transpose(TO_NHWC) if self._nhwc else batch
        try:
            send(pipe, {"names": list(names)}, [laid_out.astype(np.float32)])
        except BrokenPipeError:
            raise Exhausted(self._describe_death()) from None
        head, arrays = self._receive(RUN_TIMEOUT_S)
        if "error" in head:
            raise InvalidInput(f"TensorFlow cannot run this batch {batch.shape}: {head['error']}")
        return arrays

    def _start(self) -> "subprocess.Popen[bytes]":
        """The process, once it has loaded the network. Raises: Unsupported when TensorFlow cannot."""
        if self._process is None:
            pipe = subprocess.PIPE
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
            self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=self._log)
            head, _ = self._receive(START_TIMEOUT_S)
            if "error" in head:
                self.close()
                raise Unsupported(f"the installed TensorFlow cannot run {self._name}: {head['error']}; save it again")
        return self._process

    def _receive(self, timeout_s: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        """One message; a process that stays silent is ended, which ends the wait."""
        assert self._process is not None
        watch = threading.Timer(timeout_s, self._process.kill)
        watch.start()
        try:
            pipe = self._process.stdout
            head = None if pipe is None else read_head(pipe)
            if pipe is None or head is None:
                raise Exhausted(self._describe_death())
            return head, read_arrays(pipe, int(head.get("tensors", 0)))
        except (EOFError, ValueError):
            raise Exhausted(self._describe_death()) from None
        finally:
            watch.cancel()

    def _describe_death(self) -> str:
        assert self._process is not None and self._log is not None
        self._process.kill()
        code = self._process.wait()
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - LOG_BYTES))
        last = " ".join(self._log.read().decode("utf-8", "replace").split())
        return f"the process that runs TensorFlow ended with code {code}; its last words: {last or 'none'}"


def _find_version() -> str:
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return "of unknown version"
