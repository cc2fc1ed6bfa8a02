"""Open a whole Keras model as plain data: a JSON configuration and HDF5 arrays, and nothing that could run.

Two containers exist. `.h5` / `.hdf5` is one HDF5 file with the configuration in its attributes (Keras 1, 2, 3); `.keras` is a
zip of config.json, metadata.json and model.weights.h5 (Keras 2.12 and later). Either may come from anybody: sizes are checked
against the file before anything is allocated, links that leave the file are refused, and whatever HDF5 stumbles over becomes
one line.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.core.errors import InvalidInput, Unsupported

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIP_SIGNATURE = b"PK\x03\x04"
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_JSON_BYTES = 64 << 20
MAX_NAMES = 10_000  # of arrays in one list
MAX_WEIGHT_BYTES = 2 << 30  # an ONNX file of one piece holds no more
MAX_EXPANSION = 100  # Keras stores arrays as they are; beyond this a small file asks for a lot of memory
DAMAGE = (
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)  # what h5py, zipfile and json raise for bytes that are not what they should be


class WeightStore:
    """The arrays of an HDF5 file by their path in it."""

    def __init__(self, root: Any, label: str) -> None:
        self._root, self._label = root, label
        self._bytes_read = 0

    def has(self, path: str) -> bool:
        """Whether a group or array lies at `path`."""
        return self._find(path) is not None

    def names(self, path: str, attribute: str) -> list[str]:
        """The list of names in an attribute, which Keras cuts into pieces (`weight_names0`, ...) when it is long."""
        with self._reading(path):
            group = self._find(path)
            if group is None:
                raise InvalidInput(f"{self._label}: no weights at {path}; the file was cut or belongs to another model")
            if attribute in group.attrs:
                return [_to_text(name) for name in read_attribute(group, attribute)]
            found: list[str] = []
            piece = 0
            while f"{attribute}{piece}" in group.attrs:
                found += [_to_text(name) for name in read_attribute(group, f"{attribute}{piece}")]
                piece += 1
            return found

    def read(self, path: str) -> np.ndarray:
        """The array at `path` as float32. Raises: InvalidInput when it is absent, damaged or too large."""
        with self._reading(path):
            dataset = self._find(path)
            if dataset is None or not hasattr(dataset, "dtype"):
                raise InvalidInput(f"{self._label}: no array at {path}; the file was cut or belongs to another model")
            self._check(dataset, path)
            values = np.asarray(dataset[()], np.float32)
        if not np.isfinite(values).all():
            raise InvalidInput(f"{self._label}: {path} holds values that are not finite; the file is damaged")
        return values

    def _check(self, dataset: Any, path: str) -> None:
        if dataset.dtype.kind not in "fiu":
            raise InvalidInput(f"{self._label}: expected numbers at {path}, got {dataset.dtype}")
        if dataset.is_virtual or dataset.external:
            raise InvalidInput(f"{self._label}: {path} points into another file; save the model as one file")
        size_bytes = int(np.prod(dataset.shape, dtype=object)) * max(dataset.dtype.itemsize, 4)
        self._bytes_read += size_bytes
        if self._bytes_read > MAX_WEIGHT_BYTES:
            raise InvalidInput(f"{self._label}: more than {MAX_WEIGHT_BYTES >> 30} GiB of weights; larger models are not read")
        if size_bytes > MAX_EXPANSION * max(dataset.id.get_storage_size(), 64):
            raise InvalidInput(f"{self._label}: {path} claims {size_bytes} bytes but stores far fewer; the file is damaged")

    def _find(self, path: str) -> Any:
        """The group or array at a path, or None. Only links that stay inside the file are followed."""
        import h5py

        node = self._root
        with self._reading(path):
            for part in filter(None, path.split("/")):
                link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise InvalidInput(f"{self._label}: {path} is a link to elsewhere; save the model as one file")
                node = node[part]
        return node

    @contextmanager
    def _reading(self, path: str) -> Generator[None, None, None]:
        try:
            yield
        except DAMAGE as error:
            raise InvalidInput(f"{self._label}: {path} cannot be read; the file is damaged ({_one_line(error)})") from error


@dataclass(frozen=True)
class KerasFile:
    """An opened file.

    Attributes:
        config: the model's configuration: `{"class_name": ..., "config": ...}`.
        version: of the Keras that wrote it: (2, 4).
        backend: that Keras's backend, "" when unstated.
        weights: its arrays.
        by_path: True for `.keras`, whose arrays lie along the objects' paths; False where each layer lists its arrays.
    """

    config: dict[str, Any]
    version: tuple[int, int]
    backend: str
    weights: WeightStore
    by_path: bool


@contextmanager
def open_keras_file(path: Path) -> Generator[KerasFile, None, None]:
    """Open a `.keras`, `.h5` or `.hdf5` file; its weights can be read inside the `with` block.

    Raises: InvalidInput for a damaged file; Unsupported for one that holds weights but no model.
    """
    with path.open("rb") as file:
        start = file.read(len(HDF5_SIGNATURE))
    if start.startswith(ZIP_SIGNATURE):
        config, metadata, weights = _read_archive(path)
        with _open_hdf5(io.BytesIO(weights), path.name) as root:
            version = parse_version(str(metadata.get("keras_version", "")))
            yield KerasFile(config, version, "", WeightStore(root, path.name), by_path=True)
    elif start == HDF5_SIGNATURE:
        with _open_hdf5(path, path.name) as root:
            yield _read_whole_model(root, path.name)
    else:
        raise InvalidInput(f"expected a Keras model (.keras zip or HDF5), got {path.name} that starts with {start!r}")


@contextmanager
def _open_hdf5(source: Path | io.BytesIO, label: str) -> Generator[Any, None, None]:
    import h5py

    try:
        root = h5py.File(source, "r")
    except DAMAGE as error:
        raise InvalidInput(f"{label} is not a whole HDF5 file; fetch it again ({_one_line(error)})") from error
    try:
        yield root
    finally:
        root.close()


def _read_whole_model(root: Any, label: str) -> KerasFile:
    """Configuration and version from the attributes of an HDF5 model."""
    try:
        if "model_config" not in root.attrs:
            raise Unsupported(f"{label} holds weights without an architecture; save the whole model: model.save('model.keras')")
        config = _parse_json(read_attribute(root, "model_config"), label)
        version = _to_text(read_attribute(root, "keras_version")) if "keras_version" in root.attrs else ""
        backend = _to_text(read_attribute(root, "backend")) if "backend" in root.attrs else ""
    except DAMAGE as error:
        raise InvalidInput(f"{label}: its attributes cannot be read; the file is damaged ({_one_line(error)})") from error
    return KerasFile(config, parse_version(version), backend, WeightStore(root, label), by_path=False)


def _read_archive(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """config.json, metadata.json and the bytes of model.weights.h5."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if CONFIG not in names:
                raise InvalidInput(f"{path.name} is a zip without {CONFIG}; a Keras model has one")
            if WEIGHTS not in names:
                raise InvalidInput(f"{path.name} is a zip without {WEIGHTS}; save the model with weights, as model.save does")
            config = _parse_json(_read_member(archive, CONFIG, MAX_JSON_BYTES), path.name)
            metadata = _parse_json(_read_member(archive, METADATA, MAX_JSON_BYTES), path.name) if METADATA in names else {}
            return config, metadata, _read_member(archive, WEIGHTS, MAX_WEIGHT_BYTES)
    except DAMAGE as error:
        raise InvalidInput(f"{path.name} is not a whole .keras file; fetch it again ({_one_line(error)})") from error


def _read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the archive; its stated size is checked first, and no more than that is unpacked."""
    entry = archive.getinfo(name)
    if entry.file_size > min(most, MAX_EXPANSION * max(entry.compress_size, 1024)):
        raise InvalidInput(f"{name} unpacks from {entry.compress_size} to {entry.file_size} bytes; that is no Keras model")
    with archive.open(entry) as member:
        return member.read(entry.file_size + 1)


def read_attribute(node: Any, name: str) -> Any:
    """An HDF5 attribute, after a look at its size."""
    attribute = node.attrs.get_id(name)
    count = int(np.prod(attribute.shape, dtype=object))
    size_bytes = attribute.get_storage_size() if count else 0
    if size_bytes > MAX_JSON_BYTES or count > MAX_NAMES:
        raise InvalidInput(f"attribute {name} claims {size_bytes} bytes in {count} pieces; the file is damaged")
    return node.attrs[name]


def _parse_json(text: Any, label: str) -> dict[str, Any]:
    parsed = json.loads(text)
    if not isinstance(parsed, dict):
        raise InvalidInput(f"{label}: expected a JSON object as configuration, got {type(parsed).__name__}")
    json.dumps(parsed, ensure_ascii=False).encode()  # names must be text that can be written again
    return parsed


def parse_version(text: str) -> tuple[int, int]:
    """(2, 2) of "2.2.4-tf"; a file that does not say is of Keras 1."""
    parts = text.split(".")[:2]
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(map(str.isdecimal, parts)) and len(text) < 32 else (1, 0)


def _to_text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
