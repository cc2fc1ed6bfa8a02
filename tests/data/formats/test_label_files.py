from pathlib import Path

import pytest
from format_samples import write_mask, write_picture, write_text

from sightline.core.errors import UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.formats.label_files import find_label_files
from sightline.data.formats.table import detect_format
from sightline.data.importing import import_dataset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("cat/img_0001.png", "cat/img 2.png", "dog/0003.png", "dog/4.png"):
        write_picture(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cat/img_0001.txt", "0 0.5 0.5 0.2 0.2"),
        ("cat/img_0001.png.json", "{}"),
        ("marks/gt_img_0001.txt", "1,2,3,4"),
        ("dog/4_atr.txt", "x"),
        ("labels/other.txt", "x"),
        ("export.csv", "image,xmin\ndog/4.png,1\n"),
        ("export.csv", "ImageID,XMin\nimg_0001,1\n"),
        ("lists/train.txt", "cat/img 2.png 1\ndog/4.png 0\n"),
        ("boxes.txt", "dog/4.png\n1\n3 4 5 6\n"),
        ("export.json", '{"assets": {"1": {"name": "4.png"}}}'),
        ("export.json", '{"files": ["4.png"], "labels": [1]}'),
        ("tracks.xml", "<annotations><track/></annotations>"),
        ("_annotations.csv", "filename,width,height,class,x,y,w,h\ndog/4.png,9,9,dog,1,1,2,2\n"),
        ("data/_classes.csv", "filename, Cat, Dog\ndog/4.png, 0, 1\n"),
        ("-labels.json", '{"files": ["4.png"], "labels": [1]}'),
    ],
)
def test_annotations_are_found(source: Path, name: str, text: str) -> None:
    path = write_text(source / name, text)
    assert find_label_files(source) == [path]
    with pytest.raises(UnreadableDataset, match=name.rpartition("/")[2]):
        import_dataset(source, Workspace(source / "w"), "x")
    version, _ = import_dataset(source, Workspace(source / "w"), "x", format="class_folders")
    assert version.categories.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.txt", "dog/4.png is the best\n"),
        ("LICENSE.txt", "dog/4.png CC-BY by Ann\n"),
        ("about/flowers-license.csv", "dog/4.png,CC-BY\n"),
        ("manifest-sha256.txt", "ab12 dog/4.png\n"),
        ("classes.txt", "cat\ndog\n"),
        ("classes.csv", "number,name\n0,cat\n1,dog\n"),
        ("labels/classes.csv", "number,name\n0,cat\n1,dog\n"),
        ("meta/labels.txt", "Cat\nDog\n"),
        ("meta/train.txt", "cat/img_0001\ndog/0003\n"),  # Food-101
        ("meta/train.json", '{"cat": ["cat/img_0001"], "dog": ["dog/0003", "dog/4"]}'),
        ("train.lst", "cat/img 2.png\ndog/4.png\n"),
        ("settings.json", '{"camera": "left", "class": 7}'),
        ("training.txt", "epoch 10 step 20000\n"),
        ("empty.txt", ""),
    ],
)
def test_what_else_lies_beside_class_folders_is_harmless(source: Path, name: str, text: str) -> None:
    write_text(source / name, text)
    assert find_label_files(source) == []
    assert detect_format(source).name == "class_folders"


def test_yolo_without_its_yaml_is_refused(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_picture(tmp_path / split / "images/1.jpg")
        write_text(tmp_path / split / "labels/1.txt", "0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(UnreadableDataset, match=r"train/labels/1\.txt.*name one as `format`"):
        detect_format(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("ade20k2020_dataset/dataset", "celeba_dataset/dataset"),
        *("icdar_dataset/word_recognition", "kitti_dataset/kitti_detection", "mot_dataset/mot_seq", "mots_dataset"),
        *("lfw_dataset", "mpii_json_dataset", "open_images_dataset/v5", "vott_csv_dataset", "vott_json_dataset"),
        *("widerface_dataset", "synthia_dataset/color_segm_dataset", "kitti_dataset/kitti_segmentation"),
    ],
)
def test_layouts_that_no_reader_knows_are_no_classes(shared_data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableDataset):
        import_dataset(shared_data / "label-formats/datumaro-test-assets" / name, Workspace(tmp_path), "x")


@pytest.fixture(params=["class_list", "box_list", "label_masks"])
def listed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A dataset of a format that looks at its lists or masks alone."""
    write_picture(tmp_path / "images/img_0001.png")
    if request.param == "label_masks":
        write_mask(tmp_path / "masks/img_0001.png", [[0, 255]])
        write_text(tmp_path / "masks/notes.txt", "drawn by Ann\n")
    else:
        header = "path,label\n" if request.param == "class_list" else "path,label,xmin,ymin,xmax,ymax\n"
        write_text(tmp_path / "labels.csv", f"{header}img_0001.png,cat{'' if request.param == 'class_list' else ',1,1,5,5'}\n")
        write_text(tmp_path / "cameras.csv", "path,camera,place\nimg_0001.png,left,hall\n")
    write_text(tmp_path / "meta.json", '{"classes": [{"title": "cat"}]}')
    return request.param, tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("images/img_0001.json", '{"shapes": []}'),  # LabelMe
        ("yolo/img_0001.txt", "0 0.5 0.5 0.2 0.2"),
        ("export.json", '[{"image": "img_0001.png", "annotations": []}]'),  # CreateML
        ("dlib.xml", "<dataset><images><image file='img_0001.png'/></images></dataset>"),
    ],
)
def test_annotations_beside_lists_and_masks_are_found(listed: tuple[str, Path], name: str, text: str) -> None:
    format, source = listed
    assert detect_format(source).name == format
    write_text(source / name, text)
    with pytest.raises(UnreadableDataset, match=rf"as {name}; name one as `format` \({format} goes by"):
        detect_format(source)
    version, _ = import_dataset(source, Workspace(source / "w"), "x", format=format)
    assert version.count() == 1
    if format != "label_masks":
        assert detect_format(source / "labels.csv").name == format  # a file that a person names
