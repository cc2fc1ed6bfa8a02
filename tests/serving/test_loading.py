from pathlib import Path

import cv2
import numpy as np
import pytest
from serving_fakes import write_brightness_artifact

import sightline
from sightline.core.errors import CorruptFile, ImageTooLarge, InvalidInput, NotFound
from sightline.core.folders import read_manifest, write_file_atomic
from sightline.core.manifests import ArtifactManifest, ModelManifest, compute_manifest_id
from sightline.core.workspace import Workspace
from sightline.runtime import predictor
from sightline.runtime.backend import Session, SessionOptions
from sightline.runtime.backends.table import load_backend
from sightline.serving.deployments import deploy_artifact
from sightline.serving.loading import find_artifact, find_subject, load, open_subject

DARK, BRIGHT = np.zeros((30, 50, 3), np.uint8), np.full((30, 50, 3), 255, np.uint8)


def put(workspace: Workspace, kind: str, name: str) -> Path:
    """A real Model or Artifact on its shelf."""
    made = write_brightness_artifact(workspace.root / f"making-{kind}", kind)
    manifest = read_manifest(made, ModelManifest if kind == "model" else ArtifactManifest)
    folder = workspace.place("models" if kind == "model" else "artifacts", name, compute_manifest_id(manifest))
    folder.parent.mkdir(parents=True)
    made.rename(folder)
    workspace.set_latest(folder)
    return folder


@pytest.mark.parametrize("kind", ["model", "artifact"])
def test_a_folder_answers_about_files_bytes_and_arrays(tmp_path: Path, kind: str) -> None:
    folder = write_brightness_artifact(tmp_path / "it", kind)
    path = tmp_path / "bright.png"
    cv2.imwrite(str(path), BRIGHT)
    loaded = sightline.load(folder)
    assert (loaded.task, loaded.folder) == ("classification", folder)
    best = loaded.predict(path)[0]
    assert best.category == "bright"
    assert best.confidence == pytest.approx(1 / (1 + np.exp(-10)), abs=1e-4)  # softmax of logits 0 and 10, by hand
    both = loaded.predict([DARK, path.read_bytes(), str(path)])
    assert [answer[0].category for answer in both] == ["dark", "bright", "bright"]
    assert loaded.predict([]) == []
    assert [a[0].category for a in loaded.predict_stream(iter([BRIGHT, path, DARK]))] == ["bright", "bright", "dark"]
    loaded.close()


def test_a_workspace_may_be_named_or_given(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    folder = put(workspace, "model", "parts")
    for given in (workspace, workspace.root, str(workspace.root)):
        with sightline.load("parts", given) as loaded:
            assert loaded.folder == folder


def test_what_was_loaded_is_closed_by_with(tmp_path: Path) -> None:
    with sightline.load(write_brightness_artifact(tmp_path / "it", "model")) as loaded:
        assert loaded.predict(BRIGHT)[0].category == "bright"
    with pytest.raises(InvalidInput, match="was closed"):
        list(loaded.predict_stream([BRIGHT]))


@pytest.mark.parametrize("way", ["load", "open_subject"])
def test_the_pixel_limit_of_the_settings_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    folder, content = write_brightness_artifact(tmp_path / "it", "model"), cv2.imencode(".png", BRIGHT)[1].tobytes()
    for limit in ("1000", "1500"):  # the picture has 30 x 50
        monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", limit)
        opened = load(folder) if way == "load" else open_subject(str(folder), Workspace(tmp_path))
        with opened:
            if limit == "1000":
                with pytest.raises(ImageTooLarge):
                    opened.predict(content)
            else:
                assert opened.predict(content)[0].category == "bright"


def test_a_deployment_wins_over_an_artifact_over_a_model(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    model = put(home, "model", "it")
    assert find_subject("it", home) == model
    artifact = put(home, "artifact", "it")
    assert find_subject("it", home) == artifact
    deployed = deploy_artifact(artifact, "it", home.deployments)
    assert find_subject("it", home) == deployed
    assert find_subject(str(home.deployments / "it"), home) == deployed
    assert find_subject(f"it@{artifact.name[:6]}", home) == artifact
    assert find_subject(f"it@{model.name[:6]}", home) == model  # also beside an Artifact of its name
    with pytest.raises(NotFound, match=r"no model it@zzz in .*; there is it@"):
        find_subject("it@zzz", home)
    for place in (tmp_path, str(tmp_path)):
        assert load("it", workspace=place).predict(BRIGHT)[0].category == "bright"


@pytest.mark.parametrize("way", ["name", "id", "path"])
def test_a_changed_manifest_is_not_opened(tmp_path: Path, way: str) -> None:
    home = Workspace(tmp_path)
    folder = put(home, "model", "it")
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'["dark","bright"]', b'["bright","dark"]'))
    with pytest.raises(CorruptFile, match="was changed since it was made"):
        load({"name": "it", "id": f"it@{folder.name}", "path": folder}[way], workspace=tmp_path)


def test_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    put(home, "model", "it")
    with pytest.raises(NotFound, match="there is it"):
        find_subject("other", home)
    with pytest.raises(NotFound, match="sightline compile it"):
        find_artifact("it", home)


def test_folders_of_other_kinds_are_refused(tmp_path: Path) -> None:
    write_file_atomic(tmp_path / "manifest.json", b'{"kind":"report"}')
    with pytest.raises(InvalidInput, match="'report'"):
        find_subject(str(tmp_path), Workspace(tmp_path))


@pytest.mark.parametrize("way", ["load", "open_subject"])
def test_what_was_compiled_is_kept_in_the_cache_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    asked: list[SessionOptions] = []
    backend = load_backend("openvino")

    class Noting:
        def open(self, graph: Path, options: SessionOptions) -> Session:
            asked.append(options)
            return backend.open(graph, options)

    monkeypatch.setattr(predictor, "load_backend", lambda name: Noting())
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    folder = write_brightness_artifact(tmp_path / "it", "model")
    opened = load(folder) if way == "load" else open_subject(str(folder), Workspace(tmp_path))
    opened.close()
    assert [options.plan_folder for options in asked] == [tmp_path / "cache" / "plans"]
