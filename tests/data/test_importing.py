"""Import: broken pictures are reported, archives unpacked, splits kept or drawn; malformed labels are one-line errors."""

import json
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.errors import (
    Conflict,
    ImageTooLarge,
    InvalidInput,
    LossyExport,
    NotFound,
    SightlineError,
    UnreadableDataset,
)
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.exporting import export_version
from sightline.data.formats.format import SourceItem
from sightline.data.importing import UNKNOWN_TURN, import_dataset
from sightline.data.samples import generate_samples
from sightline.data.versions import open_version
from sightline.imaging.files.reading import encode_image, read_label_map

WIDTH, HEIGHT = 40, 30


def make_coco(folder, count=10, split_json="labels.json"):
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(count):
        name = f"{number}.png"
        (folder / "images" / name).write_bytes(encode_image(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), "png"))
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        annotations.append({"id": number, "image_id": number, "category_id": number % 2, "bbox": [1, 1, 10, 10]})
    document = {"images": images, "annotations": annotations, "categories": [{"id": n, "name": "ab"[n]} for n in (0, 1)]}
    (folder / split_json).write_text(json.dumps(document))
    return folder


def test_importing_twice_gives_the_same_id_and_writes_no_picture_twice(tmp_path):
    source = make_coco(tmp_path / "set")
    workspace = Workspace(tmp_path / "w")
    first, _ = import_dataset(source, workspace, "x")
    times = {path: path.stat().st_mtime_ns for path in workspace.blobs.rglob("*") if path.is_file()}
    shutil.copytree(source, tmp_path / "elsewhere")
    second, _ = import_dataset(tmp_path / "elsewhere", workspace, "x")
    assert first.id == second.id
    assert times == {path: path.stat().st_mtime_ns for path in workspace.blobs.rglob("*") if path.is_file()}
    assert len(times) == 10


def test_a_dropped_picture_is_not_counted_as_unlabelled_too(tmp_path):
    source = tmp_path / "set"
    picture = encode_image(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), "png")
    for name, content in (("a/1.png", picture), ("b/2.png", picture[::-1]), ("loose.png", picture + b"x"), ("cut.png", b"no")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x", format="class_folders")
    assert version.count() == 2
    assert report.count("image", "dropped", "broken picture") == 2
    assert report.count("image", "warned", "picture outside of a class folder has no label") == 1  # loose.png, not cut.png


def test_a_folder_of_pictures_becomes_a_dataset_that_nobody_has_looked_at(tmp_path):
    source = tmp_path / "set"
    source.mkdir()
    for number in range(10):
        image = np.full((HEIGHT, WIDTH, 3), number * 20, np.uint8)
        (source / f"{number}.png").write_bytes(encode_image(image, "png"))
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x", categories=["dent", "scratch"])
    assert [(item.seen_by, item.annotations) for item in version.items()] == [("nobody", ())] * 10
    assert version.categories.names == ("dent", "scratch")
    assert version.splits == {"train": 8, "val": 1, "test": 1}
    assert list(report.findings()) == []  # nothing about it is odd
    assert import_dataset(source, Workspace(tmp_path / "w"), "y")[0].categories.names == ()


def test_an_unknown_format_says_how_to_name_one(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.bin").write_bytes(b"?")
    with pytest.raises(UnreadableDataset, match="name one as `format`"):
        import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a/1.HEIC", "a/2.heic"], "it holds 2 .heic; save its pictures as JPEG or PNG"),
        (
            ["train.zip", "test.zip", "README"],
            "it holds 2 .zip, 1 no suffix; unpack what is packed in it and import the folder",
        ),
        ([], "it holds no file; name one as `format`"),
    ],
)
def test_an_unknown_source_is_told_what_it_holds_and_what_to_do(tmp_path, names, told):
    (tmp_path / "set" / "a").mkdir(parents=True)
    for name in names:
        (tmp_path / "set" / name).write_bytes(b"?")
    with pytest.raises(UnreadableDataset, match=told):
        import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x")


def test_pictures_that_cannot_be_decoded_are_told_with_what_they_are(tmp_path):
    picture = encode_image(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), "png")
    contents = {"cat/1.png": picture, "cat/2.heic": b"?", "Cat/3.jpg": b"\0\0\0\x18ftypheic" + b"\0" * 40, "cat/4.jpg": b""}
    for name, content in contents.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    _, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x")
    examples = {finding.reason: finding.examples for finding in report.findings() if finding.kind in ("image", "category")}
    assert examples == {
        "broken picture": ["Cat/3.jpg: a HEIC or AVIF picture or a video", "cat/4.jpg: an empty file"],
        "picture of a kind that is not read; save it as JPEG or PNG": ["cat/2.heic"],
        "differs from another only in the case of letters; both are kept": ["Cat, cat"],
    }


def test_a_split_is_drawn_when_none_is_given_and_kept_when_one_is(tmp_path):
    unsplit = make_coco(tmp_path / "unsplit")
    drawn, _ = import_dataset(unsplit, Workspace(tmp_path / "1"), "x")
    assert drawn.splits == {"test": 1, "train": 8, "val": 1}
    assert drawn.manifest.seed == 0
    given, _ = import_dataset(unsplit, Workspace(tmp_path / "2"), "x", split="given")
    assert given.splits == {"unsplit": 10}
    assert given.manifest.seed is None
    halves, _ = import_dataset(unsplit, Workspace(tmp_path / "3"), "x", split="0.5/0.5", seed=7)
    assert halves.splits == {"train": 5, "val": 5}
    train = make_coco(tmp_path / "split", split_json="instances_train.json")
    kept, _ = import_dataset(train, Workspace(tmp_path / "4"), "x")
    assert kept.splits == {"train": 10}
    with pytest.raises(InvalidInput, match="sum to 1"):
        import_dataset(unsplit, Workspace(tmp_path / "5"), "x", split="most of it")


def test_the_pixel_limit_is_that_of_the_settings(tmp_path, monkeypatch):
    source = make_coco(tmp_path / "set")
    (source / "images" / "3.png").write_bytes(encode_image(np.zeros((100, 100, 3), np.uint8), "png"))
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "5000")
    _, report = import_dataset(source, Workspace(tmp_path / "w"), "x")
    assert report.count("image", "dropped", "picture with more pixels than SIGHTLINE_MAX_IMAGE_PIXELS allows") == 1


def test_broken_missing_and_huge_pictures_are_dropped_and_reported(tmp_path):
    source = make_coco(tmp_path / "set")
    content = (source / "images" / "1.png").read_bytes()
    (source / "images" / "0.png").unlink()
    (source / "images" / "1.png").write_bytes(content[: len(content) // 2])
    (source / "images" / "2.png").write_bytes(b"GIF89a nonsense")
    (source / "images" / "3.png").write_bytes(encode_image(np.zeros((100, 100, 3), np.uint8), "png"))
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x", max_pixels=5000)
    assert version.count() == 6
    assert report.count("image", "dropped", "picture is missing") == 1
    assert report.count("image", "dropped", "broken picture") == 2
    assert report.count("image", "dropped", "picture with more pixels than SIGHTLINE_MAX_IMAGE_PIXELS allows") == 1
    assert report.count("annotation", "dropped", "its picture was dropped") == 4
    _, report = import_dataset(source, Workspace(tmp_path / "w2"), "x", verify="header", max_pixels=5000)
    assert report.count("image", "dropped", "broken picture") == 1  # a header does not show that the rest is cut


def test_masks_keep_to_the_limit_of_the_import_and_not_of_the_settings(tmp_path, monkeypatch):
    source, mask = tmp_path / "source", np.repeat(np.array([[0, 255]], np.uint8), 6, axis=1)  # 12 pixels
    for folder, picture in (("images", np.zeros((1, 12, 3), np.uint8)), ("masks", mask)):
        (source / folder).mkdir(parents=True)
        cv2.imwrite(str(source / folder / "a.png"), picture)
    monkeypatch.setenv("SIGHTLINE_MAX_IMAGE_PIXELS", "10")
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x", format="label_masks", max_pixels=12)
    assert [[found.category for found in item.annotations] for item in version.items()] == [["foreground"]]
    assert not report.count("annotation", "dropped", "mask cannot be read")
    with pytest.raises(ImageTooLarge):
        read_label_map(source / "masks" / "a.png")  # the limit ended with the import


def test_an_import_that_keeps_no_picture_is_refused_and_the_good_version_stays(tmp_path):
    source, workspace = make_coco(tmp_path / "set", count=3), Workspace(tmp_path / "w")
    good, _ = import_dataset(source, workspace, "x")
    for path in (source / "images").iterdir():
        path.unlink()
    with pytest.raises(UnreadableDataset, match=r"set, got none .* dropped 3 images: picture is missing \(0\.png, \.\.\.\)"):
        import_dataset(source, workspace, "x")
    (source / "labels.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(UnreadableDataset, match="it names none"):
        import_dataset(source, workspace, "x", format="coco")
    assert workspace.find("datasets", "x") == good.folder
    assert len(workspace.list("datasets", "x")) == 1


def test_equal_pictures_are_reported_within_and_across_splits(tmp_path):
    source = tmp_path / "set"
    for split, names in (("train", "aab"), ("val", "bc")):
        make_coco(source / split, count=len(names), split_json="_annotations.coco.json")
        for number, name in enumerate(names):
            pixels = np.full((HEIGHT, WIDTH, 3), ord(name), np.uint8)
            (source / split / "images" / f"{number}.png").write_bytes(encode_image(pixels, "png"))
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x")
    assert version.splits == {"train": 3, "val": 2}
    assert report.count("image", "warned", "the same picture is in two splits") == 1
    assert report.count("image", "warned", "the same picture under two names") == 1
    assert report.count("image", "changed", "file name used twice, renamed") == 2
    assert [item.file_name for item in version.items()] == ["0.png", "1.png", "2.png", "val/0.png", "val/1.png"]


def test_labels_drawn_on_the_stored_picture_are_turned_upright(tmp_path):
    source = make_coco(tmp_path / "set", count=1)
    picture = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    picture.save(source / "images" / "0.png", exif=exif)
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x")
    (item,) = version.items()
    assert (item.width, item.height, item.orientation) == (HEIGHT, WIDTH, 6)
    # The box (1, 1)-(11, 11) of the stored 40 x 30 picture: x' = 30 - y, y' = x.
    assert item.annotations[0].box_xyxy == (19.0, 1.0, 29.0, 11.0)
    assert report.count("annotation", "changed", "drawn on the picture as stored, turned upright with it") == 1


@pytest.mark.parametrize(
    ("orientation", "size", "states_size", "is_told"),
    [
        (1, (WIDTH, HEIGHT), True, False),
        (3, (WIDTH, HEIGHT), True, True),
        (6, (WIDTH, HEIGHT), True, False),  # that of the stored picture: the labels are turned
        (6, (HEIGHT, WIDTH), True, False),  # that of the upright one
        (6, (WIDTH, HEIGHT), False, True),
        (8, (HEIGHT, HEIGHT), True, True),
    ],
)
def test_labels_of_a_turned_picture_whose_size_tells_nothing_are_told(tmp_path, orientation, size, states_size, is_told):
    source = make_coco(tmp_path / "set", count=2)
    stored = (HEIGHT, HEIGHT) if size[0] == size[1] else (WIDTH, HEIGHT)
    picture = Image.fromarray(np.zeros((stored[1], stored[0], 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(source / "images" / "0.png", exif=exif)
    document = json.loads((source / "labels.json").read_text())
    document["images"][0] |= {"width": size[0], "height": size[1]} if states_size else {"width": 0, "height": 0}
    (source / "labels.json").write_text(json.dumps(document))
    _, report = import_dataset(source, Workspace(tmp_path / "w"), "x")
    assert report.count("image", "warned", UNKNOWN_TURN) == is_told


@pytest.mark.parametrize("format", ["yolo", "yolo_segment", "darknet"])
def test_the_labels_of_our_own_export_are_known_to_be_those_of_the_upright_picture(tmp_path, format):
    source = make_coco(tmp_path / "set", count=1)
    picture = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(source / "images" / "0.png", exif=exif)
    version, _ = import_dataset(source, Workspace(tmp_path / "w"), "x")
    export_version(version, tmp_path / "out", format)
    again, report = import_dataset(tmp_path / "out", Workspace(tmp_path / "w"), "again", format=format)
    assert not report.count("image", "warned", UNKNOWN_TURN)
    (before,), (after,) = version.items(), again.items()
    assert after.annotations[0].box_xyxy == pytest.approx(before.annotations[0].box_xyxy, abs=1e-5)
    for facts in (tmp_path / "out").rglob("*.facts.json"):
        facts.unlink()
    _, report = import_dataset(tmp_path / "out", Workspace(tmp_path / "w"), "other", format=format)
    assert report.count("image", "warned", UNKNOWN_TURN) == 1  # as labels of any other tool


def test_labels_of_another_size_are_reported(tmp_path):
    source = make_coco(tmp_path / "set", count=1)
    (source / "images" / "0.png").write_bytes(encode_image(np.zeros((15, 20, 3), np.uint8), "png"))
    _, report = import_dataset(source, Workspace(tmp_path / "w"), "x")
    assert report.count("image", "warned", "the labels state another size than the picture has") == 1


def test_an_archive_is_imported_like_its_folder(tmp_path):
    source = make_coco(tmp_path / "set")
    folder, _ = import_dataset(source, Workspace(tmp_path / "1"), "x")
    for kind, name in (("zip", "set.zip"), ("gztar", "set.tar.gz")):
        shutil.make_archive(str(tmp_path / "set"), kind, tmp_path, "set")
        packed, report = import_dataset(tmp_path / name, Workspace(tmp_path / kind), "x")
        assert packed.id == folder.id
        assert report.is_clean


def test_an_evil_archive_is_refused_in_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../evil.json", "{}")
    with pytest.raises(InvalidInput, match="leads out of its folder"):
        import_dataset(tmp_path / "evil.zip", Workspace(tmp_path / "w"), "x")
    assert not (tmp_path / "w").exists()


def test_a_plain_folder_and_a_blob_store_do_without_a_workspace(tmp_path):
    source = make_coco(tmp_path / "set")
    version, _ = import_dataset(source, tmp_path / "v", "x", blobs=BlobStore(tmp_path / "blobs"))
    assert version.folder == tmp_path / "v"
    assert version.read_image(next(version.items())).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(InvalidInput, match="place for the pictures"):
        import_dataset(source, tmp_path / "other", "x")
    with pytest.raises(Conflict, match="exists already"):
        import_dataset(source, tmp_path / "v", "x", blobs=BlobStore(tmp_path / "blobs"))


def test_only_the_asked_categories_stay(tmp_path):
    version, report = import_dataset(make_coco(tmp_path / "set"), Workspace(tmp_path / "w"), "x", categories=("b",))
    assert version.categories.names == ("b",)
    assert version.manifest.annotation_counts == {"b": 5}
    assert report.count("annotation", "dropped", "unknown category") == 5


def test_progress_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("sightline.data.importing.PROGRESS_EVERY", 4)
    events = []
    import_dataset(make_coco(tmp_path / "set"), Workspace(tmp_path / "w"), "x", on_progress=events.append)
    assert [event.metrics["images"] for event in events] == [4, 8, 10]
    assert [event.progress for event in events] == [None, None, 1.0]


def test_nothing_there_and_nothing_known_are_clear_errors(tmp_path):
    with pytest.raises(NotFound, match="got nothing there"):
        import_dataset(tmp_path / "nowhere", Workspace(tmp_path / "w"), "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableDataset, match="none of the formats"):
        import_dataset(tmp_path / "empty", Workspace(tmp_path / "w"), "x")
    with pytest.raises(NotFound, match="no dataset format"):
        import_dataset(tmp_path / "empty", Workspace(tmp_path / "w"), "x", format="excel")
    with pytest.raises(InvalidInput, match="a name of letters"):
        import_dataset(tmp_path / "empty", Workspace(tmp_path / "w"), "../x")


def test_an_export_that_loses_something_needs_permission(tmp_path):
    version = generate_samples(Workspace(tmp_path / "w"), 4, task="classification", width=160, height=120)
    with pytest.raises(LossyExport, match=r"whole image has no place in VOC.*`allow_loss`"):
        export_version(version, tmp_path / "voc", "voc")
    assert not (tmp_path / "voc").exists()
    report = export_version(version, tmp_path / "voc", "voc", allow_loss=True)
    assert report.dropped("annotation") == 4
    assert Annotation(category="good").geometry == "image"


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_the_fuzzers_label_files_are_errors_in_one_line(shared_data, tmp_path, suffix):
    paths = sorted((shared_data / "malformed" / "go-fuzz-corpus").rglob(f"*{suffix}*"))
    files = [path for path in paths if path.is_file()]
    assert len(files) >= 40
    for number, path in enumerate(files):
        copy = tmp_path / f"{number}.{suffix}"
        copy.write_bytes(path.read_bytes())
        for format in ("auto", "coco" if suffix == "json" else "voc"):
            with pytest.raises(SightlineError) as caught:
                import_dataset(copy, Workspace(tmp_path / "w"), "x", format=format)
            assert "\n" not in str(caught.value), path


def test_cut_label_files_are_errors_or_reported(tmp_path):
    source = make_coco(tmp_path / "set")
    text = (source / "labels.json").read_bytes()
    for cut in range(0, len(text) - 1, 97):
        (source / "labels.json").write_bytes(text[:cut])
        with pytest.raises(SightlineError) as caught:
            import_dataset(source, Workspace(tmp_path / "w"), "x", format="coco")
        assert "\n" not in str(caught.value)


def test_mutated_labels_never_cost_more_than_an_error_in_one_line(tmp_path):
    source = make_coco(tmp_path / "set", count=2)
    document = json.loads((source / "labels.json").read_text())
    hostile = [
        None, True, -1, 1e308, float("nan"), float("inf"), 10**30, "", "x" * 5000, "\ud800", "a\0b", "/etc/passwd",
        "../" * 90, [], {}, [[]], [1, 2], [[1, 2, 3]], [[float("nan")] * 6],
        {"size": [1, 2]}, {"size": [30, 40], "counts": "é"}, {"counts": []},
        {"size": [30, 40], "counts": [-1, 1201]}, {"size": [10**20, 10**20], "counts": [5]},
        {"size": [30, 40], "counts": "\ud800"},
    ]  # fmt: skip
    fields = {"images": ("id", "file_name", "width", "height"), "categories": ("id", "name", "supercategory")}
    fields["annotations"] = ("image_id", "category_id", "bbox", "segmentation", "iscrowd", "score", "keypoints", "attributes")
    outcomes = {"read": 0, "refused": 0}
    for part, names in fields.items():
        for name in names:
            for value in hostile:
                changed = json.loads(json.dumps(document))
                changed[part][0][name] = value
                (source / "labels.json").write_text(json.dumps(changed))
                try:
                    import_dataset(source, Workspace(tmp_path / "w"), "x", format="coco", verify="header")
                    outcomes["read"] += 1
                except SightlineError as error:
                    assert "\n" not in str(error)
                    outcomes["refused"] += 1
    assert outcomes["read"] > outcomes["refused"]


def test_the_fuzzers_pictures_are_dropped_or_kept_but_never_fatal(shared_data, tmp_path):
    source = tmp_path / "set"
    (source / "images").mkdir(parents=True)
    paths = [path for path in sorted((shared_data / "malformed").rglob("*")) if path.is_file() and path.suffix not in (".zip",)]
    images = []
    for number, path in enumerate(paths):
        name = f"{number}{path.suffix}"
        (source / "images" / name).write_bytes(path.read_bytes())
        images.append({"id": number, "file_name": name})
    (source / "labels.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x", split="given")
    assert version.count() + report.dropped("image") == len(paths) >= 400
    for item in version.items():
        assert version.read_image(item).shape == (item.height, item.width, 3)


def test_categories_that_the_source_does_not_have_are_told_and_none_at_all_refused(tmp_path):
    source = make_coco(tmp_path / "set")
    version, report = import_dataset(source, Workspace(tmp_path / "w"), "x", categories=["a", "bb"])
    assert report.count("category", "warned", "asked for, but the source has no such category") == 1
    assert version.categories.names == ("a", "bb")
    for names in ([], ["a", "a"]):
        with pytest.raises(InvalidInput):
            import_dataset(source, Workspace(tmp_path / "w2"), "x", categories=names)
    assert not (tmp_path / "w2").exists()


def test_an_archive_of_nothing_known_is_called_by_its_own_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("notes.doc", "x")
    with pytest.raises(UnreadableDataset, match=r"^mine\.zip looks like none"):
        import_dataset(tmp_path / "mine.zip", Workspace(tmp_path / "w"), "x")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    version = generate_samples(Workspace(tmp_path / "w"), 1, width=160, height=120)
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(InvalidInput, match="check that path"):
            export_version(version, target, "coco")
    with pytest.raises(InvalidInput, match="check that path"):
        import_dataset(make_coco(tmp_path / "set"), Workspace(tmp_path / "file"), "x")


def save_gray(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_16_bit_pictures_of_a_12_bit_camera_are_told(tmp_path):
    values = np.linspace(0, 4095, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    for name in ("a.png", "b.tif"):
        save_gray(tmp_path / "set" / "x" / name, values)
    cv2.imwrite(str(tmp_path / "set" / "x" / "colour.png"), np.stack([values] * 3, axis=2))
    save_gray(tmp_path / "set" / "x" / "scaled.png", values * 16)
    save_gray(tmp_path / "set" / "x" / "brighter.png", values + 1)
    save_gray(tmp_path / "set" / "x" / "night.png", (values // 256).astype(np.uint8))  # 8 bit: as it is
    _, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x")
    (dark,) = (finding for finding in report.findings() if "almost black" in finding.reason)
    assert dark.count == 3 and dark.examples == ["x/a.png", "x/b.tif", "x/colour.png"]
    assert "scale the values" in dark.reason


def test_a_tiff_of_several_pages_is_told(tmp_path):
    pages = [np.full((HEIGHT, WIDTH), shade, np.uint8) for shade in (10, 20, 30)]
    for name, more in (("one.tif", []), ("stack.tif", pages[1:])):
        path = tmp_path / "set" / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pages[0]).save(path, save_all=True, append_images=[Image.fromarray(page) for page in more])
    _, report = import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x", verify="header")
    (stack,) = (finding for finding in report.findings() if "first page" in finding.reason)
    assert stack.count == 1 and stack.examples == ["x/stack.tif: 3 pages"]


def test_paths_may_be_text(tmp_path):
    source, blobs = make_coco(tmp_path / "set"), BlobStore(str(tmp_path / "blobs"))
    version, _ = import_dataset(str(source), str(tmp_path / "version"), "x", blobs=blobs)
    assert version.folder == tmp_path / "version"
    opened = open_version(str(tmp_path / "version"))
    assert opened.id == version.id
    export_version(opened, str(tmp_path / "coco"), "coco")
    assert import_dataset(str(tmp_path / "coco"), Workspace(str(tmp_path / "w")), "x")[0].count() == 10


def test_a_picture_without_annotations_is_told_unless_it_is_known_who_looked(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, HEIGHT, WIDTH, 3), np.uint8)
    guess = Annotation(category="cat", confidence=0.5, origin="model")
    rows = [(None, ()), ("human", ()), ("model", ()), ("nobody", ()), (None, (Annotation(category="cat"),)), (None, (guess,))]
    items = [
        SourceItem(file_name=f"{number}.png", content=pixels[number], seen_by=viewer, annotations=annotations)
        for number, (viewer, annotations) in enumerate(rows)
    ]
    version, report = import_dataset(items, Workspace(tmp_path), "x", split="given")
    (told,) = (finding for finding in report.findings() if "counts as a picture that shows nothing" in finding.reason)
    assert (told.count, told.examples) == (1, ["0.png"])
    assert [item.seen_by for item in version.items()] == [None, "human", "model", "nobody", None, None]


@pytest.mark.parametrize(("origin", "viewer"), [("human", "human"), ("model", "model")])
def test_where_no_wanted_category_was_seen_it_is_kept_who_looked(tmp_path, origin, viewer):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    item = SourceItem(file_name="1.png", content=pixels, annotations=(Annotation(category="dog", origin=origin),))
    version, _ = import_dataset([item], Workspace(tmp_path), "x", split="given", categories=["cat"])
    assert [(one.annotations, one.seen_by) for one in version.items()] == [((), viewer)]
