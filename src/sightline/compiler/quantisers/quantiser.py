"""The seam between the compiler and a quantiser: an FP32 ONNX file and real inputs in, a QDQ INT8 ONNX file out.

The file it writes is like the one it read: the same input and output names, dynamic batch, one file, IR <= 10, so every engine
that reads QDQ can be tried on it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np


class QuantiserFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a quantiser did, for the report.

    Attributes:
        quantiser: its name in the table.
        package: the package that did it, with its version.
        settings: all that shapes the result.
        images: calibration pictures it used.
    """

    quantiser: str
    package: str
    settings: dict[str, object]
    images: int


class Quantiser(Protocol):
    """Post-training quantisation by one method."""

    name: str
    description: str

    def missing(self) -> str | None:
        """What must be installed first, as one line, or None."""
        ...

    def quantise(self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray]) -> QuantiserFacts:
        """Write `out`, the INT8 twin of `graph`.

        Args:
            graph: FP32 ONNX file.
            out: QDQ ONNX file to write: uint8 activations, int8 weights per channel.
            input_name: of the graph's only input.
            samples: prepared inputs `(1, ...)` float32 of real pictures.

        Raises: Unsupported when the method cannot quantise this graph.
        """
        ...
