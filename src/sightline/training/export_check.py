"""The exported graph against the network it came from, on real pictures, through the reference back end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sightline.core.errors import Unsupported
from sightline.data.versions import DatasetVersion
from sightline.imaging.preprocessing import prepare_batch
from sightline.models.network import Network
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.runtime.output_error import find_output_error
from sightline.training.arithmetic import EXACT
from sightline.training.validation import infer_network

LARGEST_ERROR = 1e-3
PICTURES = 16


class ExportFailed(Unsupported):
    """The exported graph does not compute what the network computes."""


def check_export(network: Network, graph: Path, version: DatasetVersion, splits: Sequence[str]) -> dict[str, Any]:
    """Compare all outputs on `PICTURES` real pictures, or as many as there are.

    Args:
        network: in evaluation mode, FP32.
        graph: its `model.onnx`.
        version, splits: where the pictures come from: the first of them.

    Returns:
        {"engine", "pictures", "max_relative_error", "limit"}: the largest difference of each output over its largest magnitude.

    Raises:
        ExportFailed: above the limit.
    """
    items = version.load_items(splits)
    images = [version.read_image(items[index]) for index in range(min(PICTURES, len(items)))]
    batch, _ = prepare_batch(images, network.input_spec)
    expected = infer_network(network, batch, EXACT)
    session = load_backend("reference").open(graph, SessionOptions())
    try:
        got = session.infer({network.input_spec.name: batch})
    finally:
        session.close()
    error = find_output_error(expected, got, network.decode_spec)
    if not error <= LARGEST_ERROR:
        limit = f"limit {LARGEST_ERROR:g}"
        raise ExportFailed(f"the exported graph differs from the network by {error:.2g} ({limit}); choose another network")
    return {"engine": "reference", "pictures": len(images), "max_relative_error": error, "limit": LARGEST_ERROR}
