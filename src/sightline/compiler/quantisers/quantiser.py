"""The seam between the compiler and a quantiser: an FP32 ONNX file and real inputs in, a QDQ INT8 ONNX file out.

The file it writes is like the one it read: the same input and output names, dynamic batch, one file, IR <= 10, so every engine
that reads QDQ can be tried on it.
"""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from sightline.core.errors import Unsupported


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


class NothingToAdd(Unsupported):
    """A quantiser that continues another finds nothing left to do: no fault, so the report is silent about it."""


@dataclass(frozen=True)
class Guide:
    """What a quantiser that looks at accuracy is given.

    Attributes:
        batches: prepared inputs of calibration pictures, several pictures each.
        score: from (place of the batch, its outputs) pairs, of all batches or of some, to what decides, 0..1: the metric, or
            without labels the share of FP32's answers that are kept.
        max_drop: of that score.
        is_late: True when it must stop.
    """

    batches: Sequence[np.ndarray]
    score: Callable[[Iterable[tuple[int, Mapping[str, np.ndarray]]]], float]
    max_drop: float
    is_late: Callable[[], bool]


class Quantiser(ABC):
    """Post-training quantisation by one method.

    Attributes:
        package: that must be installed.
        continues: the quantiser whose file it starts from; None starts from the FP32 graph.
        guided_by: what it looks at while it works, through a Guide that it cannot do without: FP32's "answers" or "labels" of
            people; None looks at neither.
    """

    name: str
    description: str
    package: str = "onnx"
    continues: str | None = None
    guided_by: Literal["answers", "labels"] | None = None

    def missing(self) -> str | None:
        """What must be installed first, as one line, or None."""
        if importlib.util.find_spec(self.package):
            return None
        return f"quantising needs {self.package}; pip install 'sightline[compile]'"

    @abstractmethod
    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        """Write `out`, the INT8 twin of `graph`.

        Args:
            graph: FP32 ONNX file, or the one that the quantiser it continues wrote.
            out: QDQ ONNX file to write: uint8 or symmetric int8 activations, int8 weights per channel.
            input_name: of the graph's only input.
            samples: prepared inputs `(1, ...)` float32 of real pictures.
            guide: for quantisers that look at accuracy; others leave it alone.

        Raises: Unsupported when the method cannot quantise this graph, NothingToAdd when there is no need to; Exhausted when
        the guide's time ran out.
        """
