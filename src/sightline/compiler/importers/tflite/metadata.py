"""What a .tflite file may say of itself beside its network: how to normalise a picture, and the names of its classes.

TensorFlow Lite's metadata schema (`metadata_schema.fbs` 1.5) puts a flatbuffer of its own into the file and the label files
into a zip archive behind it. No package we need reads that schema, so the few fields are looked up by their place in it.
"""

import math
import zipfile
import zlib
from typing import Any

import msgspec
import numpy as np

from sightline.compiler.importers.importer import Colour, StatedInput
from sightline.compiler.importers.tflite.files import DAMAGE, TensorRecord, TfliteFile

IDENTIFIER = b"M001"
MAX_LABEL_BYTES = 2**20
MAX_ENTRIES = 64  # of any vector in the metadata
# Places of fields in the schema's tables, and numbers in its unions and enumerations.
SUBGRAPHS, INPUTS, OUTPUTS = 3, 2, 3  # ModelMetadata, SubGraphMetadata
CONTENT, UNITS, FILES = 3, 4, 6  # TensorMetadata
NORMALISATION, IMAGE, AXIS_LABELS = 1, 2, 2
COLOURS: dict[int, Colour] = {1: "RGB", 2: "GRAY"}


class FileMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What the metadata states: `(C,)` or `(1,)` mean and std of the input, its colour, and the name of a file of labels."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    colour: Colour | None = None
    label_file: str | None = None


def read_metadata(file: TfliteFile) -> tuple[FileMetadata, tuple[str, ...]]:
    """The metadata, and a note when it is there but cannot be read: a network is not refused for that."""
    if file.metadata is None:
        return FileMetadata(), ()
    try:
        return _read_tables(file.metadata), ()
    except DAMAGE as error:
        return FileMetadata(), (f"the file's metadata is left out, it is damaged: {' '.join(str(error).split())[:100]}",)


def state_input(file: TfliteFile, metadata: FileMetadata, channels: int) -> StatedInput:
    """The picture input.

    A quantised input is meant to be fed with pixels: 0..255 as they are for uint8, less 128 for int8. The real value that such
    a number stands for then is what the graph's float input takes. Metadata counts where it says something else than that.
    """
    mean, std = _state_normalisation(file.tensors[file.inputs[0]], metadata, channels)
    colour: Colour | None = "GRAY" if channels == 1 else "RGB" if metadata.colour == "RGB" or mean is not None else None
    return StatedInput(colour=colour, mean=mean, std=std)


def read_categories(file: TfliteFile, metadata: FileMetadata, class_count: int) -> tuple[str, ...] | None:
    """Names of the classes from the label file in the archive, when there are as many as the output has."""
    if metadata.label_file is None or not zipfile.is_zipfile(file.path):
        return None
    try:
        with zipfile.ZipFile(file.path) as archive, archive.open(metadata.label_file) as labels:
            content = labels.read(MAX_LABEL_BYTES + 1)
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *DAMAGE):
        return None
    names = tuple(line.strip() for line in content.decode("utf-8", "replace").splitlines())
    return names if len(content) <= MAX_LABEL_BYTES and len(names) == class_count else None


def _state_normalisation(
    tensor: TensorRecord, metadata: FileMetadata, channels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    stated = _spread(metadata, channels)
    if tensor.quantisation is None or tensor.kind not in ("UINT8", "INT8"):
        return stated
    scale, zero = float(tensor.quantisation.scales[0]), float(tensor.quantisation.zero_points[0])
    direct = (zero + (128.0 if tensor.kind == "INT8" else 0.0),) * channels, (1.0 / scale,) * channels
    if stated[0] is None or stated[1] is None:
        return direct
    pixels = np.array([[0.0], [255.0]])
    apart = (pixels - stated[0]) / stated[1] - (pixels - direct[0]) / direct[1]
    return direct if float(np.abs(apart).max()) <= 1.5 * scale else stated


def _spread(metadata: FileMetadata, channels: int) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and std for each channel; None for both when the metadata is silent or does not fit."""
    mean, std = metadata.mean or (), metadata.std or ()
    if not all(len(values) in (1, channels) and all(map(math.isfinite, values)) for values in (mean, std)) or min(std) <= 0:
        return None, None
    return mean * (channels // len(mean)), std * (channels // len(std))


def _read_tables(content: bytes) -> FileMetadata:
    from flatbuffers import encode, number_types
    from flatbuffers.table import Table

    if content[4:8] != IDENTIFIER:
        raise ValueError("another identifier than M001")
    model = Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))
    graphs = _list_tables(model, SUBGRAPHS)
    if not graphs:
        return FileMetadata()
    mean, std, colour = None, None, None
    inputs, outputs = _list_tables(graphs[0], INPUTS), _list_tables(graphs[0], OUTPUTS)
    for unit in _list_tables(inputs[0], UNITS) if inputs else []:
        options = _find_union(unit, 0, NORMALISATION)
        if options is not None:
            mean, std = _list_floats(options, 0), _list_floats(options, 1)
    content_table = _find_table(inputs[0], CONTENT) if inputs else None
    image = _find_union(content_table, 0, IMAGE) if content_table is not None else None
    if image is not None:
        colour = COLOURS.get(_read_byte(image, 0))
    labels = [
        _read_text(entry, 0)
        for output in outputs
        for entry in _list_tables(output, FILES)
        if _read_byte(entry, 2) == AXIS_LABELS
    ]
    return FileMetadata(mean=mean, std=std, colour=colour, label_file=labels[0] if labels else None)


def _slot(table: Any, field: int) -> int:
    """Offset of a field from the table's start, 0 when it is left out."""
    return int(table.Offset(4 + 2 * field))


def _find_table(table: Any, field: int) -> Any:
    from flatbuffers.table import Table

    offset = _slot(table, field)
    return Table(table.Bytes, table.Indirect(offset + table.Pos)) if offset else None


def _find_union(table: Any, field: int, kind: int) -> Any:
    """The table of a union whose type stands in `field` and whose value in the one behind, when it has that type."""
    return _find_table(table, field + 1) if _read_byte(table, field) == kind else None


def _list_tables(table: Any, field: int) -> list[Any]:
    from flatbuffers.table import Table

    offset = _slot(table, field)
    if not offset:
        return []
    start, count = table.Vector(offset), _check_count(table, offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(count)]


def _list_floats(table: Any, field: int) -> tuple[float, ...]:
    offset = _slot(table, field)
    if not offset:
        return ()
    values = np.frombuffer(table.Bytes, np.float32, _check_count(table, offset), table.Vector(offset))
    return tuple(float(value) for value in values)


def _read_byte(table: Any, field: int) -> int:
    offset = _slot(table, field)
    return int(table.Bytes[table.Pos + offset]) if offset else 0


def _read_text(table: Any, field: int) -> str:
    offset = _slot(table, field)
    return table.String(offset + table.Pos)[:255].decode("utf-8", "replace") if offset else ""


def _check_count(table: Any, offset: int) -> int:
    count = int(table.VectorLen(offset))
    if count > MAX_ENTRIES:
        raise ValueError(f"a vector of {count} entries")
    return count
