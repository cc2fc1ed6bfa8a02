"""The Keras model as Keras runs it, in a process of its own (`keras.process`)."""

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sightline.compiler.importers.importer import Tensors
from sightline.compiler.importers.keras.network import KerasTensor
from sightline.compiler.importers.source_process import SourceProcess, find_version
from sightline.core.errors import Unsupported

BACKENDS = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "torch": ("torch",), "jax": ("jax",)}  # and their packages


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
        arguments = ["-m", "sightline.compiler.importers.keras.process", str(path.resolve()), backend]
        self._process = SourceProcess("Keras", path.name, arguments, "save it again with Keras 3")
        self.how = str(self._process.greeting["how"])
        packages = f"keras {version('keras')} on {backend} {find_version(BACKENDS[backend])}"
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
        self._process.close()

    def _ask(self, batch: np.ndarray, layers: Sequence[str]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """All outputs of the model, and the outputs of some layers by path, in Keras's layout."""
        head, arrays = self._process.ask({"layers": list(layers)}, batch.transpose(self._input_axes))
        count = int(head["outputs"])
        return arrays[:count], dict(zip(head["layers"], arrays[count:], strict=True))


def find_backend(order: Sequence[str] = tuple(BACKENDS)) -> str | None:
    """The back end Keras shall compute with, the first that is installed; None without any."""
    return next((name for name in order if importlib.util.find_spec(name)), None)
