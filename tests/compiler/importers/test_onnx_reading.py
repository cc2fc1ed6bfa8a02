"""ONNX files that are damaged, too large or keep weights elsewhere end in one line, and read nothing outside their folder."""

import random
from pathlib import Path

import numpy as np
import pytest
from import_checks import NETWORKS, need
from onnx import TensorProto, numpy_helper
from onnx_toys import constant, import_text, toy, weight

from sightline.compiler.importers.importer import ImportOptions
from sightline.compiler.importers.onnx.importer import OnnxImporter
from sightline.core.errors import InvalidInput, NotFound, SightlineError


def save_external(folder: Path, **changes: str) -> Path:
    model = toy()
    tensor = model.graph.initializer[0]
    (folder / "weights.bin").write_bytes(b"\0" * 16 + tensor.raw_data)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin", "offset": "16", "length": str(size)} | changes).items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "external.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_file_come_inside(tmp_path: Path) -> None:
    imported = OnnxImporter().read(save_external(tmp_path), ImportOptions())
    expected = numpy_helper.to_array(weight("w", 2, 3, 3, 3))
    np.testing.assert_array_equal(numpy_helper.to_array(imported.graph.graph.initializer[0]), expected)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../weights.bin", "", "..", "a\\weights.bin"])
def test_weights_outside_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(InvalidInput, match=r"in the folder of external\.onnx"):
        OnnxImporter().read(save_external(tmp_path / "sub", location=location), ImportOptions())


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = save_external(tmp_path / "sub")
    (tmp_path / "sub" / "weights.bin").rename(tmp_path / "elsewhere.bin")
    with pytest.raises(NotFound, match=r"weights.bin, which is not beside it"):
        OnnxImporter().read(path, ImportOptions())
    (tmp_path / "sub" / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(InvalidInput, match="a link out of it"):
        OnnxImporter().read(path, ImportOptions())


@pytest.mark.parametrize("changes", [{"offset": "17"}, {"length": "9999999999999"}, {"offset": "-4"}, {"offset": "x"}])
def test_wrong_places_of_external_weights_are_refused(changes: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="weight 'w'"):
        OnnxImporter().read(save_external(tmp_path, **changes), ImportOptions())


def test_tensor_of_absurd_size_is_refused_before_it_is_made(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> net (float[1, 3, 1, 1] x) => (float[a, b, c, d] y) {
        k = ConstantOfShape (huge)
        y = Add (x, k)
    }"""
    with pytest.raises(InvalidInput, match="asks for a tensor"):
        import_text(text, tmp_path, constant("huge", [1, 3, 1 << 20, 1 << 20]))


def test_truncated_file_is_refused_in_one_line(tmp_path: Path) -> None:
    content = need(NETWORKS / "samplenet-omz/test_models/samplenet.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for size in (0, 1, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(InvalidInput) as caught:
            OnnxImporter().read(path, ImportOptions())
        assert "\n" not in str(caught.value)


def test_flipped_bytes_import_or_are_refused_in_one_line(tmp_path: Path) -> None:
    content = need(NETWORKS / "samplenet-omz/test_models/samplenet.onnx").read_bytes()
    rng, refused = random.Random(20261121), 0
    path = tmp_path / "flipped.onnx"
    for _ in range(150):
        damaged = bytearray(content)
        place = rng.choice([rng.randrange(1200), len(content) - 1 - rng.randrange(1500)])  # the graph lies before and behind
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            OnnxImporter().read(path, ImportOptions()).source.close()
        except SightlineError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50
