"""Ranges of activations for uint8, chosen from what real pictures make of a tensor.

A range from minimum to maximum lets one rare value make every step coarse; a shorter one clips. So ranges shrunk step by step
are tried, and the one whose rounding and clipping together lose least is kept (Choukroun et al. 2019, "Low-bit Quantization of
Neural Networks for Efficient Inference", §3). Which of the two a network takes better, only its answers tell.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from sightline.compiler.graphs import expose_tensors, save_graph
from sightline.core.errors import Unsupported
from sightline.core.settings import read_settings
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

STEPS = 255  # of uint8
SHRUNK = np.linspace(1.0, 0.4, 25)
VALUES_OF_CHANNEL = 64  # kept of each channel and picture
VALUES_TRIED = 200_000


@dataclass(frozen=True)
class Range:
    """Of a uint8 tensor: value = (stored - zero_point) * scale."""

    scale: float
    zero_point: int

    def round_trip(self, values: np.ndarray) -> np.ndarray:
        """What is left of float values after rounding to steps and clipping."""
        stored = np.clip(np.round(values / self.scale) + self.zero_point, 0, STEPS)
        return ((stored - self.zero_point) * self.scale).astype(np.float32)


@dataclass
class TensorStatistics:
    """Values of a tensor `(N, C, H, W)` on calibration pictures.

    Attributes:
        low, high: `(C,)` smallest and largest.
        values: `(C, M)` some of them.
        size: (H, W).
    """

    low: np.ndarray
    high: np.ndarray
    values: np.ndarray
    size: tuple[int, int]

    def divide(self, factors: np.ndarray) -> None:
        """As if each channel had been divided by its positive factor `(C,)`."""
        self.low, self.high, self.values = self.low / factors, self.high / factors, self.values / factors[:, None]


def collect_statistics(
    model: onnx.ModelProto, input_name: str, samples: Sequence[np.ndarray], names: Sequence[str]
) -> dict[str, TensorStatistics]:
    """Statistics of tensors `(1, C, H, W)` over calibration pictures, which are run one at a time."""
    rng = np.random.default_rng(0)
    found: dict[str, list[TensorStatistics]] = {}
    for tensors in run_exposed(model, input_name, samples, names):
        for name, tensor in tensors.items():
            channels = np.moveaxis(tensor, 1, 0).reshape(tensor.shape[1], -1)
            picked = rng.integers(0, channels.shape[1], min(VALUES_OF_CHANNEL, channels.shape[1]))
            size = tensor.shape[2], tensor.shape[3]
            found.setdefault(name, []).append(TensorStatistics(channels.min(1), channels.max(1), channels[:, picked], size))
    return {name: _join(parts) for name, parts in found.items()}


def _join(parts: Sequence[TensorStatistics]) -> TensorStatistics:
    low, high = np.min([one.low for one in parts], axis=0), np.max([one.high for one in parts], axis=0)
    return TensorStatistics(low, high, np.hstack([one.values for one in parts]), parts[0].size)


def run_exposed(
    model: onnx.ModelProto, input_name: str, samples: Sequence[np.ndarray], names: Sequence[str]
) -> Iterator[dict[str, np.ndarray]]:
    """Values of tensors, the graph's input may be among them, for each picture.

    Computed as the operators say, since NNCF's files hold activations with a scale for each channel, which ONNX Runtime's fused
    integer convolution refuses.
    """
    with TemporaryDirectory(prefix="sightline-observe-") as folder:
        graph = Path(folder) / "observed.onnx"
        save_graph(expose_tensors(model, names, keep_outputs=True), graph)
        with closing(load_backend("reference").open(graph, SessionOptions("fp32", 1, read_settings().threads))) as session:
            for sample in samples:
                tensors = {**session.infer({input_name: sample}), input_name: sample}
                yield {name: tensors[name] for name in names}


def choose_clipped(statistics: TensorStatistics) -> Range:
    """The range of least mean error to the fourth power; it always holds 0, which pads are made of.

    The power clips only what is so rare that a sample of the values misses it. The square, as in the paper, clips harder: on a
    picture with smaller faces than those that calibrated, confidences fell by 0.2.
    """
    values = statistics.values.ravel()
    values = values[:: -(-len(values) // VALUES_TRIED)].astype(np.float64)
    low, high = _find_bounds(statistics)
    tried = [make_range(low * part, high * part) for part in SHRUNK]
    return min(tried, key=lambda one: float(((one.round_trip(values) - values) ** 4).mean()))


def choose_whole(statistics: TensorStatistics) -> Range:
    """From the smallest to the largest value."""
    return make_range(*_find_bounds(statistics))


def _find_bounds(statistics: TensorStatistics) -> tuple[float, float]:
    return min(0.0, float(statistics.low.min())), max(0.0, float(statistics.high.max()))


def make_range(low: float, high: float) -> Range:
    """Of uint8 from `low` <= 0 to `high` >= 0. Raises: Unsupported when one of them is no finite number."""
    if not (isfinite(low) and isfinite(high)):
        raise Unsupported("a layer reads values that are not finite on the calibration pictures; calibrate on other pictures")
    scale = float(np.float32((high - low) / STEPS)) or 1.0
    return Range(scale, int(np.clip(round(-low / scale), 0, STEPS)))
