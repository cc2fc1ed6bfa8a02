"""Keras models: `.keras` files and whole-model `.h5` / `.hdf5` files of Keras 1 to 3, read as data and written as ONNX node
by node.

The configuration is JSON and the weights are HDF5, so a network of standard layers needs no Keras to be read; Keras, in a
process of its own, is the source that the graph is compared with. Layers that are code (Lambda, classes of one's own) are
refused by name.
"""

import importlib.util
from pathlib import Path

import numpy as np

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions, StatedInput
from sightline.compiler.importers.keras.calls import Program
from sightline.compiler.importers.keras.files import HDF5_SIGNATURE, ZIP_SIGNATURE
from sightline.compiler.importers.keras.network import KerasNetwork, write_network
from sightline.compiler.importers.keras.norms import read_statistics
from sightline.compiler.importers.keras.reading import read_keras_file
from sightline.compiler.importers.keras.shapes import IDENTITIES
from sightline.compiler.importers.keras.source import KerasSource, find_backend
from sightline.compiler.importers.keras.weights import Weights
from sightline.core.errors import NotFound

SUFFIXES = {".keras": ZIP_SIGNATURE, ".h5": HDF5_SIGNATURE, ".hdf5": HDF5_SIGNATURE}
OTHER_HDF5 = (".caffemodel.h5", ".weights.h5")


class KerasImporter:
    """Reads whole Keras models."""

    name = "keras"
    description = "Keras models, .keras and .h5"

    def detect(self, path: Path) -> bool:
        """Whether it is a `.keras` zip or an HDF5 file by the name of a Keras model."""
        signature = SUFFIXES.get(path.suffix.lower())
        if signature is None or path.name.lower().endswith(OTHER_HDF5):
            return False
        try:
            with path.open("rb") as file:
                return file.read(len(signature)) == signature
        except OSError:
            return False

    def missing(self) -> str | None:
        """What must be installed, or None."""
        if all(importlib.util.find_spec(name) for name in ("h5py", "keras")) and find_backend() is not None:
            return None
        return "Keras models need h5py, keras and TensorFlow or PyTorch; pip install 'sightline[keras,tensorflow]'"

    def read(self, path: Path, options: ImportOptions) -> ImportedGraph:
        """Read a model. Raises: InvalidInput, NotFound, Unsupported."""
        network, stated = read_network(path, options)
        outputs = [output.name for output in network.graph.graph.output]
        source = KerasSource(path, network.tensors, outputs, network.input_axes)
        notes = network.notes
        if source.how != "loaded":
            notes += (f"Keras cannot load this file itself: compared with a model {source.how}",)
        return ImportedGraph(self.name, network.graph, stated, source, (path,), notes=notes)


def read_network(path: Path, options: ImportOptions) -> tuple[KerasNetwork, StatedInput]:
    """The graph of a file and what it states, without a source to run. Raises: InvalidInput, NotFound, Unsupported."""
    if not path.is_file():
        raise NotFound(f"no file {path}; a Keras model is a .keras or .h5 file")
    content = read_keras_file(path)
    network = write_network(content.model, content.weights, content.version, options)
    return network, _state_input(network, content.weights)


def _state_input(network: KerasNetwork, weights: Weights) -> StatedInput:
    """The range of pixels where the network itself scales them.

    A Rescaling right behind the input is fed pixels 0..255; so is a Normalization whose means are of that range.
    """
    channels = network.shape[0]
    plain = _takes_pixels(network.program, weights)
    return StatedInput(
        colour="GRAY" if channels == 1 else None,
        mean=(0.0,) * channels if plain else None,
        std=(1.0,) * channels if plain else None,
    )


def _takes_pixels(program: Program, weights: Weights) -> bool:
    raw = {call.output for call in program.calls if call.layer.kind == "InputLayer"}
    for call in program.calls:
        if not raw & set(call.inputs):
            continue
        if call.layer.kind in (*IDENTITIES, "Resizing"):
            raw.add(call.output)
        elif call.layer.kind == "Rescaling":
            return True
        elif call.layer.kind == "Normalization":
            means, _ = read_statistics(call.layer.settings, weights.get(call.path, []))
            return bool(np.max(means) > 1)
    return False
