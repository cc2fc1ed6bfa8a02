"""The network as TensorFlow runs it, in a process of its own (`tensorflow.process`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sightline.compiler.importers.graph_writer import TO_NCHW, TO_NHWC
from sightline.compiler.importers.importer import Tensors
from sightline.compiler.importers.source_process import SourceProcess, find_version

PACKAGES = ("tensorflow", "tensorflow-cpu")


class TensorflowSource:
    """A SourceNetwork; the process starts with the first batch.

    Args:
        path: frozen graph, or the folder of a SavedModel.
        signature: of the SavedModel; "" for a frozen graph.
        nhwc: whether the network takes `(N, H, W, C)`.
        outputs: names of the graph's outputs, and whether each is `(N, H, W, C)` in TensorFlow.
        layers: TensorFlow's name of each tensor of the graph that it has, by the graph's name.
    """

    is_own_framework = True

    def __init__(
        self, path: Path, signature: str, nhwc: bool, outputs: Sequence[tuple[str, bool]], layers: Mapping[str, str]
    ) -> None:
        self.engine = f"tensorflow {find_version(PACKAGES)}"
        self._arguments = ["-m", "sightline.compiler.importers.tensorflow.process", str(path.resolve())]
        self._arguments += [signature] if signature else []
        self._name, self._nhwc, self._outputs, self._layers = path.name, nhwc, tuple(outputs), layers
        self._process: SourceProcess | None = None

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for a batch `(N, C, H, W)` float32. Raises: InvalidInput if TensorFlow refuses it, Exhausted if it died."""
        arrays = self._ask(batch, [name for name, _ in self._outputs])
        return {
            name: array.transpose(TO_NCHW) if is_nhwc else array
            for (name, is_nhwc), array in zip(self._outputs, arrays, strict=True)
        }

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """Tensors of the graph as TensorFlow computes them; those it has under no name of its own are left out."""
        final = dict(self._outputs)
        known = [name for name in names if name in self._layers and name not in final]
        arrays = self._ask(batch, [self._layers[name] for name in known]) if known else []
        found: dict[str, np.ndarray] = dict(zip(known, arrays, strict=True))
        if any(name in final for name in names):
            found.update((name, values) for name, values in self.run(batch).items() if name in names)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()

    def _ask(self, batch: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """The tensors of these names, in TensorFlow's layout."""
        if self._process is None:
            self._process = SourceProcess("TensorFlow", self._name, self._arguments, "save it again")
        _, arrays = self._process.ask({"names": list(names)}, batch.transpose(TO_NHWC) if self._nhwc else batch)
        return arrays
