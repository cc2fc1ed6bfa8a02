"""Damaged and hostile Keras files: one line of InvalidInput, never a traceback, a hang or gigabytes."""

import io
import json
import random
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from import_checks import NETWORKS, need
from keras_making import functional, layer, picture, read_here, write_h5

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.keras.files import WEIGHTS, open_keras_file, parse_version
from sightline.compiler.importers.keras.importer import read_network
from sightline.compiler.importers.keras.reading import read_keras_file
from sightline.compiler.importers.keras.weights import to_snake_case
from sightline.core.errors import InvalidInput, SightlineError

TINY = NETWORKS / "keras-mini-xception" / "tiny_XCEPTION_KDEF.hdf5"
LAYERS = [picture(), layer("Conv2D", "conv", ["input_1"], filters=4, kernel_size=[3, 3], use_bias=False)]
KERNEL = np.ones((3, 3, 3, 4), np.float32)


def write_conv(path: Path, kernel: np.ndarray = KERNEL) -> Path:
    return write_h5(path, functional(LAYERS, ["conv"]), {"conv": [kernel]}, "2.4.0")


def write_keras(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_members() -> dict[str, bytes]:
    """A good `.keras` file in pieces."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/conv2d/vars/0"] = KERNEL
    config = json.dumps(functional(LAYERS, ["conv"], "Functional")).encode()
    return {"config.json": config, "metadata.json": b'{"keras_version": "3.5.0"}', WEIGHTS: weights.getvalue()}


def refuse(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_here(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_files_are_read(tmp_path: Path) -> None:
    for path in (write_conv(tmp_path / "a.h5"), write_keras(tmp_path / "a.keras", make_members())):
        network = read_here(path)
        assert [node.op_type for node in network.graph.graph.node] == ["Conv"]


@pytest.mark.parametrize("missing", ["config.json", WEIGHTS])
def test_archive_without_a_part_is_refused(missing: str, tmp_path: Path) -> None:
    members = make_members()
    del members[missing]
    assert missing in refuse(write_keras(tmp_path / "a.keras", members))


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_archive_that_unpacks_to_much_more_is_refused(name: str, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "bomb.keras", make_members() | {name: b" " * (32 << 20)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "unpacks from" in refuse(path)


def test_kernel_of_another_shape_is_refused_by_layer(tmp_path: Path) -> None:
    told = refuse(write_conv(tmp_path / "a.h5", np.ones((3, 3, 3, 8), np.float32)))
    assert "layer conv (Conv2D): expected weights of shape (3, 3, 3, 4), got one of (3, 3, 3, 8)" in told


def test_absent_arrays_are_refused(tmp_path: Path) -> None:
    assert "no weights at model_weights/conv" in refuse(write_h5(tmp_path / "a.h5", functional(LAYERS, ["conv"]), {}, "2.4.0"))
    path = write_h5(tmp_path / "b.h5", functional(LAYERS, ["conv"]), {"conv": []}, "2.4.0")
    assert "expected 1 weights, got 0" in refuse(path)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    assert "not finite" in refuse(write_conv(tmp_path / "a.h5", KERNEL * np.nan))


def replace_kernel(path: Path, **settings: object) -> Path:
    write_conv(path)
    with h5py.File(path, "a") as file:
        del file["model_weights/conv/conv/array_0:0"]
        file["model_weights/conv/conv"].create_dataset("array_0:0", **settings)
    return path


def test_array_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = replace_kernel(tmp_path / "a.h5", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,))
    assert "GiB of weights" in refuse(path)
    path = replace_kernel(tmp_path / "b.h5", shape=(1 << 26,), dtype="f4", chunks=(1 << 20,))
    assert "stores far fewer" in refuse(path)


def test_array_of_text_is_refused(tmp_path: Path) -> None:
    assert "expected numbers" in refuse(replace_kernel(tmp_path / "a.h5", data=np.array([b"no"])))


def test_arrays_in_other_files_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(KERNEL.tobytes())
    path = replace_kernel(tmp_path / "a.h5", shape=KERNEL.shape, dtype="f4", external=[(str(secret), 0, KERNEL.nbytes)])
    assert "another file" in refuse(path)
    with h5py.File(path, "a") as file:
        del file["model_weights/conv/conv"]
        file["model_weights/conv/conv"] = h5py.ExternalLink(str(write_conv(tmp_path / "b.h5")), "model_weights/conv/conv")
    assert "link to elsewhere" in refuse(path)


def test_text_that_claims_gigabytes_costs_none(tmp_path: Path) -> None:
    # HDF5 keeps the length of a text beside its address and fills that much memory before it looks.
    data = write_conv(tmp_path / "a.h5").read_bytes()
    length = struct.pack("<I", len(json.dumps(functional(LAYERS, ["conv"]))))
    assert data.count(length) > 0
    path = tmp_path / "b.h5"
    path.write_bytes(data.replace(length, struct.pack("<I", 0xF0000000)))
    with pytest.raises(InvalidInput, match="damaged"):
        read_keras_file(path)


def test_attribute_of_many_pieces_is_refused(tmp_path: Path) -> None:
    path = write_conv(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["model_weights/conv"].attrs["weight_names"]
        names = file["model_weights/conv"].attrs
        names.create("weight_names0", np.array([b"n"] * 20_000))
    assert "20000 pieces" in refuse(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": ' * 100_000, '"text"', '{"class_name": "\\ud800"}'])
def test_configuration_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    refuse(write_keras(tmp_path / "a.keras", make_members() | {"config.json": text.encode()}))


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": -1},
        {"filters": 1 << 40},
        {"filters": "4"},
        {"kernel_size": [3]},
        {"kernel_size": [3, 3, 3]},
        {"kernel_size": {"rows": 3}},
        {"strides": [0, 1]},
        {"padding": 3},
        {"use_bias": "yes"},
        {"groups": 2},
        {"kernel_size": [9, 9]},
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], tmp_path: Path) -> None:
    layers = json.loads(json.dumps(LAYERS))
    layers[1]["config"] |= changes
    told = refuse(write_h5(tmp_path / "a.h5", functional(layers, ["conv"]), {"conv": [KERNEL]}, "2.4.0"))
    assert "conv" in told


def test_models_within_models_without_end_are_refused(tmp_path: Path) -> None:
    config = functional(LAYERS, ["conv"])
    for depth in range(40):
        entry = {**config, "name": f"inner{depth}", "inbound_nodes": [[["input_1", 0, 0, {}]]]}
        config = functional([picture(), entry], [[f"inner{depth}", 1, 0]])
    assert "deep" in refuse(write_h5(tmp_path / "deep.h5", config, {}, "2.4.0"))


def test_models_that_double_without_end_are_refused(tmp_path: Path) -> None:
    config = functional([picture(), layer("ReLU", "r", ["input_1"])], ["r"])
    for depth in range(15):
        nodes = [[["input_1", 0, 0, {}]]] + [[[f"inner{depth}", index, 0, {}]] for index in (0, 1, 2, 3)]
        config = functional([picture(), {**config, "name": f"inner{depth}", "inbound_nodes": nodes}], [[f"inner{depth}", 4, 0]])
    assert "calls more than" in refuse(write_h5(tmp_path / "many.h5", config, {}, "2.4.0"))


def damage(data: bytes, rng: random.Random, turn: int) -> bytes:
    """A file cut short, or with a few bytes changed, half of the time near its start, where its structure is."""
    if turn % 4 == 0:
        return data[: rng.randrange(len(data))]
    changed, end = bytearray(data), len(data) if turn % 2 else min(len(data), 40_000)
    for _ in range(rng.choice([1, 3, 20])):
        changed[rng.randrange(end)] = rng.randrange(256)
    return bytes(changed)


def test_damage_anywhere_is_found_or_harmless(tmp_path: Path) -> None:
    archive = write_keras(tmp_path / "good.keras", make_members())
    rng, refused = random.Random(3), 0
    for source in (need(TINY), archive):
        data = source.read_bytes()
        for turn in range(80):
            path = tmp_path / f"damaged{source.suffix}"
            path.write_bytes(damage(data, rng, turn))
            try:
                read_here(path)
            except SightlineError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 1000
    assert refused > 80


def test_cut_file_is_refused_through_the_process_too(tmp_path: Path) -> None:
    path = tmp_path / "cut.hdf5"
    path.write_bytes(need(TINY).read_bytes()[:-1000])
    with pytest.raises(InvalidInput, match="not a whole HDF5 file"):
        read_network(path, ImportOptions())


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"not HDF5 at all")
    with pytest.raises(InvalidInput, match="expected a Keras model"), open_keras_file(tmp_path / "a.h5"):
        pass


def test_versions_are_read_as_keras_writes_them() -> None:
    assert [parse_version(text) for text in ("2.0.5", "2.2.4-tf", "3.15.1", "", "x.y")] == [
        (2, 0),
        (2, 2),
        (3, 15),
        (1, 0),
        (1, 0),
    ]


def test_folder_names_of_keras_files() -> None:
    # As they stand in files that Keras 3 wrote.
    names = {
        "Conv2D": "conv2d",
        "DepthwiseConv2D": "depthwise_conv2d",
        "BatchNormalization": "batch_normalization",
        "PReLU": "p_re_lu",
    }
    assert {kind: to_snake_case(kind) for kind in names} == names
