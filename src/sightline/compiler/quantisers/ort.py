"""ONNX Runtime's static quantiser: QDQ, int8 weights per channel, uint8 or symmetric int8 activations; two ways to ranges."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.graphs import load_graph, save_graph
from sightline.compiler.importing.packed_outputs import list_joins
from sightline.compiler.quantisers.failures import refuse_failures
from sightline.compiler.quantisers.quantiser import Guide, Quantiser, QuantiserFacts
from sightline.compiler.quantisers.threads import bound_threads
from sightline.core.host import read_cpu_facts

STRIDE = 4  # samples whose intermediate tensors are held at once
PERCENTILE_SAMPLES = 64  # histograms of every tensor cost about ten times a minimum and maximum
VNNI_FLAGS = {"avx512_vnni", "avx_vnni"}


class MinMaxQuantiser(Quantiser):
    """Ranges are the smallest and largest value seen."""

    name = "ort-minmax"
    description = "ONNX Runtime static quantisation, minimum and maximum"
    method = "MinMax"
    largest_sample_count: int | None = None
    is_symmetric = False

    def quantise(
        self, graph: Path, out: Path, input_name: str, samples: Sequence[np.ndarray], guide: Guide | None = None
    ) -> QuantiserFacts:
        """Write the INT8 twin of `graph`. Raises: Unsupported."""
        from onnxruntime import quantization as ort_quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        used = samples[: self.largest_sample_count]
        stride = min(STRIDE, len(used))
        used = used[: len(used) - len(used) % stride]
        activations = "QInt8" if self.is_symmetric else "QUInt8"
        reduce_range = not VNNI_FLAGS & set(read_cpu_facts()["flags"])  # type: ignore[call-overload]
        with tempfile.TemporaryDirectory(prefix="sightline-quantise-") as folder, quiet_output(), bound_threads():
            prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "quantised.onnx"
            with refuse_failures(self.name, graph, "onnxruntime"):
                quant_pre_process(graph, prepared, skip_symbolic_shape=True)
                joins = name_joins(prepared)
                ort_quantization.quantize_static(
                    prepared,
                    quantised,
                    SampleReader(input_name, used),
                    quant_format=ort_quantization.QuantFormat.QDQ,
                    per_channel=True,
                    reduce_range=reduce_range,
                    activation_type=ort_quantization.QuantType[activations],
                    weight_type=ort_quantization.QuantType.QInt8,
                    nodes_to_exclude=joins,
                    calibrate_method=ort_quantization.CalibrationMethod[self.method],
                    extra_options={"CalibStridedMinMax": stride, "ActivationSymmetric": self.is_symmetric},
                )
            save_graph(load_graph(quantised), out)
        settings = {
            "method": self.method,
            "per_channel": True,
            "activations": "int8, symmetric" if self.is_symmetric else "uint8",
            "weights": "int8",
            "7_bit": reduce_range,
        }
        return QuantiserFacts(
            quantiser=self.name,
            package=f"onnxruntime {metadata.version('onnxruntime')}",
            settings=settings,
            images=len(used),
        )


class PercentileQuantiser(MinMaxQuantiser):
    """Ranges leave out the outermost values: for networks whose rare extremes would make the steps too coarse."""

    name = "ort-percentile"
    description = "ONNX Runtime static quantisation, 99.999th percentile"
    method = "Percentile"
    largest_sample_count = PERCENTILE_SAMPLES


class SymmetricQuantiser(MinMaxQuantiser):
    """Ranges around zero in int8, zero point 0: what TensorRT and Qualcomm's QNN take; a step is up to twice as coarse."""

    name = "ort-symmetric"
    description = "ONNX Runtime static quantisation, symmetric int8 activations"
    is_symmetric = True


def name_joins(graph: Path) -> list[str]:
    """Names of the Concats at the end of a graph file, given there where they have none.

    They stay in float: boxes in pixels and scores, rounded together with one scale, leave no score but 0.
    """
    model = load_graph(graph)
    joins = list_joins(model)
    if not all(node.name for node in joins):
        for node in joins:
            node.name = node.name or f"join {node.output[0]}"
        save_graph(model, graph)
    return [node.name for node in joins]


class SampleReader:
    """Gives samples to ONNX Runtime's calibrators, which read them in strides."""

    def __init__(self, input_name: str, samples: Sequence[np.ndarray]) -> None:
        self._input_name = input_name
        self._samples = samples
        self._rest = iter(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Give only the samples from `start_index` to before `end_index` from now on."""
        self._rest = iter(self._samples[start_index:end_index])

    def get_next(self) -> dict[str, Any] | None:
        """The next sample, or None after the last."""
        sample = next(self._rest, None)
        return None if sample is None else {self._input_name: sample}


@contextlib.contextmanager
def quiet_output() -> Iterator[None]:
    """Hold back what the quantiser prints and the advice it gives through the root logger, to people who call it by hand."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
