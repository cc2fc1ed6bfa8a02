"""COCO: layouts, ids, masks and losses; pycocotools' RLE semantics come from faster-coco-eval."""

import json

import numpy as np
import pytest
from faster_coco_eval import COCO
from faster_coco_eval import mask as coco_masks

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.blobs import BlobStore
from sightline.data.conversion import ConversionReport
from sightline.data.exporting import export_version
from sightline.data.formats.coco import scanning
from sightline.data.formats.coco.format import CocoFormat
from sightline.data.importing import import_dataset
from sightline.data.items import Item
from sightline.data.samples import generate_samples
from sightline.data.versions import VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import decode_mask

WIDTH, HEIGHT = 40, 30


def put_picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    path.write_bytes(encode_image(pixels, "png"))


def put_json(path, images, annotations, categories=({"id": 7, "name": "cat"}, {"id": 90, "name": "dog"}), order=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"images": images, "annotations": annotations, "categories": list(categories)}
    path.write_text(json.dumps({key: document[key] for key in order or document}))


def image(identity, file_name):
    return {"id": identity, "file_name": file_name, "width": WIDTH, "height": HEIGHT}


def box(image_id, category_id=7, **fields):
    return {"id": 1, "image_id": image_id, "category_id": category_id, "bbox": [1, 2, 10, 20], **fields}


def read(source, tmp_path, **options):
    version, report = import_dataset(source, Workspace(tmp_path / "workspace"), "x", split="given", **options)
    return {item.file_name: item for item in version.items()}, report, version


@pytest.mark.parametrize("folder", ["images", "images/sub"])
def test_pictures_that_no_json_lists_are_told(tmp_path, folder):
    source = tmp_path / "set"
    for number in range(4):
        put_picture(source / "images" / f"{number}.png", number)
    put_picture(source / folder / "listed.png", 9)
    name = f"{folder}/listed.png".removeprefix("images/")
    put_json(source / "annotations" / "instances_train.json", [image(1, name), image(2, "0.png")], [box(1)])
    put_json(source / "annotations" / "instances_val.json", [image(1, "1.png")], [box(1)])
    items, report, _ = read(source, tmp_path)
    assert len(items) == 3
    assert report.count("image", "warned", "picture that no JSON lists is left out") == 2
    assert report.warned("image") == 3  # and one that is listed without annotations
    assert "images/2.png; images/3.png" in "".join(report.lines())


def test_sparse_ids_empty_pictures_and_equal_names_in_two_folders(tmp_path):
    source = tmp_path / "set"
    for number, name in enumerate(["a/1.png", "b/1.png", "straße ü.png"]):
        put_picture(source / "images" / name, number)
    images = [image(10**12, "a/1.png"), image(-3, "b/1.png"), image(0, "straße ü.png")]
    put_json(source / "annotations" / "instances_default.json", images, [box(-3), box(10**12, 90), box(-3, 90)])
    items, report, version = read(source, tmp_path)
    assert report.is_clean
    assert version.categories.names == ("cat", "dog")
    assert [a.category for a in items["b/1.png"].annotations] == ["cat", "dog"]
    assert items["a/1.png"].annotations == (Annotation(category="dog", box_xyxy=(1.0, 2.0, 11.0, 22.0)),)
    assert items["straße ü.png"].annotations == ()
    assert items["a/1.png"].split is None


@pytest.mark.parametrize(
    "order",
    [
        ("images", "categories", "annotations"),  # Label Studio
        ("annotations", "images", "categories"),
        ("annotations", "categories", "images"),  # sorted keys
        ("categories", "annotations", "images"),
    ],
)
def test_a_large_json_is_recognised_whatever_the_order_of_its_keys(tmp_path, order):
    put_picture(tmp_path / "set/images/0.png")
    images = [image(number, f"images/{number}.png") for number in range(1500)]  # 100 KB, as the annotations are
    categories = [{"id": number, "name": f"category {number}"} for number in range(2500)]
    put_json(tmp_path / "set/result.json", images, [box(number) for number in range(1500)], categories, order)
    _, report, version = read(tmp_path / "set", tmp_path)
    assert version.manifest.source["format"] == "coco"
    assert report.kept == {"image": 1, "annotation": 1}


def test_a_json_that_the_sniff_does_not_know_is_read_when_coco_is_asked_for(tmp_path):
    put_picture(tmp_path / "set/images/0.png")
    document = {
        "notes": "x" * 100_000,
        "images": [image(0, "0.png")],
        "annotations": [],
        "categories": [],
        "more": "x" * 100_000,
    }
    (tmp_path / "set/result.json").write_text(json.dumps(document))
    assert list(read(tmp_path / "set", tmp_path, format="coco")[0]) == ["0.png"]


@pytest.mark.parametrize("order", [("annotations", "images", "categories"), ("categories", "annotations", "images")])
def test_the_order_of_the_keys_does_not_matter_nor_the_size_of_a_block(tmp_path, monkeypatch, order):
    monkeypatch.setattr(scanning, "IMAGES_PER_BLOCK", 2)
    monkeypatch.setattr(scanning, "BUFFERED_BYTES", 300)
    source = tmp_path / "set"
    for number in range(7):
        put_picture(source / f"{number}.png", number)
    images = [image(n, f"{n}.png") for n in range(7)]
    annotations = [box(n % 7, bbox=[n, 0, 1, 5]) for n in range(30)]
    put_json(source / "labels.json", images, annotations, order=order)
    items, report, _ = read(source, tmp_path)
    assert report.is_clean
    for number in range(7):
        found = [annotation.box_xyxy[0] for annotation in items[f"{number}.png"].annotations]
        assert found == [n for n in range(30) if n % 7 == number]


@pytest.mark.parametrize(
    ("json_name", "picture", "split"),
    [
        ("annotations/instances_train2017.json", "train2017/1.png", "train"),
        ("annotations/instances_val.json", "images/val/1.png", "val"),
        ("valid/_annotations.coco.json", "valid/1.png", "val"),
        ("annotations/person_keypoints_test.json", "images/1.png", "test"),
        ("labels.json", "data/1.png", None),
        ("instances_night.json", "1.png", "night"),
        ("annotations/instances_test_day.json", "images/1.png", "test_day"),
        ("annotations/instances_fold1_val.json", "images/1.png", "fold1_val"),
        ("annotations/instances_val2017_100.json", "images/1.png", "val"),
        ("annotations/instances_test-dev2017.json", "test2017/1.png", "test"),
        ("instances_attributes_train2020.json", "train/1.png", "train"),
        ("annotations/instances_val2017_subset.json", "val2017/1.png", "val"),
        ("annotations/instances_training_set.json", "train/1.png", "training_set"),
        ("annotations/image_info_test-dev2017.json", "test2017/1.png", "test"),
        ("annotations/lvis_v1_train.json", "images/1.png", "train"),
    ],
)
def test_layouts_in_use_are_found_with_their_split(tmp_path, json_name, picture, split):
    put_picture(tmp_path / "set" / picture)
    put_json(tmp_path / "set" / json_name, [image(1, "1.png")], [box(1)])
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert report.is_clean
    assert items["1.png"].split == split


def test_a_split_that_would_be_read_as_another_is_said_before(tmp_path):
    def check(*splits):
        with VersionWriter(tmp_path / "-".join(splits), "x", Categories(["cat"]), BlobStore(tmp_path / "blobs")) as writer:
            for split in splits:
                writer.add(Item(blob="0" * 64, file_name=f"{split}.png", width=WIDTH, height=HEIGHT, split=split))
            return CocoFormat().check(writer.close())

    assert check("test_day", "test_night", "trainval", "night").is_clean
    (finding,) = check("train", "train2", "dev", "default").findings()
    assert finding.reason == "split's name is read back as another"
    assert sorted(finding.examples) == ["default -> none", "dev -> val", "train2 -> train"]


@pytest.mark.parametrize("names", [("a.png", "train/a.png", "b.png"), ("b.png", "train/a.png", "a.png")])
def test_a_picture_in_a_folder_named_as_its_split_is_not_taken_for_the_one_above(tmp_path, names):
    for name in names:
        put_picture(tmp_path / "set/images" / name, seed=len(name))
    listed = [image(number, name) for number, name in enumerate(names)]
    put_json(tmp_path / "set/annotations/instances_train.json", listed, [box(number) for number in range(3)])
    items, _, version = read(tmp_path / "set", tmp_path)
    for name in names:
        assert version.read_bytes(items[name]) == (tmp_path / "set/images" / name).read_bytes()


def test_masks_are_read_from_both_kinds_of_rle(tmp_path):
    pixels = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.6
    compressed = coco_masks.encode(np.asfortranarray(pixels.astype(np.uint8)))
    flat = pixels.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    if flat[0]:
        runs = [0, *runs]
    counts = compressed["counts"]
    segmentations = [
        {"size": [HEIGHT, WIDTH], "counts": counts.decode() if isinstance(counts, bytes) else counts},
        {"size": [HEIGHT, WIDTH], "counts": runs},
    ]
    put_picture(tmp_path / "set" / "1.png")
    annotations = [box(1, segmentation=segmentation, iscrowd=1) for segmentation in segmentations]
    put_json(tmp_path / "set" / "x.json", [image(1, "1.png")], annotations)
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert report.is_clean
    for annotation in items["1.png"].annotations:
        assert annotation.is_crowd
        assert np.array_equal(decode_mask(annotation.mask), pixels)


def test_every_loss_is_told(tmp_path):
    put_picture(tmp_path / "set" / "1.png")
    images = [image(1, "1.png"), image(1, "again.png"), {"file_name": "x"}, image(2, "gone.png")]
    annotations = [
        box(1),
        box(1, 55),
        box(99),
        box(1, bbox=[1, 2, 0, 5]),
        box(1, bbox=[1, "x", 3, 5]),
        box(1, bbox=[1, 2, 3]),
        box(1, segmentation={"size": [HEIGHT, WIDTH], "counts": [5, 5]}),
        box(1, keypoints=[1, 2, 2]),
        {"image_id": 1, "caption": "a cat"},
        box(2),
        "nonsense",
    ]
    put_json(tmp_path / "set" / "x.json", images, annotations)
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert len(items["1.png"].annotations) == 3
    told = {(finding.kind, finding.reason): finding.count for finding in report.findings() if finding.outcome == "dropped"}
    assert told == {
        ("image", "image id used twice"): 1,
        ("image", "image without an id or a file name"): 1,
        ("image", "picture is missing"): 1,
        ("annotation", "its picture was dropped"): 1,
        ("annotation", "its image is not in the list of images"): 2,
        ("annotation", "unknown category"): 1,
        ("annotation", "box without area"): 1,
        ("annotation", "bbox or segmentation that is not as COCO defines it"): 2,
        ("annotation", "caption or other label without a category"): 1,
        ("attribute", "keypoints are not kept"): 1,
    }
    assert report.count("annotation", "changed", "segmentation that is not as COCO defines it, its box is kept") == 1


def test_two_corners_for_a_segmentation_leave_the_box(tmp_path):
    put_picture(tmp_path / "set" / "1.png")
    corners = [[1, 2, 11, 22]]
    annotations = [box(1, segmentation=corners), box(1, bbox=None, segmentation=corners)]
    put_json(tmp_path / "set" / "x.json", [image(1, "1.png")], annotations)
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert items["1.png"].annotations == (Annotation(category="cat", box_xyxy=(1.0, 2.0, 11.0, 22.0)),)
    assert report.count("annotation", "changed", "polygon without area, its box is kept") == 1
    assert report.count("annotation", "dropped", "polygon without area") == 1


def test_a_picture_is_found_however_its_accents_are_composed(tmp_path):
    put_picture(tmp_path / "set" / "gru\u0308n.png")  # as macOS keeps it
    put_json(tmp_path / "set" / "x.json", [image(1, "gr\u00fcn.png")], [box(1)])
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert report.is_clean
    assert list(items) == ["gr\u00fcn.png"]


@pytest.mark.parametrize("name", ["../secret.png", "/tmp/secret.png", "a/../../secret.png", "..\\secret.png", "C:\\secret.png"])
def test_a_picture_outside_of_the_data_set_is_not_read(tmp_path, name):
    put_picture(tmp_path / "secret.png")
    put_json(tmp_path / "set" / "x.json", [image(1, name)], [box(1)])
    with pytest.raises(UnreadableDataset, match="dropped 1 image: picture is missing"):
        read(tmp_path / "set", tmp_path)
    assert not (tmp_path / "workspace").exists()


def test_another_program_reads_what_we_write(tmp_path):
    version = generate_samples(Workspace(tmp_path / "w"), 12, task="instance", width=160, height=120)
    report = export_version(version, tmp_path / "coco", "coco")
    assert report.is_clean
    found = 0
    for split in version.splits:
        truth = COCO(str(tmp_path / "coco" / "annotations" / f"instances_{split}.json"))
        by_name = {record["file_name"]: record["id"] for record in truth.dataset["images"]}
        for item in version.items(split):
            assert (tmp_path / "coco" / "images" / item.file_name).is_file()
            records = truth.loadAnns(truth.getAnnIds(imgIds=[by_name[item.file_name]]))
            assert len(records) == len(item.annotations)
            for record, annotation in zip(records, item.annotations, strict=True):
                assert truth.loadCats([record["category_id"]])[0]["name"] == annotation.category
                assert np.array_equal(truth.annToMask(record).astype(bool), decode_mask(annotation.mask))
                assert record["area"] == decode_mask(annotation.mask).sum()
                found += 1
    assert found > 10


def test_taco_without_its_pictures_is_refused_with_the_reasons(shared_data, tmp_path):
    source = shared_data / "label-formats" / "coco-taco"
    reasons = r"dropped 1,500 images: picture is missing \(.*dropped 4,784 annotations: its picture was dropped"
    with pytest.raises(UnreadableDataset, match=f"coco-taco, got none that can be kept: {reasons}"):
        read(source, tmp_path)
    assert len(CocoFormat().read(source, ConversionReport(), {}).categories) == 60


def test_labelme_nuts_keeps_the_six_pictures_that_are_there(shared_data, tmp_path):
    items, report, version = read(shared_data / "label-formats" / "labelme-nuts" / "trainval.json", tmp_path)
    assert len(items) == 6
    assert report.count("image", "dropped", "picture is missing") == 12
    assert report.kept["annotation"] + report.dropped("annotation") == 165
    assert sorted(version.categories) == ["date", "fig", "hazelnut"]
    assert all(annotation.polygons for item in items.values() for annotation in item.annotations)


def test_datumaro_samples_of_each_task(shared_data, tmp_path):
    folder = shared_data / "label-formats" / "datumaro-test-assets" / "coco_dataset"
    counts = {
        name: read(folder / name, tmp_path / name)[1].kept
        for name in ("coco", "coco_instances", "coco_labels", "coco_stuff", "coco_person_keypoints", "coco_image_info")
    }
    assert {name: kept["image"] for name, kept in counts.items()} == dict.fromkeys(counts, 2)
    assert {name: kept["annotation"] for name, kept in counts.items()} == {
        "coco": 3, "coco_instances": 3, "coco_labels": 3, "coco_stuff": 2, "coco_person_keypoints": 3, "coco_image_info": 0,
    }  # fmt: skip
    with pytest.raises(UnreadableDataset, match="panoptic"):
        read(folder / "coco_panoptic", tmp_path / "panoptic")
    stuff, _, _ = read(folder / "coco", tmp_path / "task", format="coco", format_options={"task": "stuff"})
    assert sum(len(item.annotations) for item in stuff.values()) == 2


def test_bboxes_of_other_types_are_not_taken_for_boxes_without_area(tmp_path):
    put_picture(tmp_path / "set" / "1.png")
    boxes = ["1,2,10,20", {"x": 1}, [1, 2, 10], True, ["1", "2", "10", "20"], [], None]
    put_json(tmp_path / "set" / "labels.json", [image(1, "1.png")], [box(1, bbox=bbox) for bbox in boxes])
    items, report, _ = read(tmp_path / "set", tmp_path)
    assert report.count("annotation", "dropped", "bbox or segmentation that is not as COCO defines it") == 4
    numbers, empty, absent = items["1.png"].annotations
    assert numbers.box_xyxy == (1.0, 2.0, 11.0, 22.0)
    assert empty.geometry == absent.geometry == "image"


def test_categories_that_share_an_id_or_a_name_are_told(tmp_path):
    put_picture(tmp_path / "set" / "1.png")
    categories = [(1, "cat"), (1, "dog"), (2, "cat"), (3.0, " two\nlines "), (True, "yes"), (4, " ")]
    records = [{"id": identity, "name": name} for identity, name in categories]
    annotations = [box(1, identity) for identity in (1, 2, 3)]
    put_json(tmp_path / "set" / "labels.json", [image(1, "1.png")], annotations, records)
    items, report, version = read(tmp_path / "set", tmp_path)
    assert version.categories.names == ("cat", "two lines")
    assert [annotation.category for annotation in items["1.png"].annotations] == ["cat", "cat", "two lines"]
    assert report.count("category", "dropped", "category id used twice, the first counts") == 1
    assert report.count("category", "changed", "two ids have one name and become one category") == 1
    assert report.count("category", "dropped", "category without an id or a name") == 2
    assert report.changed("category") == 2


def test_a_category_id_that_is_a_list_is_unknown(tmp_path):
    put_picture(tmp_path / "set" / "1.png")
    annotations = [box(1, [7]), box(1, {"a": 1}, caption="x")]
    put_json(tmp_path / "set" / "labels.json", [image(1, "1.png")], annotations)
    _, report, _ = read(tmp_path / "set", tmp_path)
    assert report.dropped("annotation") == 2


def test_an_option_coco_does_not_have_is_refused(tmp_path):
    put_picture(tmp_path / "set" / "1.png")
    put_json(tmp_path / "set" / "labels.json", [image(1, "1.png")], [])
    with pytest.raises(InvalidInput, match="options task"):
        read(tmp_path / "set", tmp_path, format_options={"lists": {"train": "a.txt"}})


@pytest.mark.parametrize("bbox", ["1,2,10,20", {"x": 1}, [1, 2, 10], [1, "x", 10, 20], True])
def test_a_damaged_bbox_is_drawn_anew_around_its_outline(tmp_path, bbox):
    put_picture(tmp_path / "set" / "1.png")
    triangle = [3.0, 4.0, 13.0, 4.0, 3.0, 24.0]
    corner = {"size": [HEIGHT, WIDTH], "counts": [0, 2, HEIGHT * WIDTH - 2]}  # the two topmost pixels of the first column
    damaged = [box(1, bbox=bbox, segmentation=outline) for outline in ([triangle], corner, [], "?", [[1, "x"]])]
    put_json(tmp_path / "set" / "x.json", [image(1, "1.png")], damaged)
    items, report, _ = read(tmp_path / "set", tmp_path)
    polygon, mask = items["1.png"].annotations
    assert (polygon.polygons, polygon.box_xyxy) == ((tuple(triangle),), (3.0, 4.0, 13.0, 24.0))
    assert (mask.geometry, mask.box_xyxy) == ("mask", (0.0, 0.0, 1.0, 2.0))
    assert report.count("annotation", "changed", "bbox that is not as COCO defines it, drawn anew around its outline") == 2
    assert report.count("annotation", "dropped", "bbox or segmentation that is not as COCO defines it") == 3
    assert (report.kept["annotation"], report.changed("annotation"), report.dropped("annotation")) == (2, 2, 3)
