"""A .tflite file as LiteRT's interpreter runs it, or OpenVINO where LiteRT is not installed.

Both run the file's own graph: pictures are turned to its layout and type, results back to those of our graph. The files know
batch 1, so a batch is run picture by picture.
"""

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from sightline.compiler.importers.graph_writer import TO_NCHW
from sightline.compiler.importers.importer import SourceNetwork, Tensors
from sightline.compiler.importers.tflite.files import NUMPY_KINDS, TensorRecord, TfliteFile
from sightline.compiler.importers.tflite.graph import Layout, Shape, dequantise
from sightline.core.errors import InvalidInput, MissingPackage, Unsupported
from sightline.runtime.backends.openvino import get_core
from sightline.runtime.telemetry import silence_telemetry

Place = tuple[int, Layout]  # tensor of the file, and how our graph holds it
THREADS = 2


class LiteRtSource:
    """The file in LiteRT, TensorFlow Lite's runtime.

    Args:
        file: what was read of it.
        picture_shape: `(1, H, W, C)`.
        outputs, layers: tensors by the names of our graph.
    """

    is_own_framework = True

    def __init__(
        self, file: TfliteFile, picture_shape: Shape, outputs: Mapping[str, Place], layers: Mapping[str, Place]
    ) -> None:
        self.engine = f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
        self._file, self._shape = file, picture_shape
        self._outputs, self._layers = dict(outputs), {**outputs, **layers}
        self._content = mend_axes(file)
        self._watching: Any = None
        shows_all = {place for place, _ in outputs.values()} <= set(file.outputs)
        self._interpreter: Any = self._open(not shows_all)

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for `(N, C, H, W)` float32."""
        return self._run(self._interpreter, batch, self._outputs)

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """Tensors inside the network; the interpreter for that keeps all of them."""
        if self._watching is None:
            self._watching = self._open(True)
        return self._run(self._watching, batch, {name: self._layers[name] for name in names if name in self._layers})

    def close(self) -> None:
        """Free the interpreters."""
        self._interpreter = self._watching = None

    def _run(self, interpreter: Any, batch: np.ndarray, places: Mapping[str, Place]) -> Tensors:
        index = self._file.inputs[0]
        rows: dict[str, list[np.ndarray]] = {name: [] for name in places}
        for picture in batch:
            interpreter.set_tensor(index, store_picture(picture, self._file.tensors[index]))
            interpreter.invoke()
            for name, (place, layout) in places.items():
                rows[name].append(present_tensor(interpreter.get_tensor(place), self._file.tensors[place], layout))
        return {name: join_rows(parts) for name, parts in rows.items()}

    def _open(self, keeps_all: bool) -> Any:
        """An interpreter ready to run. Some valid old files are refused by the default delegate, not by the kernels."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kinds = [OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES]
        reasons = []
        for kind in kinds if keeps_all else [OpResolverType.AUTO, *kinds]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that all tensors are kept is what is wanted
                    interpreter = Interpreter(
                        model_content=self._content,
                        num_threads=THREADS,
                        experimental_op_resolver_type=kind,
                        experimental_preserve_all_tensors=keeps_all,
                    )
                if self._file.tensors[self._file.inputs[0]].is_free:
                    interpreter.resize_tensor_input(self._file.inputs[0], list(self._shape))
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                reasons.append(" ".join(str(error).split())[:200])
            else:
                return interpreter
        if "valid Flatbuffer" in reasons[-1]:
            raise InvalidInput(f"{self._file.path.name} is damaged: {reasons[-1]}; get the file again")
        raise Unsupported(f"LiteRT refuses {self._file.path.name}: {reasons[-1]}")


class OpenVinoSource:
    """The file in OpenVINO's own reader of it: a second engine, for where LiteRT is not installed. It shows outputs only."""

    is_own_framework = False

    def __init__(self, file: TfliteFile, picture_shape: Shape, outputs: Mapping[str, Place]) -> None:
        silence_telemetry()
        import openvino

        self.engine = f"openvino {openvino.__version__.split('-')[0]}"
        self._file, self._outputs = file, dict(outputs)
        if not {place for place, _ in outputs.values()} <= set(file.outputs):
            raise MissingPackage("OpenVINO shows the file's own outputs only; pip install 'sightline[tflite]' to end at others")
        try:
            model = get_core().read_model(file.path)
            if file.tensors[file.inputs[0]].is_free:
                model.reshape(list(picture_shape))
            self._network = get_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise MissingPackage(
                f"OpenVINO cannot read {file.path.name} to compare with; pip install 'sightline[tflite]' ({reason})"
            ) from error

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for `(N, C, H, W)` float32."""
        rows: dict[str, list[np.ndarray]] = {name: [] for name in self._outputs}
        for picture in batch:
            results = self._network([store_picture(picture, self._file.tensors[self._file.inputs[0]])])
            for name, (place, layout) in self._outputs.items():
                values = np.array(results[self._file.outputs.index(place)])
                rows[name].append(present_tensor(values, self._file.tensors[place], layout))
        return {name: join_rows(parts) for name, parts in rows.items()}

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """Those of the names that are outputs."""
        return {name: values for name, values in self.run(batch).items() if name in names}

    def close(self) -> None:
        """Free the compiled network."""
        self._network = None


def open_source(
    file: TfliteFile, picture_shape: Shape, outputs: Mapping[str, Place], layers: Mapping[str, Place]
) -> SourceNetwork:
    """The file as its own framework runs it where that is installed. Raises: Unsupported, MissingPackage."""
    if importlib.util.find_spec("ai_edge_litert"):
        return LiteRtSource(file, picture_shape, outputs, layers)
    return OpenVinoSource(file, picture_shape, outputs)


def mend_axes(file: TfliteFile) -> bytes:
    """The file's bytes with the axis of every quantised vector stated as the only one it has."""
    content = bytearray(file.path.read_bytes())
    for place in file.wrong_axes:
        content[place : place + 4] = bytes(4)
    return bytes(content)


def store_picture(picture: np.ndarray, tensor: TensorRecord) -> np.ndarray:
    """Real values `(C, H, W)` as the file's input stores them: `(1, H, W, C)` of its type."""
    values = np.ascontiguousarray(picture.transpose(1, 2, 0)[None], np.float32)
    kind = NUMPY_KINDS[tensor.kind]
    if not np.issubdtype(kind, np.integer):
        return values.astype(kind)
    if tensor.quantisation is not None:
        values = values / tensor.quantisation.scales[0]
        values = np.rint(values) + np.float32(tensor.quantisation.zero_points[0])
    limits = np.iinfo(kind)
    return np.clip(np.rint(values), limits.min, limits.max).astype(kind)


def present_tensor(values: np.ndarray, tensor: TensorRecord, layout: Layout) -> np.ndarray:
    """A tensor of the file as our graph has it: real values, float32, `(1, C, H, W)` for a map that lies so."""
    real = dequantise(values, tensor.quantisation)
    return np.ascontiguousarray(real.transpose(TO_NCHW)) if layout == "spatial" and real.ndim == 4 else real


def join_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Results of single pictures as one batch; a first axis that is no batch of 1 gets one in front."""
    batched: Literal[True, False] = all(part.ndim > 0 and part.shape[0] == 1 for part in parts)
    return np.concatenate(parts) if batched else np.stack(parts)
