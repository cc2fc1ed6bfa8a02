"""Importers by name, in the order their `detect` is asked. A new framework is a file or folder here and a row."""

import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.compiler.importers.openvino.files import is_ir
from sightline.compiler.importers.tensorflow.files import find_saved_model
from sightline.core.errors import MissingPackage, NotFound, Unsupported
from sightline.core.extras import check_packages, find_missing

if TYPE_CHECKING:
    from sightline.compiler.importers.importer import Importer

IMPORTERS = {
    "onnx": "sightline.compiler.importers.onnx.importer:OnnxImporter",
    "pytorch": "sightline.compiler.importers.pytorch:PytorchImporter",
    "tflite": "sightline.compiler.importers.tflite.importer:TfliteImporter",
    "keras": "sightline.compiler.importers.keras.importer:KerasImporter",
    "tensorflow": "sightline.compiler.importers.tensorflow.importer:TensorflowImporter",
    "caffe": "sightline.compiler.importers.caffe.importer:CaffeImporter",
    "darknet": "sightline.compiler.importers.darknet.importer:DarknetImporter",
    "openvino": "sightline.compiler.importers.openvino.importer:OpenvinoImporter",
}

NEEDED = ("onnx",)  # what all importers write; the base install, which serves and labels, lacks it
# Endings that only networks have: on such an install they tell what is missing from what is no network.
NETWORK_SUFFIXES = {
    ".onnx", ".pt", ".pt2", ".pth", ".safetensors", ".tflite", ".keras", ".h5", ".hdf5", ".pb", ".prototxt", ".caffemodel",
    ".cfg", ".weights",
}  # fmt: skip


def find_importer(path: Path) -> "Importer | None":
    """The importer whose files look like this one, whether or not its packages are installed; None when none does.

    Raises: MissingPackage for a network's file on an install that reads none.
    """
    if find_missing(NEEDED):
        if path.suffix.lower() in NETWORK_SUFFIXES or is_ir(path) or find_saved_model(path) is not None:
            check_packages("reading networks", NEEDED, "compile")
        return None
    return next((importer for importer in map(_make_importer, IMPORTERS) if importer.detect(path)), None)


def choose_importer(path: Path, framework: str = "auto") -> "Importer":
    """The importer for a file. Raises: NotFound, Unsupported when no framework is recognised, MissingPackage."""
    if not path.exists():
        raise NotFound(f"no network file {path}; check the path")
    check_packages("reading networks", NEEDED, "compile")
    importer = find_importer(path) if framework == "auto" else _make_importer(framework)
    if importer is None:
        raise Unsupported(f"{path} is a network of none of {', '.join(IMPORTERS)}; name its framework")
    if missing := importer.missing():
        raise MissingPackage(missing)
    return importer


def _make_importer(name: str) -> "Importer":
    if name not in IMPORTERS:
        raise NotFound(f"expected a framework of {', '.join(IMPORTERS)}, got {name!r}")
    importer: Importer = pkgutil.resolve_name(IMPORTERS[name])()
    return importer
