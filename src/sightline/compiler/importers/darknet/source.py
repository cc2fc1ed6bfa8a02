"""OpenCV's reader of Darknet files, as the second engine an import is compared with (Darknet itself has no Python package).

It reads the weights file and the layers' text by code of its own. Its network goes on to decode boxes; asked for a layer, it
stops there.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.importers.darknet.network import Tensor
from sightline.compiler.importers.importer import Tensors
from sightline.core.errors import InvalidInput, Unsupported


class DarknetSource:
    """The network in OpenCV.

    Args:
        cfg: text of the cfg, one that `render_cfg` made: OpenCV trusts what it reads.
        weights: the file.
        layers: OpenCV's layer and our tensor, by the tensor's name.
        outputs: names of the graph's outputs.

    Raises: Unsupported when OpenCV cannot read them.
    """

    is_own_framework = False

    def __init__(self, cfg: str, weights: Path, layers: Mapping[str, tuple[str, Tensor]], outputs: Sequence[str]) -> None:
        import cv2

        self.engine = f"opencv {cv2.__version__}"
        self._layers, self._outputs = layers, tuple(outputs)
        self._error: type[Exception] = cv2.error
        with tempfile.TemporaryDirectory(prefix="sightline-darknet-") as folder:
            path = Path(folder) / "network.cfg"
            path.write_text(cfg, encoding="ascii")
            try:
                self._network: Any = cv2.dnn.readNetFromDarknet(str(path), str(weights))
            except self._error as error:
                reason = " ".join(str(error).split())
                raise Unsupported(f"OpenCV, which must check this import, cannot read the network: {reason}") from error
        self._network.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._network.enableFusion(False)  # a fused layer leaves its own output unwritten

    def run(self, batch: np.ndarray) -> Tensors:
        """Outputs for a batch `(N, C, H, W)`. Raises: InvalidInput when OpenCV refuses it."""
        return self.run_layers(batch, self._outputs)

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> Tensors:
        """The tensors of these names, as OpenCV computes them."""
        known = [name for name in dict.fromkeys(names) if name in self._layers]
        if not known:
            return {}
        self._network.setInput(np.ascontiguousarray(batch, np.float32))
        wanted = list(dict.fromkeys(self._layers[name][0] for name in known))
        try:
            arrays = dict(zip(wanted, self._network.forward(wanted), strict=True))
        except self._error as error:
            raise InvalidInput(f"OpenCV refuses this input: {' '.join(str(error).split())}") from error
        # OpenCV writes the next run's values to the same place: copy. It keeps axes of length 1 behind a pooling: reshape.
        return {name: _reshape(arrays[self._layers[name][0]], (len(batch), *self._layers[name][1].shape)) for name in known}

    def close(self) -> None:
        """Free OpenCV's network."""
        self._network = None


def _reshape(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A copy of this shape, or as it is when it has another size: then the comparison will say so."""
    copy = values.astype(np.float32)
    return copy.reshape(shape) if copy.size == math.prod(shape) else copy
