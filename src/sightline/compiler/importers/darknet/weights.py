"""Read a Darknet weights file: a short header, then float32 numbers without names, in the order the layers want them.

Nothing in the file says which layer a number belongs to. So the only check there is, that it holds exactly as many numbers as
the cfg asks for, is made strictly (Darknet itself reads on beyond the end of the file).
"""

import math
import struct
from pathlib import Path

import numpy as np

from sightline.core.errors import InvalidInput, Unsupported

MAX_WEIGHT_BYTES = 2_000_000_000  # an ONNX file with its weights inside ends at 2 GB
TRANSPOSED = 1000  # versions above it say that fully connected weights are transposed (parser.c, load_weights_upto)


class WeightReader:
    """The numbers of a weights file, taken from the front.

    Raises: InvalidInput for a file too short for its header; Unsupported for one too large or with transposed weights.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        size = path.stat().st_size
        if size > MAX_WEIGHT_BYTES:
            raise Unsupported(f"{path.name} has {size} bytes, more than the {MAX_WEIGHT_BYTES} that fit into one ONNX file")
        header_bytes = read_header_size(path)
        if (size - header_bytes) % 4:
            raise InvalidInput(
                f"expected {path.name} to hold 4-byte numbers behind a header of {header_bytes} bytes, got {size} bytes; "
                "the file is cut or damaged"
            )
        self._values = np.memmap(path, "<f4", "r", header_bytes) if size > header_bytes else np.empty(0, np.float32)
        self._used = 0

    def take(self, shape: tuple[int, ...], layer: str) -> np.ndarray:
        """The next numbers as float32 of this shape. Raises: InvalidInput when there are not enough, or one is not finite."""
        count = math.prod(shape)
        left = len(self._values) - self._used
        if count > left:
            raise InvalidInput(
                f"expected {count} more numbers in {self._path.name} for {layer}, got {left} of {len(self._values)}; "
                "the file is cut or belongs to another cfg"
            )
        values = np.array(self._values[self._used : self._used + count], np.float32).reshape(shape)
        if not np.isfinite(values).all():
            raise InvalidInput(f"expected finite numbers in {self._path.name} for {layer}, got NaN or infinity; it is damaged")
        self._used += count
        return values

    def finish(self) -> None:
        """Check that nothing is left. Raises: InvalidInput."""
        if self._used != len(self._values):
            raise InvalidInput(
                f"expected {self._used} numbers in {self._path.name} for the layers of the cfg, got {len(self._values)}; "
                "it belongs to another cfg"
            )


def read_header_size(path: Path) -> int:
    """Bytes before the numbers: three integers of the version, then the count of pictures seen, 32 bits up to version 0.1 and
    64 since (parser.c, load_weights_upto). Raises: InvalidInput, Unsupported."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 16:
        raise InvalidInput(f"expected a Darknet weights file with a header of 16 or 20 bytes, got {len(head)} in {path.name}")
    major, minor, _ = struct.unpack_from("<3i", head)
    if major > TRANSPOSED or minor > TRANSPOSED:
        raise Unsupported(
            f"{path.name} says that its weights are transposed (version {major}.{minor}), which we cannot carry over"
        )
    if major < 0 or minor < 0:
        raise InvalidInput(f"expected a Darknet weights file, got one of version {major}.{minor}: {path.name}")
    size = 20 if major * 10 + minor >= 2 else 16
    if len(head) < size:
        raise InvalidInput(f"expected a Darknet weights file with a header of {size} bytes, got {len(head)} in {path.name}")
    return size
