"""Back ends by name. A new device is one file here and one row in this table, by which the conformance suite finds it."""

import importlib
from typing import cast

from sightline.core.errors import MissingPackage, NotFound
from sightline.runtime.backend import Backend

BACKENDS = {
    "reference": "sightline.runtime.backends.reference:ReferenceBackend",
    "onnxruntime": "sightline.runtime.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "sightline.runtime.backends.openvino:OpenVinoBackend",
    "hls4ml": "sightline.runtime.backends.hls4ml.backend:Hls4mlBackend",
    "hetero": "sightline.runtime.backends.hetero:HeteroBackend",
}


def load_backend(name: str) -> Backend:
    """Import a back end. Raises: NotFound for an unknown name, MissingPackage when its engine is not installed."""
    backend = make_backend(name)
    if missing := backend.missing():
        raise MissingPackage(missing)
    return backend


def make_backend(name: str) -> Backend:
    """A back end whether or not its engine is installed, to ask what it is for and what it lacks. Raises: NotFound."""
    if name not in BACKENDS:
        raise NotFound(f"expected an engine of {', '.join(BACKENDS)}, got {name!r}")
    module_name, _, class_name = BACKENDS[name].partition(":")
    return cast(Backend, getattr(importlib.import_module(module_name), class_name)())
