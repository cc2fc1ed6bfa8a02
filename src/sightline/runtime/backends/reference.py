"""The reference: ONNX Runtime with every graph optimisation off. It is slow, and it defines what is correct."""

from pathlib import Path

from sightline.core.manifests import Precision
from sightline.runtime.backend import SessionOptions, check_openable
from sightline.runtime.backends.onnxruntime import OnnxRuntimeBackend, OnnxRuntimeSession


class ReferenceBackend(OnnxRuntimeBackend):
    """Runs each node of the graph by its own kernel, as the specification of its ONNX operator says."""

    name = "reference"
    precisions: tuple[Precision, ...] = ("fp32", "int8")

    def open(self, graph: Path, options: SessionOptions) -> OnnxRuntimeSession:
        """Open an `.onnx` file. Raises: NotFound, Unsupported, InvalidInput."""
        check_openable(self, graph, options)
        return OnnxRuntimeSession(graph, options, optimise=False)
