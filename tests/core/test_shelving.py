from pathlib import Path

import pytest
from cli_fixtures import write_brightness_model

from sightline.core.errors import Conflict, InvalidInput
from sightline.core.folders import read_manifest, verify_files
from sightline.core.manifests import ModelManifest
from sightline.core.shelving import shelve, stage
from sightline.core.workspace import Workspace


def test_a_made_folder_gets_its_id_and_its_name_stands_for_it(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    with stage(home, "models", "net") as staged:
        write_brightness_model(staged)
        made = shelve(staged, home, "models", read_manifest(staged, ModelManifest))
    assert home.find("models", "net") == made
    assert home.names("models") == ["net"] and home.list("models", "net") == [made]


def test_the_same_thing_made_twice_is_kept_once(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    for _ in range(2):
        with stage(home, "models", "net") as staged:
            write_brightness_model(staged)
            shelve(staged, home, "models", read_manifest(staged, ModelManifest))
    assert len(home.list("models", "net")) == 1


@pytest.mark.parametrize(
    ("damaged", "content"), [("model.onnx", b""), ("manifest.json", b""), ("manifest.json", b'{"name": "\xff"}')]
)
def test_what_is_made_again_takes_the_place_of_a_damaged_one(damaged: str, content: bytes, tmp_path: Path) -> None:
    home = Workspace(tmp_path)

    def make() -> Path:
        with stage(home, "models", "net") as staged:
            write_brightness_model(staged)
            return shelve(staged, home, "models", read_manifest(staged, ModelManifest))

    (make() / damaged).write_bytes(content)
    made = make()
    assert home.list("models", "net") == [made]
    verify_files(made, read_manifest(made, ModelManifest).files)


def test_two_runs_under_one_name_do_not_meet(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    with stage(home, "models", "net"):
        with pytest.raises(Conflict, match="another run"), stage(home, "models", "net"):
            pass
        with stage(home, "models", "other"):
            pass


def test_checkpoints_stay_and_half_made_folders_go(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    with stage(home, "models", "net") as staged:
        checkpoint = staged.with_name("net.training") / "checkpoint"
        checkpoint.parent.mkdir()
        checkpoint.touch()
        staged.mkdir()
    with stage(home, "models", "net") as staged:
        assert checkpoint.exists() and not staged.exists()


def test_what_a_killed_run_left_half_made_goes_with_the_next_run_of_that_name(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    with stage(home, "models", "net") as staged, stage(home, "models", "other") as other:
        for left in (".net.ab12cd34", ".net.ab12cd34.old", "net.failed", ".net.failed.ab12cd34"):
            (staged.parent / left).mkdir()
            (staged.parent / left / "model.onnx").touch()
        (other.parent / ".other.ab12cd34").mkdir()
    with stage(home, "models", "net") as staged:
        assert [path.name for path in staged.parent.iterdir()] == [".lock"]
        assert (other.parent / ".other.ab12cd34").exists()


def test_what_a_killed_run_left_whole_is_shelved_and_what_is_damaged_goes(tmp_path: Path) -> None:
    home, found = Workspace(tmp_path), list[Path]()
    with stage(home, "models", "net") as staged:
        write_brightness_model(staged)
    with stage(home, "models", "net", found.append) as staged:
        assert found == home.list("models", "net") == [home.find("models", "net")] and not staged.exists()
        write_brightness_model(staged)
        (staged / "model.onnx").write_bytes(b"")
    with stage(home, "models", "net", found.append) as staged:
        assert len(found) == 1 and not staged.exists()


def test_a_run_that_left_nothing_takes_its_name_back(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    with pytest.raises(ZeroDivisionError), stage(home, "models", "net"):
        raise ZeroDivisionError
    assert home.names("models") == []
    with stage(home, "models", "net") as staged:
        write_brightness_model(staged)
        made = shelve(staged, home, "models", read_manifest(staged, ModelManifest))
    with pytest.raises(ZeroDivisionError), stage(home, "models", "net"):
        raise ZeroDivisionError
    assert home.list("models", "net") == [made]


def test_what_is_made_in_a_workspace_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="expected a name"), stage(Workspace(tmp_path), "models", None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_be_shelved_under_another_name_than_its_own(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    made = write_brightness_model(tmp_path / "models" / "net" / ".new-1")
    shelved = shelve(made, home, "models", read_manifest(made, ModelManifest), "net")
    assert home.find("models", "net") == shelved and not made.exists()
