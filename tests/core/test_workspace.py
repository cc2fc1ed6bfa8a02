import os
from pathlib import Path

import pytest

from sightline.core.errors import CorruptFile, InvalidInput, NotFound
from sightline.core.folders import write_manifest
from sightline.core.manifests import DeploymentManifest, compute_manifest_id
from sightline.core.workspace import Workspace, check_name


def put(workspace: Workspace, name: str, manifest_id: str, age: int = 0):
    """A folder on a shelf; an id with an "x" is none, so that it need not be its manifest's."""
    folder = workspace.place("models", name, manifest_id)
    folder.mkdir(parents=True)
    write_manifest(folder, DeploymentManifest(name=name, version=1, artifact_id="0", created_at="now"))
    os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    workspace.set_latest(folder)
    return folder


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path / "w")


@pytest.mark.parametrize("name", ["a", "parts-v2", "A.b_c", "0" * 100])
def test_plain_names_are_fine(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "../x", "a\n", "größe", "x" * 101, "-a", "a@b"])
def test_names_that_would_leave_their_folder_are_refused(name):
    with pytest.raises(InvalidInput, match="expected a name"):
        check_name(name)


def test_a_root_is_a_path_however_it_was_written(tmp_path):
    assert Workspace(str(tmp_path)).blobs == Workspace(tmp_path).blobs == tmp_path / "blobs"


def test_a_bare_name_is_the_latest(workspace):
    put(workspace, "parts", "aaaa" + "x" * 60)
    newest = put(workspace, "parts", "bbbb" + "x" * 60)
    assert workspace.find("models", "parts") == newest


def test_a_prefix_of_the_id_picks_one(workspace):
    first = put(workspace, "parts", "aaaa" + "x" * 60, age=50)
    put(workspace, "parts", "abbb" + "x" * 60)
    assert workspace.find("models", "parts@aa") == first
    with pytest.raises(InvalidInput, match=r"fits parts@abbbx{12}, parts@aaaax{12}; give more of the id"):
        workspace.find("models", "parts@a")
    with pytest.raises(NotFound, match=r"no model parts@c in .*; there is parts@a") as raised:
        workspace.find("models", "parts@c")
    assert "more of the id" not in str(raised.value)


@pytest.mark.parametrize("way", ["name", "id", "path"])
def test_a_manifest_that_was_changed_is_told(workspace, way):
    manifest = DeploymentManifest(name="parts", version=1, artifact_id="0", created_at="now")
    folder = put(workspace, "parts", compute_manifest_id(manifest))
    reference = {"name": "parts", "id": f"parts@{folder.name}", "path": str(folder)}[way]
    assert workspace.find("models", reference) == folder
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"now", b"yesterday"))
    with pytest.raises(CorruptFile, match=r"manifest\.json was changed since it was made.*put the file back"):
        workspace.find("models", reference)


def test_where_only_names_are_taken_a_folder_of_that_name_elsewhere_is_not_found(workspace, tmp_path, monkeypatch):
    folder = put(workspace, "parts", "aaaa" + "x" * 60)
    (tmp_path / "here" / "parts").mkdir(parents=True)
    (tmp_path / "here" / "parts" / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "here")
    assert workspace.find("models", "parts") == Path("parts")
    named = Workspace(workspace.root, takes_paths=False)
    assert named.find("models", "parts") == folder
    with pytest.raises(NotFound):
        named.find("models", str(folder))


def test_a_path_stands_for_itself(workspace):
    folder = put(workspace, "parts", "aaaa" + "x" * 60)
    assert workspace.find("models", str(folder)) == workspace.find("models", folder) == folder


@pytest.mark.parametrize("ask", [lambda it, shelf: it.find(shelf, "parts"), lambda it, shelf: it.names(shelf)])
def test_a_shelf_that_there_is_not_is_refused(workspace, ask):
    with pytest.raises(InvalidInput, match="expected a shelf of datasets, models, artifacts, reports, got 'model'"):
        ask(workspace, "model")


def test_an_unknown_name_is_answered_with_what_is_there(workspace):
    with pytest.raises(NotFound, match="none yet"):
        workspace.find("models", "parts")
    put(workspace, "parts", "aaaa" + "x" * 60)
    with pytest.raises(NotFound, match="there is parts"):
        workspace.find("models", "cars")


@pytest.mark.parametrize("reference", ["", "..", "../..", "@", "@aa", "."])
def test_references_that_are_no_names_find_nothing(workspace, reference):
    put(workspace, "parts", "aaaa" + "x" * 60)
    with pytest.raises(NotFound):
        workspace.find("models", reference)


def test_a_name_without_a_complete_folder_is_none(workspace):
    (workspace.root / "models" / "parts" / "aaaa").mkdir(parents=True)
    assert workspace.names("models") == []
    with pytest.raises(NotFound, match="there is none yet"):
        workspace.find("models", "parts")


def test_without_a_newest_an_id_must_be_named(workspace):
    folder = put(workspace, "parts", "aaaa" + "x" * 60)
    (folder.parent / "latest").unlink()
    with pytest.raises(NotFound, match="NAME@ID"):
        workspace.find("models", "parts")
    assert workspace.find("models", "parts@aaaa") == folder


def test_a_long_list_of_ids_is_cut(workspace):
    for number in range(10):
        put(workspace, "parts", f"{number}" + "x" * 63)
    with pytest.raises(NotFound, match=r"and 2 more$"):
        workspace.find("models", "parts@f")


def test_lists_are_by_age_and_leave_unfinished_folders_out(workspace):
    old, new = put(workspace, "parts", "b" * 64, age=50), put(workspace, "parts", "a" * 64)
    half = new.with_name(".half")
    half.mkdir()
    (half / "manifest.json").write_text("{}")
    assert workspace.list("models", "parts") == [old, new]
    assert workspace.names("models") == ["parts"]
    assert workspace.names("reports") == []
    assert workspace.list("models", "cars") == []


def test_it_is_shown_with_its_folder() -> None:
    assert repr(Workspace(Path("parts"))) == "Workspace('parts')"
