"""What the tests of all importers share: real files and pictures, and the comparison of a graph with its source network."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from sightline.compiler.importers.importer import ImportedGraph
from sightline.imaging.files.reading import read_image
from sightline.imaging.resizing import stretch_image
from sightline.runtime.backend import SessionOptions
from sightline.runtime.backends.table import load_backend

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
NETWORKS = SHARED / "models"
MAX_ERROR = 1e-3  # relative to the largest magnitude of an output


def need(path: Path) -> Path:
    """A file of the shared data; skips the test where it is absent."""
    if not path.exists():
        pytest.skip(f"{path.name} is not here: it is part of the shared data beside the checkout")
    return path


def read_pictures(count: int, width: int, height: int) -> np.ndarray:
    """Real pictures `(N, H, W, 3)` uint8 RGB, stretched to a size."""
    paths = sorted(need(SHARED / "classification" / "imagenet-sample").rglob("*.[jJ][pP]*[gG]"))[:count]
    return np.stack([stretch_image(read_image(path), width, height)[0] for path in paths])


def input_shape(graph: onnx.ModelProto) -> tuple[int, ...]:
    """Shape of the graph's picture input, without the batch."""
    return tuple(size.dim_value for size in graph.graph.input[0].type.tensor_type.shape.dim[1:])


def run_graph(graph: onnx.ModelProto, batch: np.ndarray, folder: Path, engine: str = "reference") -> dict[str, np.ndarray]:
    """The graph's outputs for a batch."""
    path = folder / "imported.onnx"
    onnx.save(graph, path)
    session = load_backend(engine).open(path, SessionOptions())
    try:
        return session.infer({session.input_names[0]: batch})
    finally:
        session.close()


def assert_agrees(imported: ImportedGraph, batch: np.ndarray, folder: Path, limit: float = MAX_ERROR) -> None:
    """Every output of the graph equals the source network's, to `limit` of its largest magnitude, for two batch sizes."""
    for part in (batch, batch[:1]):
        expected, got = imported.source.run(part), run_graph(imported.graph, part, folder)
        assert set(expected) == set(got)
        for name, values in expected.items():
            assert got[name].shape == values.shape, name
            error = np.abs(got[name] - values).max() / max(np.abs(values).max(), 1e-12)
            assert error < limit, f"{name}: {error:.2e} against {imported.source.engine}"
