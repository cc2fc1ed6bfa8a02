"""Each engine used by hand as its own documentation says, and ours: every side tells how many pictures it does in some seconds.

All sides take the same prepared pictures. A side is opened with a batch of eight; OpenVINO also in the way its documentation
recommends for throughput (hint THROUGHPUT, an asynchronous queue, single pictures).
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from sightline.compiler.compile import CompileResult
from sightline.runtime.backend import SessionOptions, Tensors
from sightline.runtime.backends.table import load_backend
from sightline.runtime.telemetry import silence_telemetry


class Side(Protocol):
    """Something that runs the network."""

    def measure(self, seconds: float) -> float:
        """Pictures a second, over about so many seconds."""
        ...

    def close(self) -> None:
        """Free its memory."""
        ...


class Loop:
    """One call after another on one batch."""

    def __init__(
        self, run: Callable[[np.ndarray], object], batch: np.ndarray, close: Callable[[], None] = lambda: None
    ) -> None:
        self._run, self._batch, self.close = run, batch, close
        for _ in range(2):
            run(batch)  # compiles and fills caches

    def measure(self, seconds: float) -> float:
        count, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds or not count:
            self._run(self._batch)
            count += len(self._batch)
        return count / elapsed


def run_eager(module: nn.Module, batch: np.ndarray, layout: torch.memory_format) -> Side:
    """PyTorch as it is."""
    net = copy.deepcopy(module).to(memory_format=layout)

    @torch.inference_mode()
    def run(data: np.ndarray) -> object:
        return net(torch.from_numpy(data).to(memory_format=layout))

    return Loop(run, batch)


def run_compiled(module: nn.Module, batch: np.ndarray) -> Side:
    """torch.compile with its weights frozen, without which it gains little on a CPU."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    net = torch.compile(copy.deepcopy(module).to(memory_format=torch.channels_last))

    @torch.no_grad()
    def run(data: np.ndarray) -> object:
        return net(torch.from_numpy(data).to(memory_format=torch.channels_last))

    return Loop(run, batch, close=torch._dynamo.reset)


def run_onnxruntime(graph: Path, batch: np.ndarray, threads: int) -> Side:
    """ONNX Runtime with its default optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Loop(lambda data: session.run(None, {name: data}), batch)


def run_openvino(graph: Path | Any, batch: np.ndarray, threads: int, precision: str) -> Side:
    """OpenVINO, hint LATENCY, the batch's shape."""
    core, model = read_openvino(graph)
    model.reshape(list(batch.shape))
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return Loop(lambda data: request.infer({0: data}), batch)


class OpenVinoQueue:
    """OpenVINO, hint THROUGHPUT, an AsyncInferQueue of single pictures."""

    def __init__(self, graph: Path | Any, batch: np.ndarray, threads: int, precision: str) -> None:
        import openvino

        core, model = read_openvino(graph)
        model.reshape([1, *batch.shape[1:]])
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        self._queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings))
        self._pictures = [batch[index : index + 1] for index in range(len(batch))]
        self.measure(0.1)

    def measure(self, seconds: float) -> float:
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds or not count:
            self._queue.start_async({0: self._pictures[count % len(self._pictures)]})
            count += 1
        self._queue.wait_all()
        return count / (time.perf_counter() - started)

    def close(self) -> None:
        del self._queue


def read_openvino(graph: Path | Any) -> tuple[Any, Any]:
    """A core, and the model: read from a file, or a copy of one made before."""
    silence_telemetry()
    import openvino

    core = openvino.Core()
    return core, core.read_model(graph) if isinstance(graph, Path) else graph.clone()


def quantise_onnxruntime(graph: Path, out: Path, samples: Sequence[np.ndarray], input_name: str) -> None:
    """As ONNX Runtime's documentation says: preprocess, then static quantisation to QDQ, per channel."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self._rest, None)
            return None if sample is None else {input_name: sample}

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(graph, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(prepared, out, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True)


def quantise_openvino(graph: Path, samples: Sequence[np.ndarray]) -> Any:
    """As OpenVINO's documentation says: NNCF's post-training quantisation of the model as OpenVINO reads it."""
    silence_telemetry()
    import nncf
    import openvino

    model = openvino.Core().read_model(graph)
    return nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples))


class ArtifactSide:
    """Our Artifact in its own engine and setting, as `Predictor.predict_stream` runs it, without reading pictures."""

    def __init__(self, result: CompileResult, batch: np.ndarray, input_name: str) -> None:
        manifest = result.manifest
        options = SessionOptions(manifest.precision, manifest.streams, manifest.threads)
        self._session = load_backend(manifest.engine).open(result.folder / manifest.graph_file, options)
        self._input_name = input_name
        self._batches = [batch[first : first + manifest.batch] for first in range(0, len(batch), manifest.batch)]
        self.measure(0.1)

    def measure(self, seconds: float) -> float:
        started = time.perf_counter()
        counts: list[int] = []

        def give() -> Iterator[Tensors]:
            while time.perf_counter() - started < seconds or not counts:
                part = self._batches[len(counts) % len(self._batches)]
                counts.append(len(part))
                yield {self._input_name: part}

        with closing(self._session.stream(give())) as results:
            for _ in results:
                pass
        return sum(counts) / (time.perf_counter() - started)

    def close(self) -> None:
        self._session.close()
