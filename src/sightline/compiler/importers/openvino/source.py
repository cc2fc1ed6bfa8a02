"""The network as OpenVINO's CPU plug-in runs the file itself, before any conversion of ours.

The graph's input is NCHW, the file's may be NHWC or of another type: the batch is carried over here, and the answers back.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.compiler.importers.graph_writer import TO_NCHW, TO_NHWC
from sightline.compiler.importers.importer import Tensors
from sightline.compiler.importers.openvino.constants import NUMBER_TYPES, get_type
from sightline.compiler.importers.openvino.graph import ConvertedModel
from sightline.core.errors import InvalidInput
from sightline.runtime.backends.openvino import get_core
from sightline.runtime.telemetry import silence_telemetry

PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


class OpenvinoSource:
    """Runs a model on the CPU in float32; `is_own_framework` is False for what a front end made of another framework's file."""

    def __init__(self, converted: ConvertedModel, is_own_framework: bool) -> None:
        silence_telemetry()
        import openvino

        self.engine = f"openvino {str(openvino.__version__).split('-')[0]}"
        self.is_own_framework = is_own_framework
        self._converted = converted
        self._compiled: Any = None

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for a batch `(N, C, H, W)` float32. Raises: InvalidInput when OpenVINO cannot run the file."""
        if self._compiled is None:
            self._compiled = _compile(self._converted.model)
        arrays = _infer(self._compiled, self._lay_out(batch))
        return {
            name: array.transpose(TO_NCHW) if is_nhwc else array
            for (name, is_nhwc), array in zip(self._converted.outputs, arrays, strict=True)
        }

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """The tensors of these names; those the file does not have are left out."""
        import openvino

        model = self._converted.model.clone()
        known = {}
        for node in model.get_ordered_ops():
            if node.get_type_name() not in ("Constant", "Result", "Parameter"):
                known[str(node.get_friendly_name())] = node
        final = {name for name, _ in self._converted.outputs} & set(names)
        found = {name: values for name, values in self.run(batch).items() if name in final} if final else {}
        wanted = [name for name in names if name in known and name not in final]
        if not wanted:
            return found
        results = [openvino.opset13.result(known[name].output(0)) for name in wanted]
        compiled = _compile(openvino.Model(results, model.get_parameters(), "layers"))
        return found | dict(zip(wanted, _infer(compiled, self._lay_out(batch)), strict=True))

    def close(self) -> None:
        """Free the model."""
        del self._compiled, self._converted

    def _lay_out(self, batch: np.ndarray) -> np.ndarray:
        """(N, C, H, W) float32 -> the file's layout and type."""
        laid_out = batch.transpose(TO_NHWC) if self._converted.picture.nhwc else batch
        kind = NUMBER_TYPES[get_type(self._converted.model.inputs[0])]
        return np.ascontiguousarray(laid_out.astype(kind, copy=False))


def _compile(model: Any) -> Any:
    try:
        return get_core().compile_model(model, "CPU", PROPERTIES)
    except RuntimeError as error:
        raise InvalidInput(f"OpenVINO cannot run this network: {' '.join(str(error).split())}") from error


def _infer(compiled: Any, batch: np.ndarray) -> list[np.ndarray]:
    """The outputs in order, float32."""
    try:
        answers = compiled([batch])
    except RuntimeError as error:
        raise InvalidInput(f"OpenVINO refuses this batch {batch.shape}: {' '.join(str(error).split())}") from error
    return [np.array(answers[index]).astype(np.float32) for index in range(len(compiled.outputs))]
