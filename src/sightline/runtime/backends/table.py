"""Back ends by name. A new device is one file here and one row in this table, by which the conformance suite finds it."""

import importlib
from collections.abc import Iterable
from typing import cast

from sightline.core.errors import MissingPackage, NotFound, Unsupported
from sightline.runtime.backend import Backend

BACKENDS = {
    "reference": "sightline.runtime.backends.reference:ReferenceBackend",
    "onnxruntime": "sightline.runtime.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "sightline.runtime.backends.openvino:OpenVinoBackend",
    "torch": "sightline.runtime.backends.cuda.backend:TorchBackend",
    "inductor": "sightline.runtime.backends.cuda.backend:InductorBackend",
    "hls4ml": "sightline.runtime.backends.hls4ml.backend:Hls4mlBackend",
    "hetero": "sightline.runtime.backends.hetero:HeteroBackend",
}


def load_backend(name: str) -> Backend:
    """Import a back end.

    Raises: NotFound for an unknown name, MissingPackage when its engine is not installed, Unsupported without its device.
    """
    backend = make_backend(name)
    if missing := backend.missing():
        raise MissingPackage(missing)
    if absent := backend.absent():
        raise Unsupported(absent)
    return backend


def describe_devices(engines: Iterable[str]) -> dict[str, object]:
    """What tells the devices of these engines from others of their kind, to stand beside the facts of the host."""
    facts: dict[str, object] = {}
    for engine in sorted(set(engines)):
        facts |= load_backend(engine).describe_device()
    return facts


def make_backend(name: str) -> Backend:
    """A back end whether or not its engine is installed, to ask what it is for and what it lacks. Raises: NotFound."""
    if name not in BACKENDS:
        raise NotFound(f"expected an engine of {', '.join(BACKENDS)}, got {name!r}")
    module_name, _, class_name = BACKENDS[name].partition(":")
    return cast(Backend, getattr(importlib.import_module(module_name), class_name)())
