"""Pictures and labels that a program has become a version by the same import as files do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.core.annotations import Annotation
from sightline.core.errors import Conflict, InvalidInput, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.imaging.files.reading import encode_image

WIDTH, HEIGHT = 20, 10


def paint(value: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def make_items(folder: Path) -> Iterator[SourceItem]:
    """A file, encoded bytes and an array; a box over the edge, a label of the whole picture and none."""
    (folder / "a.png").write_bytes(encode_image(paint(1), "png"))
    dent = Annotation(category="dent", box_xyxy=(-5, 2, 8, 6))
    yield SourceItem(file_name="a.png", path=str(folder / "a.png"), split="train", annotations=[dent])
    content = encode_image(paint(2), "png")
    yield SourceItem(file_name="b.png", content=content, split="train", annotations=[Annotation(category="bent")])
    yield SourceItem(file_name="c.png", content=paint(3), split="test")


def test_files_bytes_and_arrays_become_a_version_cleaned_as_an_import_is(tmp_path: Path) -> None:
    version, report = import_dataset(make_items(tmp_path), Workspace(tmp_path / "w"), "parts")
    assert version.categories.names == ("bent", "dent"), "all that are named, sorted"
    assert version.splits == {"train": 2, "test": 1}
    items = list(version.items())
    assert [item.file_name for item in items] == ["a.png", "b.png", "c.png"]
    assert [int(version.read_image(item)[0, 0, 0]) for item in items] == [1, 2, 3]
    assert version.read_bytes(items[1]) == encode_image(paint(2), "png")
    assert items[0].annotations[0].box_xyxy == (0, 2, 8, 6)
    assert (report.kept["image"], report.changed("annotation")) == (3, 1)


def test_the_categories_that_are_given_keep_their_order_and_others_are_dropped_and_told(tmp_path: Path) -> None:
    version, report = import_dataset(make_items(tmp_path), Workspace(tmp_path / "w"), "parts", categories=["hole", "dent"])
    assert version.categories.names == ("hole", "dent")
    assert report.count("annotation", "dropped", "unknown category") == 1


def test_a_split_is_drawn_where_none_is_given_and_the_same_items_give_the_same_id(tmp_path: Path) -> None:
    items = [SourceItem(file_name=f"{number}.png", content=paint(number)) for number in range(10)]
    first, second = (import_dataset(items, Workspace(tmp_path / place), "parts", split="0.5/0.5")[0] for place in "ab")
    assert first.splits == {"train": 5, "val": 5}
    assert first.id == second.id


def test_a_version_may_be_written_anew_from_its_own_items(tmp_path: Path) -> None:
    version, _ = import_dataset(make_items(tmp_path), Workspace(tmp_path / "w"), "parts")
    kept = (
        SourceItem(file_name=item.file_name, content=version.read_bytes(item), split=item.split, annotations=item.annotations)
        for item in version.items("train")
    )
    smaller, _ = import_dataset(kept, Workspace(tmp_path / "w"), "smaller", categories=version.categories.names)
    assert list(smaller.items()) == list(version.items("train"))


def test_what_a_pixel_without_a_mask_means_may_be_said_and_nothing_of_a_format(tmp_path: Path) -> None:
    workspace, options = Workspace(tmp_path / "w"), {"unlabelled_pixels": "ignore"}
    version, _ = import_dataset(make_items(tmp_path), workspace, "parts", format_options=options)
    assert version.manifest.unlabelled_pixels == "ignore"
    for wrong in ({"format": "coco"}, {"format_options": {"images": "x"}}, {"format_options": {"unlabelled_pixels": "x"}}):
        with pytest.raises(InvalidInput, match="expected of SourceItems no format and no option but unlabelled_pixels"):
            import_dataset(make_items(tmp_path), workspace, "parts", **wrong)  # type: ignore[arg-type]


def test_pictures_go_to_a_folder_given_as_text_where_there_is_no_workspace(tmp_path: Path) -> None:
    version, _ = import_dataset(make_items(tmp_path), tmp_path / "version", "parts", blobs=str(tmp_path / "blobs"))
    assert version.read_image(next(version.items())).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(InvalidInput, match=r"got none; pass blobs=FOLDER, or a Workspace as target"):
        import_dataset(make_items(tmp_path), tmp_path / "other", "parts")


@pytest.mark.parametrize(
    ("source", "words"),
    [(3, "expected a path or a list of SourceItem, got int"), ([{"file_name": "a"}], "expected SourceItems, got dict")],
)
def test_what_holds_no_pictures_is_refused_and_leaves_nothing(source: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        import_dataset(source, Workspace(tmp_path / "w"), "parts")
    with pytest.raises(UnreadableDataset, match="expected pictures in the list, got none"):
        import_dataset([], Workspace(tmp_path / "w"), "parts")
    assert not (tmp_path / "w" / "datasets" / "parts").exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"category": 3}, r"c\.png: the annotation of 3 does not fit: Expected `str`, got `int` - at `\$\.category`"),
        ({"box_xyxy": (1, 2, 3)}, "of length 4, got 3"),
        ({"mask": np.ones((HEIGHT, WIDTH), bool)}, r"got `array` - at `\$\.mask`"),
        ({"polygons": [[(0, 0), (5, 0), (5, 5)]]}, r"at `\$\.polygons"),
        ({"attributes": {"difficult": 1}}, "Expected `str`, got `int`"),
    ],
)
def test_an_annotation_that_holds_what_it_must_not_is_refused_by_its_field(
    fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    item = SourceItem(file_name="c.png", content=paint(3), annotations=[Annotation(**{"category": "dent", **fields})])
    with pytest.raises(InvalidInput, match=words):
        import_dataset([item], Workspace(tmp_path / "w"), "parts", categories=["dent"])


def test_an_array_that_is_no_picture_is_refused_by_its_name(tmp_path: Path) -> None:
    item = SourceItem(file_name="c.png", content=paint(3) / 255)
    with pytest.raises(InvalidInput, match=r"^c\.png: expected a picture uint8 \(H, W, 3\), got float64 \(10, 20, 3\)"):
        import_dataset([item], Workspace(tmp_path / "w"), "parts", categories=["dent"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seen_by": "noone"}, r"^c\.png: expected seen_by None, human, model, nobody, got 'noone'"),
        ({"file_name": None}, "expected a file name as text, got None"),
        ({"attributes": {"line": 3}}, r"^c\.png: expected attributes from text to text, got \{'line': 3\}; correct it"),
    ],
)
def test_a_picture_with_facts_that_there_are_not_is_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    item = SourceItem(**{"file_name": "c.png", "content": paint(3), **fields})
    with pytest.raises(InvalidInput, match=words):
        import_dataset([item], Workspace(tmp_path / "w"), "parts", categories=["dent"])


def test_numbers_of_numpy_are_taken(tmp_path: Path) -> None:
    ring = np.array([[1, 1], [9, 1], [9, 8]], np.float32).ravel()
    made = Annotation(category="dent", box_xyxy=np.array([1, 1, 9, 8]), polygons=[ring])  # type: ignore[arg-type]
    version, _ = import_dataset([SourceItem(file_name="c.png", content=paint(3), annotations=[made])], Workspace(tmp_path), "p")
    (kept,) = next(version.items()).annotations
    assert (kept.box_xyxy, kept.polygons) == ((1.0, 1.0, 9.0, 8.0), ((1.0, 1.0, 9.0, 1.0, 9.0, 8.0),))


def test_a_text_for_categories_and_an_unknown_way_to_verify_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with pytest.raises(InvalidInput, match=r"expected a list of categories, got the text 'dent'; write \['dent'\]"):
        import_dataset(make_items(tmp_path), workspace, "parts", categories="dent")
    with pytest.raises(InvalidInput, match="expected verify decode or header, got 'no'"):
        import_dataset(make_items(tmp_path), workspace, "parts", verify="no")  # type: ignore[arg-type]


def test_the_root_of_a_workspace_as_text_is_told_from_a_folder_that_is_in_the_way(tmp_path: Path) -> None:
    import_dataset(make_items(tmp_path), Workspace(tmp_path / "w"), "parts")
    with pytest.raises(Conflict, match=r"if it is a workspace, pass sightline\.Workspace\("):
        import_dataset(make_items(tmp_path), str(tmp_path / "w"), "parts")


def test_of_pictures_given_as_content_few_wait_where_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.data.importing.BYTES_AHEAD", 5000)
    made: list[int] = []
    written: list[int] = []

    def make_pictures() -> Iterator[SourceItem]:
        for number in range(12):
            made.append(number)
            yield SourceItem(file_name=f"{number}.png", content=np.full((20, 40, 3), number, np.uint8), seen_by="nobody")

    def note(event: Any) -> None:
        written.append(len(made))

    monkeypatch.setattr("sightline.data.importing.PROGRESS_EVERY", 1)
    version, _ = import_dataset(make_pictures(), Workspace(tmp_path / "w"), "x", categories=["a"], on_progress=note)
    assert version.count() == 12
    assert written[:5] == [3, 4, 5, 6, 7]  # 2,400 bytes each: two wait while the third is made
