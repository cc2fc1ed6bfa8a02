"""Written Datumaro JSON: what is in the file, that nothing is lost, and that it says the same as the version's COCO files."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO
from faster_coco_eval import mask as coco_masks
from format_samples import by_blob, make_version, round_trip

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import LossyExport
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.exporting import export_version
from sightline.data.formats.table import load_format
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import encode_mask

NAMES = ("zebra", "ant", "rotten fruit")
WIDTH, HEIGHT = 40, 30
RING = (1.0, 1.0, 5.5, 1.0, 5.5, 8.25)
OTHER = (11.0, 1.0, 15.0, 1.0, 15.0, 5.0)


def write(tmp_path: Path, *annotations: Annotation, **changes: Any) -> dict[str, Any]:
    """The JSON of one picture's annotations."""
    version = make_version(tmp_path, [("a/b.png", "train", annotations)], NAMES)
    export_version(version, tmp_path / "out", "datumaro", **changes)
    document: dict[str, Any] = json.loads((tmp_path / "out/annotations/train.json").read_text())
    return document


def test_the_file_is_as_datumaro_writes_it(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        Annotation(category="ant", box_xyxy=(1.0, 2.0, 4.0, 8.0), attributes={"occluded": "true", "n": "7", "object_id": "3"}),
        Annotation(category="zebra", confidence=0.5, origin="model"),
    )
    assert list(document) == ["dm_format_version", "media_type", "infos", "categories", "items"]
    assert (document["dm_format_version"], document["media_type"]) == ("1.0", 2)
    assert document["categories"] == {
        "label": {
            "labels": [{"name": name, "parent": "", "attributes": []} for name in NAMES],
            "label_groups": [],
            "attributes": ["n", "object_id", "occluded"],
        }
    }
    box = {"id": 0, "type": "bbox", "attributes": {"occluded": True, "n": 7}, "object_id": 3, "group": 0, "label_id": 1,
           "z_order": 0, "bbox": [1.0, 2.0, 3.0, 6.0]}  # fmt: skip
    label = {"id": 0, "type": "label", "attributes": {"score": 0.5}, "group": 0, "label_id": 0}
    image = {"path": "a/b.png", "size": [10, 20]}
    assert document["items"] == [{"id": "a/b", "annotations": [box, label], "image": image}]
    assert (tmp_path / "out/images/train/a/b.png").is_file()


def test_the_dataset_is_called_as_the_workspace_calls_it(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", None, ())], NAMES)
    version.name = "renamed"  # of a version that was imported under another name than its record has
    export_version(version, tmp_path / "out", "datumaro")
    assert json.loads((tmp_path / "out/annotations/default.json").read_text())["infos"]["name"] == "renamed"


def test_several_pieces_of_an_annotation_are_a_group_of_their_own(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        Annotation(category="ant", polygons=(RING, OTHER), box_xyxy=(1.0, 1.0, 15.0, 8.25)),
        Annotation(category="ant", polygons=(RING,), box_xyxy=(1.0, 1.0, 5.5, 8.25)),
        Annotation(category="ant", polygons=(RING,), box_xyxy=(0.0, 0.0, 9.0, 9.0)),
        Annotation(category="ant", box_xyxy=(0.0, 0.0, 9.0, 9.0), attributes={"group": "4"}),
        Annotation(category="zebra", box_xyxy=(0.0, 0.0, 9.0, 9.0), attributes={"group": "4"}),
    )
    (item,) = document["items"]
    pieces = [(piece["type"], piece["group"]) for piece in item["annotations"]]
    assert pieces == [
        ("polygon", 5), ("polygon", 5), ("polygon", 0), ("polygon", 6), ("bbox", 6), ("bbox", 4), ("bbox", 4),
    ]  # fmt: skip
    assert all("group" not in piece["attributes"] for piece in item["annotations"])


def test_two_pictures_of_one_id_are_told_apart(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", None, ()), ("a.jpg", None, ()), ("a.bmp", "val", ())], NAMES)
    with pytest.raises(LossyExport, match="picture renamed"):
        export_version(version, tmp_path / "refused", "datumaro")
    again, _ = round_trip(version, "datumaro", tmp_path, allow_loss=True)
    assert sorted(item.file_name for item in again.items()) == ["a-jpg.jpg", "a.bmp", "a.png"]


def test_attributes_of_a_name_that_the_format_uses_are_told(tmp_path: Path) -> None:
    lost = Annotation(category="ant", confidence=0.5, origin="model", is_crowd=True, attributes={"score": "x", "is_crowd": "y"})
    version = make_version(tmp_path, [("a.png", None, (lost,))], NAMES)
    assert load_format("datumaro").check(version).dropped("attribute") == 2


def test_pixels_to_ignore_are_told(tmp_path: Path) -> None:
    version = make_version(tmp_path, [("a.png", None, ())], NAMES, unlabelled_pixels="ignore")
    assert load_format("datumaro").check(version).changed("attribute") == 1


def make_random_annotation(rng: np.random.Generator) -> Annotation:
    """Anything that an annotation can hold, its bounds filled in as an import does."""
    x, y = rng.integers(0, WIDTH - 12), rng.integers(0, HEIGHT - 12)
    box = tuple(
        float(value) for value in (x + rng.random(), y + rng.random(), x + 2 + rng.random() * 9, y + 2 + rng.random() * 9)
    )
    rings = tuple(
        tuple(float(value) for value in (box[0], box[1], box[2] - part, box[1] + part, box[2], box[3]))
        for part in range(rng.integers(1, 4))
    )
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[y : y + 5, x : x + 5] = rng.random((5, 5)) < 0.5
    pixels[y, x] = True
    kind = rng.integers(5)
    values = ("true", "false", "7", "007", "1.5", "1e+16", "-0.0", "nan", "None", "", "ü x", "9" * 40, "[1]", "0", "Infinity")
    names = ("group", "score", "is_crowd", "rotation", "object_id", "origin", "occluded", "track id")
    confidence = float(rng.random()) if rng.random() < 0.3 else None
    is_crowd = bool(rng.random() < 0.2)
    attributes = {str(name): str(rng.choice(values)) for name in rng.choice(names, rng.integers(0, 5), replace=False)}
    if confidence is not None:
        attributes.pop("score", None)
    if is_crowd:
        attributes.pop("is_crowd", None)
    if rng.random() < 0.5:
        attributes["group"] = str(rng.integers(1, 3))
    return Annotation(
        category=str(rng.choice(NAMES)),
        box_xyxy=None if kind == 0 else box,
        polygons=rings if kind in (2, 4) else None,
        mask=encode_mask(pixels) if kind in (3, 4) else None,
        confidence=confidence,
        origin="model" if rng.random() < 0.5 else "human",
        is_crowd=is_crowd,
        attributes=attributes,
    )


def round_numbers(annotation: Annotation) -> Annotation:
    """To a millionth of a pixel: a box is written as its corner and size."""
    box = annotation.box_xyxy
    values = None if box is None else tuple(round(value, 6) + 0.0 for value in box)
    return Annotation(
        **{name: values if name == "box_xyxy" else getattr(annotation, name) for name in annotation.__struct_fields__}
    )


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_version_holds_comes_back(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blobs = BlobStore(tmp_path / "blobs")
    with VersionWriter(tmp_path / "version", "any", Categories(NAMES), blobs) as writer:
        for number in range(6):
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            writer.add(
                Item(
                    blob=blobs.put_bytes(encode_image(pixels, "png")),
                    file_name=f"{'ab'[number % 2]}/picture {number}.ü.png",
                    width=WIDTH,
                    height=HEIGHT,
                    split=(None, "train", "my split")[number % 3],
                    source_video="v.mp4" if number == 1 else None,
                    frame_pts=7 if number == 1 else None,
                    seen_by=(None, "human", "model", "nobody")[number % 4],  # type: ignore[arg-type]
                    annotations=tuple(make_random_annotation(rng) for _ in range(rng.integers(0, 8))),
                )
            )
        version = writer.close()
    assert load_format("datumaro").check(version).is_clean
    again, read = round_trip(version, "datumaro", tmp_path)
    assert read.is_clean, read.lines()
    assert again.categories == version.categories
    theirs = by_blob(again)
    for blob, ours in by_blob(version).items():
        found = theirs[blob]
        assert (found.file_name, found.split, found.source_video, found.frame_pts) == (
            ours.file_name, ours.split, ours.source_video, ours.frame_pts,
        )  # fmt: skip
        assert list(map(round_numbers, found.annotations)) == list(map(round_numbers, ours.annotations))


def assert_says_the_same_as_coco(version: DatasetVersion, tmp_path: Path) -> Counter[str]:
    """Compares with what faster-coco-eval reads of the COCO export; returns how many objects of each category there are."""
    for format in ("coco", "datumaro"):
        export_version(version, tmp_path / format, format, allow_loss=True)  # of pixels to ignore
    counts: Counter[str] = Counter()
    for path in sorted((tmp_path / "datumaro/annotations").glob("*.json")):
        document = json.loads(path.read_text())
        names = [label["name"] for label in document["categories"]["label"]["labels"]]
        coco = COCO(str(tmp_path / f"coco/annotations/instances_{path.stem}.json"))
        images = {image["file_name"]: image for image in coco.dataset["images"]}
        assert len(images) == len(document["items"])
        for item in document["items"]:
            image = images[item["image"]["path"]]
            height, width = item["image"]["size"]
            assert (width, height) == (image["width"], image["height"])
            expected = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            groups: dict[Any, list[dict[str, Any]]] = {}
            for number, piece in enumerate(item["annotations"]):
                groups.setdefault(piece["group"] or ("alone", number), []).append(piece)
            assert len(groups) == len(expected)
            for pieces, record in zip(groups.values(), expected, strict=True):
                name = names[pieces[0]["label_id"]]
                assert name == coco.cats[record["category_id"]]["name"]
                counts[name] += 1
                boxes = [piece["bbox"] for piece in pieces if piece["type"] == "bbox"]
                rings = [piece["points"] for piece in pieces if piece["type"] == "polygon"]
                masks = [piece["rle"] for piece in pieces if piece["type"] == "mask"]
                if boxes:
                    assert boxes[0] == pytest.approx(record["bbox"], abs=1e-6)
                if rings or masks:
                    drawn = masks + (coco_masks.frPyObjects(rings, height, width) if rings else [])
                    assert np.array_equal(coco_masks.decode(coco_masks.merge(drawn)), coco.annToMask(record))
    return counts


def test_real_boxes_say_the_same_as_coco(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "detection/bccd/BCCD"
    version, _ = import_dataset(source, Workspace(tmp_path / "w"), "bccd", split="given")
    counts = assert_says_the_same_as_coco(version, tmp_path)
    assert counts == Counter({"RBC": 4153, "WBC": 372, "Platelets": 361})  # 4,155 red cells, two of them without area
    again, read = import_dataset(tmp_path / "datumaro", Workspace(tmp_path / "again"), "bccd")
    assert read.is_clean
    assert again.splits == version.splits
    for ours, theirs in zip(sorted_items(version), sorted_items(again), strict=True):
        assert list(map(round_numbers, theirs.annotations)) == list(map(round_numbers, ours.annotations))


def sorted_items(version: DatasetVersion) -> list[Item]:
    return sorted(version.items(), key=lambda item: item.file_name)


@pytest.mark.parametrize(
    ("source", "format", "count"),
    [("label-formats/labelme-nuts", "coco", 49), ("label-formats/cityscapes-style", "cityscapes", 44)],
)
def test_real_outlines_say_the_same_as_coco(shared_data: Path, tmp_path: Path, source: str, format: str, count: int) -> None:
    version, _ = import_dataset(shared_data / source, Workspace(tmp_path / "w"), "x", format=format, split="given")
    counts = assert_says_the_same_as_coco(version, tmp_path)
    assert counts.total() == count
    again, read = import_dataset(tmp_path / "datumaro", Workspace(tmp_path / "again"), "x", format="datumaro")
    assert read.is_clean
    assert [item.annotations for item in sorted_items(again)] == [item.annotations for item in sorted_items(version)]
