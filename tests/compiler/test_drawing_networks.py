"""A network that answers a picture with a picture: imported by its head, compiled by the error of its output."""

from pathlib import Path

import numpy as np
import pytest
from pipeline_graphs import write_enlarger

from sightline.compiler.compile import compile_model
from sightline.compiler.importers.importer import StatedInput
from sightline.compiler.importing.import_network import Meaning, import_network
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest
from sightline.data.versions import DatasetVersion
from sightline.imaging.heads.pictures import write_pictures
from sightline.imaging.preprocessing import prepare_batch
from sightline.runtime.predictor import open_predictor

STATED = StatedInput(colour="RGB", mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))


def import_enlarger(folder: Path, **parameters: object) -> Path:
    graph = write_enlarger(folder / "source" / "net.onnx", 16, 16)
    meaning = Meaning(stated=STATED, head="picture", head_parameters=parameters)
    return import_network(graph, folder / "models", "enlarger", meaning=meaning).folder


def draw(folder: Path, image: np.ndarray) -> np.ndarray:
    with open_predictor(folder) as predictor:
        batch, placements = prepare_batch([image], predictor.input)
        return write_pictures(predictor.decode, predictor.predict_raw(batch), placements)[0]


def test_a_named_head_makes_an_imported_network_one_that_draws(tmp_path: Path) -> None:
    folder = import_enlarger(tmp_path, range=[0, 1])
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    with open_predictor(folder) as predictor:
        assert (predictor.task, len(predictor.categories), predictor.input.resize) == ("image", 0, "letterbox")
        with pytest.raises(Unsupported, match="answers with pictures"):
            predictor.predict([image])
    np.testing.assert_array_equal(draw(folder, image), image.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("parameters", [{}, {"range": [1, 0]}, {"range": [0, 1], "colour": "GRAY"}])
def test_parameters_that_do_not_fit_are_told_at_the_import(tmp_path: Path, parameters: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"range|GRAY"):
        import_enlarger(tmp_path, **parameters)


@pytest.mark.slow
def test_it_is_compiled_to_int8_by_the_error_of_its_picture(version: DatasetVersion, tmp_path: Path) -> None:
    model = import_enlarger(tmp_path, range=[0, 1])
    compile_model(model, tmp_path / "artifact", version, max_drop=0.01, calibration_images=32)
    manifest = read_manifest(tmp_path / "artifact", ArtifactManifest)
    assert (manifest.task, manifest.decode.head, manifest.verified) == ("image", "picture", True)
    image = next(version.read_image(item) for item in version.items("val"))
    difference = draw(tmp_path / "artifact", image).astype(int) - draw(model, image)
    assert np.abs(difference).mean() < 2  # of 255
