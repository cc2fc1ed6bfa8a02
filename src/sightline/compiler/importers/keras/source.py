"""The Keras model as Keras runs it, in a process of its own (`keras.process`), which this end of the pipe speaks to."""

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.importers.importer import Tensors
from sightline.compiler.importers.keras.network import KerasTensor
from sightline.compiler.importers.messages import read_arrays, read_head, send
from sightline.core.errors import Exhausted, InvalidInput, Unsupported

BACKENDS = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "torch": ("torch",), "jax": ("jax",)}  # and their packages
START_TIMEOUT_S = 300.0  # TensorFlow takes seconds to load, minutes on a busy machine
RUN_TIMEOUT_S = 600.0
LOG_BYTES = 600  # of the process's last words in an error


class KerasSource:
    """A SourceNetwork.

    Args:
        path: the model's file.
        tensors: where Keras has the graph's tensors, by name.
        outputs: names of the graph's outputs.
        input_axes: order that turns the graph's input axes into Keras's.
    """

    is_own_framework = True

    def __init__(
        self, path: Path, tensors: Mapping[str, KerasTensor], outputs: Sequence[str], input_axes: tuple[int, ...]
    ) -> None:
        self._tensors, self._outputs, self._input_axes = tensors, outputs, input_axes
        # TensorFlow on the CPU adds a wrong bias to channels-first depthwise convolutions (2.21, from Keras 3.15).
        is_first = input_axes == tuple(range(len(input_axes)))
        backend = find_backend(("torch", "tensorflow", "jax") if is_first else tuple(BACKENDS))
        if backend is None:
            raise Unsupported("Keras needs TensorFlow, PyTorch or JAX to run the model; pip install 'sightline[tensorflow]'")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        command = [sys.executable, "-m", "sightline.compiler.importers.keras.process", str(path.resolve()), backend]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        try:
            head, _ = self._receive(START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise
        if "error" in head:
            self.close()
            raise Unsupported(f"the installed Keras cannot run {path.name}: {head['error']}; save it again with Keras 3")
        self.how = str(head["how"])
        packages = f"keras {version('keras')} on {backend} {_find_version(backend)}"
        self.engine = packages if self.how == "loaded" else f"{packages}, {self.how}"

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for a batch `(N, C, H, W)` float32. Raises: InvalidInput where Keras refuses it; Exhausted when it died."""
        layers = [spot.layer for name in self._outputs if (spot := self._tensors[name]).output is None and spot.layer]
        outputs, found = self._ask(batch, layers)
        result = {}
        for name in self._outputs:
            spot = self._tensors[name]
            values = found.get(str(spot.layer)) if spot.output is None else outputs[spot.output]
            if values is None:
                raise Unsupported(f"Keras gives no output for {name}: its layer is called more than once")
            result[name] = values.transpose(spot.axes)
        return result

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """Tensors of the graph as Keras computes them; those of layers called more than once are left out."""
        spots = {name: spot for name in names if (spot := self._tensors.get(name)) is not None and spot.layer is not None}
        _, found = self._ask(batch, [str(spot.layer) for spot in spots.values()])
        result = {}
        for name, spot in spots.items():
            values = found.get(str(spot.layer))
            if values is not None:
                result[name] = values.transpose(spot.axes)
        return result

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _ask(self, batch: np.ndarray, layers: Sequence[str]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """All outputs of the model, and the outputs of some layers by path, in Keras's layout."""
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            raise InvalidInput("the source network is closed; import the file again")
        try:
            send(pipe, {"layers": list(layers)}, [batch.transpose(self._input_axes).astype(np.float32)])
        except BrokenPipeError:
            raise Exhausted(self._describe_death()) from None
        head, arrays = self._receive(RUN_TIMEOUT_S)
        if "error" in head:
            raise InvalidInput(f"Keras cannot run this batch {batch.shape}: {head['error']}")
        count = int(head["outputs"])
        return arrays[:count], dict(zip(head["layers"], arrays[count:], strict=True))

    def _receive(self, timeout_s: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        """One message; a process that stays silent is ended, which ends the wait."""
        watch = threading.Timer(timeout_s, self._process.kill)
        watch.start()
        try:
            pipe = self._process.stdout
            head = None if pipe is None else read_head(pipe)
            if pipe is None or head is None:
                raise Exhausted(self._describe_death())
            return head, read_arrays(pipe, int(head.get("outputs", 0)) + len(head.get("layers", ())))
        except (EOFError, ValueError):
            raise Exhausted(self._describe_death()) from None
        finally:
            watch.cancel()

    def _describe_death(self) -> str:
        self._process.kill()
        code = self._process.wait()
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - LOG_BYTES))
        last = " ".join(self._log.read().decode("utf-8", "replace").split())
        return f"the process that runs Keras ended with code {code}; its last words: {last or 'none'}"


def find_backend(order: Sequence[str] = tuple(BACKENDS)) -> str | None:
    """The back end Keras shall compute with, the first that is installed; None without any."""
    return next((name for name in order if importlib.util.find_spec(name)), None)


def _find_version(backend: str) -> str:
    for package in BACKENDS[backend]:
        with contextlib.suppress(PackageNotFoundError):
            return version(package)
    return "of unknown version"
