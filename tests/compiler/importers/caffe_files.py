"""What the Caffe tests share: a writer of caffemodels (protobuf's wire format) and of small nets with seeded weights."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sightline.compiler.importers.caffe.importer import CaffeImporter
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions

V1_TYPES = {"CONVOLUTION": 4, "INNER_PRODUCT": 14}


def write_varint(value: int) -> bytes:
    """Seven bits a byte, low ones first."""
    pieces = bytearray()
    while value > 127:
        pieces.append(value & 127 | 128)
        value >>= 7
    return bytes([*pieces, value])


def write_field(number: int, value: int | bytes) -> bytes:
    """A varint or a length-delimited field."""
    if isinstance(value, int):
        return write_varint(number << 3) + write_varint(value)
    return write_varint(number << 3 | 2) + write_varint(len(value)) + value


def write_blob(values: np.ndarray, legacy: bool = False) -> bytes:
    """A BlobProto; `legacy` writes num, channels, height, width, padded with ones in front, instead of a shape."""
    data = write_field(5, values.astype("<f4").tobytes())
    if legacy:
        sizes = [1] * (4 - values.ndim) + list(values.shape)
        return b"".join(write_field(number, size) for number, size in enumerate(sizes, 1)) + data
    return write_field(7, write_field(1, b"".join(write_varint(size) for size in values.shape))) + data


def write_caffemodel(weights: Mapping[str, Sequence[np.ndarray]], v1: bool = False) -> bytes:
    """A NetParameter with a layer for each name."""
    layer, name_field, blob_field = (2, 4, 6) if v1 else (100, 1, 7)
    content = write_field(1, b"seeded")
    for name, blobs in weights.items():
        body = write_field(name_field, name.encode())
        body += b"".join(write_field(blob_field, write_blob(blob, legacy=v1)) for blob in blobs)
        content += write_field(layer, body)
    return content


def write_unpacked_blob(values: Sequence[float]) -> bytes:
    """A BlobProto whose floats each have a tag of their own, as proto2 allows."""
    shape = write_field(7, write_field(1, len(values)))
    return shape + b"".join(write_varint(5 << 3 | 5) + struct.pack("<f", value) for value in values)


class SeededNet:
    """A prototxt that grows layer by layer, with weights drawn for it."""

    def __init__(self, channels: int, height: int, width: int, seed: int = 20261121) -> None:
        self._rng = np.random.default_rng(seed)
        self.text = f'name: "seeded"\ninput: "data"\ninput_shape {{ dim: 1 dim: {channels} dim: {height} dim: {width} }}\n'
        self.weights: dict[str, list[np.ndarray]] = {}
        self.channels = {"data": channels}

    def add(self, kind: str, name: str, bottoms: str = "data", top: str | None = None, params: str = "") -> str:
        """A layer without weights; returns its top's name. Several bottoms or tops are parted by blanks."""
        top = top or name
        wires = "".join(f' bottom: "{one}"' for one in bottoms.split()) + "".join(f' top: "{one}"' for one in top.split())
        self.text += f'layer {{ name: "{name}" type: "{kind}"{wires} {params} }}\n'
        self.channels[top] = self.channels.get(bottoms.split()[0], 0)
        return top

    def draw(self, *shape: int, scale: float | None = None) -> np.ndarray:
        """Seeded weights that keep the size of what goes through them."""
        return self._rng.normal(0, scale or (2 / max(1, np.prod(shape[1:]))) ** 0.5, shape).astype(np.float32)

    def conv(
        self,
        name: str,
        bottom: str,
        outputs: int,
        kernel: int,
        params: str = "",
        group: int = 1,
        bias: bool = True,
        **kwargs: str,
    ) -> str:
        """A Convolution, or another type of the same weights (`kind`)."""
        kind = kwargs.get("kind", "Convolution")
        given = f"num_output: {outputs} kernel_size: {kernel} {params}"
        if group > 1 and kind == "Convolution":
            given += f" group: {group}"
        if not bias:
            given += " bias_term: false"
        self.weights[name] = [self.draw(outputs, self.channels[bottom] // group, kernel, kernel)]
        if bias:
            self.weights[name].append(self.draw(outputs, scale=0.1))
        top = self.add(kind, name, bottom, params=f"convolution_param {{ {given} }}")
        self.channels[top] = outputs
        return top

    def relu(self, blob: str) -> str:
        """A ReLU in place."""
        return self.add("ReLU", f"relu_{blob}", blob, blob)

    def batch_norm(self, blob: str, params: str = "") -> str:
        """BatchNorm and Scale, both in place; the stored sums are 3 times the statistics."""
        count = self.channels[blob]
        variance = self._rng.uniform(0.5, 2, count).astype(np.float32)
        self.weights[f"bn_{blob}"] = [3 * self.draw(count, scale=0.3), 3 * variance, np.array([3], np.float32)]
        self.add("BatchNorm", f"bn_{blob}", blob, blob, f"batch_norm_param {{ use_global_stats: true {params} }}")
        self.weights[f"scale_{blob}"] = [1 + self.draw(count, scale=0.2), self.draw(count, scale=0.2)]
        return self.add("Scale", f"scale_{blob}", blob, blob, "scale_param { bias_term: true }")

    def save(self, folder: Path, stem: str = "net", v1_weights: bool = False) -> Path:
        """Write both files; returns the prototxt."""
        (folder / f"{stem}.caffemodel").write_bytes(write_caffemodel(self.weights, v1_weights) or b"")
        (folder / f"{stem}.prototxt").write_text(self.text)
        return folder / f"{stem}.prototxt"

    def read(self, folder: Path, **options: object) -> ImportedGraph:
        """Write both files and import them."""
        if not self.weights:
            self.weights["unused"] = [np.zeros(1, np.float32)]
        return CaffeImporter().read(self.save(folder), ImportOptions(**options))  # type: ignore[arg-type]


def count_nodes(imported: ImportedGraph) -> dict[str, int]:
    """How many nodes of each kind the graph has."""
    kinds = [node.op_type for node in imported.graph.graph.node]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}
