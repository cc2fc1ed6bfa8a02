"""Writes Keras files without Keras: whole HDF5 models as each version spelt them, for the importer's tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.keras.network import KerasNetwork, write_network
from sightline.compiler.importers.keras.reading import read_in_process

DEFAULTS = ImportOptions()
Arrays = Mapping[str, Sequence[np.ndarray]]  # layer -> its arrays in Keras's order


def write_h5(path: Path, config: Any, arrays: Arrays, version: str, backend: str = "tensorflow") -> Path:
    """A whole model in the layout of `model.save("model.h5")`; a `version` of "" leaves it unsaid."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        if version:
            file.attrs["keras_version"] = version
            file.attrs["backend"] = backend
        root = file.create_group("model_weights")
        for layer, values in arrays.items():
            group = root.create_group(layer)
            names = [f"{layer}/array_{index}:0" for index in range(len(values))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, values, strict=True):
                group[name] = array
    return path


def read_here(path: Path, options: ImportOptions = DEFAULTS) -> KerasNetwork:
    """The graph of a file, read in this process, to spare each test the start of another."""
    content, _ = read_in_process(path)
    return write_network(content.model, content.weights, content.version, options)


def layer(kind: str, name: str, inputs: Any = None, **config: Any) -> dict[str, Any]:
    """A layer of a configuration; `inputs` are names, or nodes as they stand in the file, and None in a Sequential."""
    entry: dict[str, Any] = {"class_name": kind, "config": {"name": name, "trainable": True, **config}}
    if inputs is not None:
        nodes = [[[one, 0, 0, {}] for one in inputs]] if all(isinstance(one, str) for one in inputs) else inputs
        entry |= {"name": name, "inbound_nodes": nodes if inputs else []}
    return entry


def picture(name: str = "input_1", height: int | None = 5, width: int | None = 6, channels: int = 3) -> dict[str, Any]:
    """An InputLayer of Keras 2."""
    return layer("InputLayer", name, (), batch_input_shape=[None, height, width, channels])


def functional(layers: Sequence[dict[str, Any]], outputs: Sequence[Any], kind: str = "Model") -> dict[str, Any]:
    """A Functional model that reads its first layer."""
    ends = [[output, 0, 0] if isinstance(output, str) else output for output in outputs]
    config = {"name": "model_1", "layers": layers, "input_layers": [[layers[0]["name"], 0, 0]], "output_layers": ends}
    return {"class_name": kind, "config": config}


def convolve(pictures: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Correlation without padding: `(N, H, W, C)` with `(rows, columns, in, out)`, one window at a time."""
    rows, columns = kernel.shape[:2]
    height, width = pictures.shape[1] - rows + 1, pictures.shape[2] - columns + 1
    result = np.zeros((len(pictures), height, width, kernel.shape[3]), np.float32)
    for y in range(height):
        for x in range(width):
            window = pictures[:, y : y + rows, x : x + columns]
            result[:, y, x] = np.tensordot(window, kernel, axes=3) + bias
    return result
