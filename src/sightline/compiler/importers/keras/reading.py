"""Read a Keras file in a small process of its own with bounded memory.

The HDF5 library believes the lengths it finds: four damaged bytes make it fill 4 GiB before it notices. So it reads where that
is cut short: the process may use a few times the file's size, and what it read comes over a pipe as JSON and arrays.

Run as: python -m sightline.compiler.importers.keras.reading FILE
"""

import contextlib
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sightline.compiler.importers.keras.config import Model, read_model
from sightline.compiler.importers.keras.files import open_keras_file
from sightline.compiler.importers.keras.weights import Weights, read_weights
from sightline.compiler.importers.messages import open_replies, read_arrays, read_head, send
from sightline.core.errors import InvalidInput, SightlineError, find_public_type, make_public

MEMORY_BYTES = 1 << 30  # address space of Python, NumPy and h5py, which they reserve rather than use
MEMORY_PER_FILE = 4  # the file's bytes, its arrays, their copies on the way out
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class KerasContent:
    """What a file holds.

    Attributes:
        version: of the Keras that wrote it.
        weights: the arrays of each layer that has any, by the layer's path.
    """

    model: Model
    version: tuple[int, int]
    weights: Weights


def read_keras_file(path: Path) -> KerasContent:
    """Read a file through a process that can fail. Raises: InvalidInput, Unsupported."""
    command = [sys.executable, "-P", "-m", "sightline.compiler.importers.keras.reading", str(path.resolve())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        watch = threading.Timer(TIMEOUT_S, process.kill)
        watch.start()
        try:
            return _receive(process.stdout, path.name) if process.stdout is not None else _give_up(path.name)
        finally:
            watch.cancel()
            process.kill()


def read_in_process(path: Path) -> tuple[KerasContent, dict[str, Any]]:
    """The content of a file and its configuration, read here. Raises: InvalidInput, Unsupported."""
    with open_keras_file(path) as file:
        model = read_model(file.config)
        return KerasContent(model, file.version, read_weights(file, model)), file.config


def _receive(pipe: IO[bytes], label: str) -> KerasContent:
    try:
        head = read_head(pipe)
        if head is None:
            return _give_up(label)
        if "error" in head:
            raise make_public(head["kind"], head["error"])
        major, minor = head["version"]
        weights = {path: read_arrays(pipe, count) for path, count in head["weights"].items()}
    except (EOFError, ValueError):
        return _give_up(label)
    return KerasContent(read_model(head["config"]), (major, minor), weights)


def _give_up(label: str) -> KerasContent:
    raise InvalidInput(f"{label}: the HDF5 library cannot read it within bounds; the file is damaged, fetch it again")


def _limit_memory(path: Path) -> None:
    most = MEMORY_BYTES + MEMORY_PER_FILE * path.stat().st_size
    with contextlib.suppress(ValueError, OSError):  # a stricter limit is in force
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Read the file named on the command line and write its content to the pipe."""
    path, pipe = Path(sys.argv[1]), open_replies()
    _limit_memory(path)
    try:
        content, config = read_in_process(path)
    except SightlineError as error:
        send(pipe, {"error": str(error), "kind": find_public_type(error)})
        return
    counts = {name: len(arrays) for name, arrays in content.weights.items()}
    head = {"config": config, "version": content.version, "weights": counts}
    send(pipe, head, [array for arrays in content.weights.values() for array in arrays])


if __name__ == "__main__":
    main()
