from pathlib import Path

import numpy as np
import pytest
from sweep_fakes import COLOURS, NAMES, SIDE, make_pictures

from sightline.bench.inference_sweep import pictures as sweep_pictures
from sightline.bench.inference_sweep.pictures import (
    SweepPictures,
    choose_calibration,
    choose_sweep_split,
    find_label,
    name_pictures,
    open_sweep_pictures,
    spread_places,
)
from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound
from sightline.core.manifests import InputSpec
from sightline.core.progress import ignore_progress
from sightline.core.workspace import Workspace
from sightline.data.exporting import export_version
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.versions import open_version
from sightline.imaging.files.reading import encode_image

SPEC = InputSpec(width=SIDE, height=SIDE, resize="stretch", std=(1.0, 1.0, 1.0))


def test_places_are_spread_over_the_whole_set_in_order() -> None:
    assert spread_places(10, 5) == [0, 2, 4, 6, 8]
    assert spread_places(10, 3) == [0, 3, 6]
    assert spread_places(4, 4) == [0, 1, 2, 3]
    assert spread_places(2, 5) == [0, 1, 0, 1, 0]
    for total, wanted in ((1000, 7), (123, 122), (50, 50)):
        places = spread_places(total, wanted)
        assert len(set(places)) == wanted and places == sorted(places) and places[-1] < total


def test_batches_hold_the_pictures_in_order_however_they_are_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_pictures(tmp_path, [("test", "red", "red"), ("test", "blue", "blue"), ("test", "dark", None)] * 4)
    pictures = SweepPictures(version, "test", SPEC)
    monkeypatch.setattr(sweep_pictures, "BLOCK_BYTES", 2 * 4 * 3 * SIDE * SIDE * 4)  # two batches of four
    blocks = list(pictures.iterate_blocks(4, 3))
    assert [[len(batch.labels) for batch in block.batches] for block in blocks] == [[4, 4], [4]]
    batches = [batch for block in blocks for batch in block.batches]
    numbers = [int(value) for batch in batches for value in batch.inputs[:, 0, 0, 0]]  # the pixel that numbers a picture
    assert numbers == list(range(12))
    assert [label for batch in batches for label in batch.labels] == ["red", "blue", None] * 4
    assert batches[0].inputs.shape == (4, 3, SIDE, SIDE) and batches[0].inputs.dtype == np.float32


def test_a_picture_with_several_labels_has_none() -> None:
    def make(*annotations: Annotation) -> Item:
        return Item(blob="a", file_name="a", width=1, height=1, annotations=annotations)

    cat, dog, box = Annotation(category="cat"), Annotation(category="dog"), Annotation(category="dog", box_xyxy=(0, 0, 1, 1))
    guess = Annotation(category="dog", confidence=0.9, origin="model")
    assert [find_label(make(*labels)) for labels in ([guess], [cat, guess])] == [None, "cat"]
    assert [find_label(make(*labels)) for labels in ([cat], [cat, box], [cat, cat], [cat, dog], [box], [])] == [
        "cat",
        "cat",
        "cat",
        None,
        None,
        None,
    ]


def test_the_split_is_the_wanted_one_else_test_else_validation_else_all(tmp_path: Path) -> None:
    def make(name: str, *splits: str):
        return make_pictures(tmp_path / name, [(split, "red", "red") for split in splits])

    both = make("both", "train", "val", "test")
    assert [choose_sweep_split(both, wanted) for wanted in (None, "train", "all")] == ["test", "train", None]
    assert choose_sweep_split(make("val", "train", "val"), None) == "val"
    assert choose_sweep_split(make("train", "train"), None) is None
    with pytest.raises(NotFound):
        choose_sweep_split(both, "absent")
    with pytest.raises(InvalidInput, match="got none"):
        choose_sweep_split(make("none"), None)


def test_a_calibration_batch_goes_over_the_whole_training_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_pictures, "CALIBRATION_BATCH", 2)
    rows = [("test", "dark", "dark")] + [("train", "red", "red")] * 3 + [("train", "blue", "blue")] * 3
    version = make_pictures(tmp_path, rows)

    def numbers(batches: int, first: int) -> list[int]:
        chosen = choose_calibration(version, (version, "test"), SPEC, batches, first)
        assert not chosen.are_measured and chosen.source == "colours, split train"
        return [int(sample[0, 0, 0, 0]) for sample in chosen.samples]

    assert numbers(1, 0) == [1, 4]  # pictures 1 to 6 in three batches: every third, so one of either class
    assert numbers(1, 2) == [3, 6]
    assert numbers(2, 1) == [2, 3, 5, 6]
    assert numbers(9, 0) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(InvalidInput, match="below 3, got 3"):
        numbers(1, 3)


def test_without_a_training_split_the_measured_pictures_calibrate(tmp_path: Path) -> None:
    version = make_pictures(tmp_path, [("test", "red", "red")] * 4 + [("val", "red", "red")] * 3)
    own = choose_calibration(open_version(version.folder), (version, "test"), SPEC, 10, 0)  # opened again, it is the same
    assert (len(own.samples), own.are_measured) == (4, True)
    measured = make_pictures(tmp_path / "measured", [("test", "red", "red")])
    other = choose_calibration(version, (measured, "test"), SPEC, 10, 0)
    assert (len(other.samples), other.are_measured) == (7, False)


def write_folders(folder: Path) -> Path:
    for name in ("red", "blue"):
        for number in range(3):
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.full((SIDE, SIDE, 3), COLOURS[name], np.uint8)
            image[0, 0] = number
            path.write_bytes(encode_image(image, "png"))
    return folder


def open_all(reference: str, workspace: Workspace, names=None) -> tuple[list[str | None], list[str], str]:
    with open_sweep_pictures(reference, workspace, names, NAMES, ignore_progress) as (version, notes):
        return [find_label(item) for item in version.items()], notes, version.manifest.name


def test_pictures_come_from_a_name_a_folder_a_list_or_an_lmdb(tmp_path: Path) -> None:
    home = Workspace(tmp_path / "home")
    folders = write_folders(tmp_path / "my set")
    version, _ = import_dataset(folders, home, "known", split="given")
    wanted = ["blue"] * 3 + ["red"] * 3
    for reference in ("known", f"known@{version.id[:6]}", str(version.folder)):
        assert open_all(reference, home) == (wanted, [], "known")
    assert open_all(str(folders), home) == (wanted, [], "my-set")
    export_version(version, tmp_path / "lmdb", "lmdb")
    assert open_all(str(tmp_path / "lmdb"), home) == (wanted, [], "lmdb")
    assert open_all(str(tmp_path / "lmdb" / "unsplit_lmdb"), home)[0] == wanted  # names from labels.txt beside it
    export_version(version, tmp_path / "list", "class_list")
    assert sorted(map(str, open_all(str(tmp_path / "list"), home)[0])) == wanted


def test_class_numbers_without_names_take_those_given_else_the_network_s(tmp_path: Path) -> None:
    home = Workspace(tmp_path / "home")
    version = make_pictures(tmp_path / "data", [("test", "green", "green"), ("test", "dark", "dark")])
    export_version(version, tmp_path / "lmdb", "lmdb")
    (tmp_path / "lmdb" / "labels.txt").unlink()
    assert open_all(str(tmp_path / "lmdb"), home)[0] == ["green", "dark"]
    assert open_all(str(tmp_path / "lmdb"), home, names=list("abcdef"))[0] == ["b", "d"]


def test_dropped_pictures_are_told(tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "set")
    (folders / "red" / "bad.png").write_bytes(b"broken")
    labels, notes, _ = open_all(str(folders), Workspace(tmp_path / "home"))
    assert len(labels) == 6
    assert any("broken picture" in note for note in notes)


def test_a_reference_to_nothing_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="a folder or LMDB"):
        open_all("absent", Workspace(tmp_path / "home"))


def test_a_name_is_made_of_a_path() -> None:
    assert [name_pictures(Path(path)) for path in ("a/My Set.zip", "/", "ü")] == ["My-Set.zip", "pictures", "pictures"]
