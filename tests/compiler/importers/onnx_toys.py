"""Small ONNX networks written in the tests, and their way through the importer."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from sightline.compiler.importers.importer import ImportedGraph, ImportOptions
from sightline.compiler.importers.onnx.importer import OnnxImporter

CONV = """<ir_version: 8, opset_import: ["" : 17]> net (float[{shape}] x) => (float[n, m] y) {{
    c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
    p = GlobalAveragePool (c)
    y = Flatten (p)
}}"""


def import_text(text: str, folder: Path, *weights: onnx.TensorProto, **options: object) -> ImportedGraph:
    """Import a network written in ONNX's own text form."""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(weights)
    return import_model(model, folder, **options)


def import_model(model: onnx.ModelProto, folder: Path, **options: object) -> ImportedGraph:
    path = folder / "network.onnx"
    onnx.save(model, path)
    assert OnnxImporter().detect(path)
    return OnnxImporter().read(path, ImportOptions(**options))


def weight(name: str, *shape: int, kind: type = np.float32) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).standard_normal(shape) * 0.2
    return numpy_helper.from_array(values.astype(kind), name)


def constant(name: str, values: list[int] | list[float]) -> onnx.TensorProto:
    kind = np.int64 if isinstance(values[0], int) else np.float32
    return numpy_helper.from_array(np.array(values, kind), name)


def random_batch(imported: ImportedGraph, count: int = 3) -> np.ndarray:
    sizes = [size.dim_value for size in imported.graph.graph.input[0].type.tensor_type.shape.dim[1:]]
    return np.random.default_rng(7).uniform(-1, 1, (count, *sizes)).astype(np.float32)


def add_metadata(model: onnx.ModelProto, entries: dict[str, str]) -> onnx.ModelProto:
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    return model


def toy(**metadata: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(CONV.format(shape="1, 3, 32, 64"))
    model.graph.initializer.append(weight("w", 2, 3, 3, 3))
    return add_metadata(model, {key.replace("__", " "): value for key, value in metadata.items()})
