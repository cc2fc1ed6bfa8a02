from pathlib import Path

import cv2
import numpy as np
import pytest
from format_samples import by_blob, make_version, read, round_trip, write_mask, write_picture, write_text
from PIL import Image

from sightline.core.annotations import Annotation
from sightline.core.errors import InvalidInput, NotFound, UnreadableDataset
from sightline.data.conversion import ConversionReport
from sightline.data.exporting import export_version
from sightline.data.formats.format import SourceItem
from sightline.data.formats.label_masks.classes import CAMVID_COLOURS, read_classes
from sightline.data.formats.label_masks.pairs import MaskFolders, iterate_pairs
from sightline.data.formats.table import detect_format, load_format
from sightline.imaging.masks import decode_mask, encode_mask


def areas(item: SourceItem) -> dict[str, list[list[int]]]:
    """Rows of 0 and 1 by category."""
    return {a.category: decode_mask(a.mask).astype(int).tolist() for a in item.annotations if a.mask is not None}


def mask(category: str, pixels: np.ndarray, **facts: object) -> Annotation:
    return Annotation(category=category, mask=encode_mask(pixels), **facts)  # type: ignore[arg-type]


def test_camvid_layout_reads_values_in_its_own_order_and_eleven_as_void(tmp_path: Path) -> None:
    write_picture(tmp_path / "train/a.png", 4, 1)
    write_mask(tmp_path / "trainannot/a.png", [[0, 10, 10, 11]])
    write_text(
        tmp_path / "train.txt", "/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\n/SegNet/CamVid/train/gone.png x\n"
    )
    write_picture(tmp_path / "val/b.png", 4, 1)
    write_mask(tmp_path / "valannot/b.png", [[3, 3, 3, 3]])
    dataset, items, report = read("label_masks", tmp_path)
    assert len(dataset.categories) == 11
    assert dataset.unlabelled_pixels == "ignore"
    assert areas(items["a.png"]) == {"Sky": [[1, 0, 0, 0]], "Bicyclist": [[0, 1, 1, 0]]}
    assert areas(items["b.png"]) == {"Road": [[1, 1, 1, 1]]}
    assert [item.split for item in items.values()] == ["train", "val"]
    assert report.count("image", "dropped", "picture is missing") == 1
    assert detect_format(tmp_path).name == "label_masks"


def test_binary_masks_have_one_category(tmp_path: Path) -> None:
    write_picture(tmp_path / "train/image/1.png", 3, 1)
    write_mask(tmp_path / "train/label/1.png", [[0, 255, 255]])
    dataset, items, report = read("label_masks", tmp_path)
    assert dataset.unlabelled_pixels == "background"
    assert areas(items["1.png"]) == {"foreground": [[0, 1, 1]]}
    assert items["1.png"].split == "train"
    assert report.is_clean


def test_values_without_names_are_named_and_255_among_them_is_void(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/1.png", 4, 1)
    write_mask(tmp_path / "masks/1.png", [[0, 2, 7, 255]])
    dataset, items, report = read("label_masks", tmp_path)
    # background is a category: "nothing is there" and "not looked at" are two things
    assert dataset.categories.names == ("background", "class_2", "class_7")
    assert dataset.unlabelled_pixels == "ignore"
    assert areas(items["1.png"])["class_7"] == [[0, 0, 1, 0]]
    assert report.warned("category") == 1
    dataset, items, _ = read("label_masks", tmp_path, classes=["background", "a", "b", "c"])
    assert dataset.categories.names == ("a", "b", "c")
    assert areas(items["1.png"]) == {"b": [[0, 1, 0, 0]]}


@pytest.mark.parametrize(
    ("names", "values", "expected"),
    [
        ("scratch\n", [0, 1, 1, 0], {"scratch": [[0, 1, 1, 0]]}),
        ("scratch\n", [0, 255, 255, 0], {"scratch": [[0, 1, 1, 0]]}),
        ("background\nscratch\n", [0, 255, 255, 0], {"scratch": [[0, 1, 1, 0]]}),
        ("scratch\ndent\n", [0, 1, 2, 0], {"scratch": [[0, 1, 0, 0]], "dent": [[0, 0, 1, 0]]}),
        ("scratch\ndent\n", [1, 2, 2, 1], {"scratch": [[1, 0, 0, 1]], "dent": [[0, 1, 1, 0]]}),
    ],
)
def test_a_list_without_background_is_counted_as_the_masks_have_it(
    tmp_path: Path, names: str, values: list[int], expected: dict[str, list[list[int]]]
) -> None:
    write_text(tmp_path / "classes.txt", names)
    for name, row in (("1", [0, 0, 0, 0]), ("2", values)):
        write_picture(tmp_path / f"images/{name}.png", 4, 1)
        write_mask(tmp_path / f"masks/{name}.png", [row])
    dataset, items, report = read("label_masks", tmp_path)
    assert dataset.unlabelled_pixels == "background"
    assert (areas(items["1.png"]), areas(items["2.png"])) == ({}, expected)
    assert report.is_clean
    assert report.warned("category") == 1
    given = [name for name in names.split() if name != "background"]
    if "background" not in names:
        assert areas(read("label_masks", tmp_path, classes=given)[1]["2.png"]) == expected


def test_colours_of_a_table_are_no_values(tmp_path: Path) -> None:
    write_text(tmp_path / "label_colors.txt", "0 0 0\tgood\n255 255 255\tscratch\n")
    write_picture(tmp_path / "images/1.png", 2, 1)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)).save(tmp_path / "masks/1.png")
    assert areas(read("label_masks", tmp_path)[1]["1.png"]) == {"good": [[1, 0]], "scratch": [[0, 1]]}


def draw_disc(path: Path, line: int = cv2.LINE_AA, value: int = 255, size: int = 64) -> np.ndarray:
    """A disc of 380 pixels, with soft edges; returns where it is by the same drawing, half a pixel or more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((size, size), np.uint8)
    cv2.circle(values, (30 * 16, 20 * 16), 11 * 16, value, -1, line, 4)
    assert cv2.imwrite(str(path), values)
    return values >= 128


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("table", "text", "category"),
    [
        ("", "", "foreground"),
        ("classes.txt", "scratch\n", "scratch"),
        ("classes.txt", "background\nscratch\n", "scratch"),
        ("classes.csv", "index,name,red,green,blue,kind\n0,background,0,0,0,background\n255,dent,9,9,9,category\n", "dent"),
    ],
)
def test_soft_edges_and_jpeg_of_one_class_are_cut_in_the_middle(
    tmp_path: Path, suffix: str, table: str, text: str, category: str
) -> None:
    if table:
        write_text(tmp_path / table, text)
    for name in "ab":
        write_picture(tmp_path / f"images/{name}.png", 64, 64)
        drawn = draw_disc(tmp_path / f"masks/{name}{suffix}")
    dataset, items, report = read("label_masks", tmp_path)
    assert (dataset.categories.names, dataset.unlabelled_pixels) == ((category,), "background")
    (annotation,) = items["a.png"].annotations
    assert annotation.mask is not None
    # JPEG may move a pixel of the edge whose coverage is near a half
    assert (decode_mask(annotation.mask) != drawn).sum() <= (0 if suffix == ".png" else 8)
    (finding,) = [finding for finding in report.findings() if finding.outcome == "changed"]
    assert (finding.count, finding.examples) == (2, [f"a{suffix}", f"b{suffix}"])
    assert ("JPEG" in finding.reason) == (suffix == ".jpg")


def test_small_classes_between_zero_and_255_are_no_soft_edges(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[40:60, 40:60] = 255
    for place, value in enumerate((32, 64, 96, 128, 160, 192)):  # spread, and 1.3 % of the pixels, but with an inside
        values[4 * place : 4 * place + 3, :3] = value
    write_picture(tmp_path / "images/1.png", 64, 64)
    write_mask(tmp_path / "masks/1.png", values)
    dataset, _, report = read("label_masks", tmp_path)
    assert dataset.categories.names[1:] == ("class_32", "class_64", "class_96", "class_128", "class_160", "class_192")
    assert report.is_clean
    values[values == 255] = 0
    values[:3, 10:20:2] = np.arange(1, 6)  # single pixels of small numbers, and a void border
    values[63] = 255
    write_mask(tmp_path / "masks/1.png", np.where((values > 5) & (values < 255), 0, values))
    assert read("label_masks", tmp_path)[0].categories.names[1:] == tuple(f"class_{value}" for value in range(1, 6))


def test_edges_too_soft_to_cut_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/1.png", 64, 64)
    disc = draw_disc(tmp_path / "masks/1.png").astype(np.uint8) * 255
    write_mask(tmp_path / "masks/1.png", cv2.GaussianBlur(disc, (0, 0), 2))
    with pytest.raises(UnreadableDataset, match=r"soft edges .*1\.png.*without smoothing"):
        read("label_masks", tmp_path)


@pytest.mark.parametrize(
    ("table", "text", "value"),
    [
        ("classes.txt", "background\nscratch\ndent\n", 255),
        ("classes.csv", "index,name,red,green,blue,kind\n0,background,0,0,0,background\n1,dent,9,9,9,category\n", 255),
        ("label_colors.txt", "0 0 0 background\n255 0 0 dent\n", 128),
        ("", "", 60),
    ],
)
def test_jpeg_masks_that_cannot_be_cut_are_refused(tmp_path: Path, table: str, text: str, value: int) -> None:
    if table:
        write_text(tmp_path / table, text)
    write_picture(tmp_path / "images/1.png", 64, 64)
    draw_disc(tmp_path / "masks/1.jpg", value=value)
    with pytest.raises(UnreadableDataset, match=r"lossless format, got the JPEG 1\.jpg.*as PNG"):
        read("label_masks", tmp_path)


def test_255_beside_classes_counted_from_one_is_void(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "scratch\ndent\n")
    write_picture(tmp_path / "images/1.png", 4, 1)
    write_mask(tmp_path / "masks/1.png", [[0, 1, 2, 255]])
    dataset, items, _ = read("label_masks", tmp_path)
    assert dataset.unlabelled_pixels == "ignore"
    assert areas(items["1.png"]) == {"background": [[1, 0, 0, 0]], "scratch": [[0, 1, 0, 0]], "dent": [[0, 0, 1, 0]]}


def test_a_list_that_counts_from_zero_stays_and_says_what_zero_is(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "road\ntree\n")
    write_picture(tmp_path / "images/1.png", 4, 1)
    write_mask(tmp_path / "masks/1.png", [[0, 1, 1, 255]])
    _, items, report = read("label_masks", tmp_path)
    assert areas(items["1.png"]) == {"road": [[1, 0, 0, 0]], "tree": [[0, 1, 1, 0]]}
    (finding,) = [finding for finding in report.findings() if finding.outcome == "warned"]
    assert finding.examples == ["road"]


@pytest.mark.parametrize("values", [[0, 255], [0, 128], [0, 1, 7], [0, 1, 2, 3]])
def test_values_that_fit_no_way_of_counting_are_refused(tmp_path: Path, values: list[int]) -> None:
    write_text(tmp_path / "classes.txt", "scratch\ndent\n")
    write_picture(tmp_path / "images/1.png", len(values), 1)
    write_mask(tmp_path / "masks/1.png", [values])
    with pytest.raises(UnreadableDataset, match=r"0 to 1 for the 2 listed classes.*classes\.csv"):
        read("label_masks", tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "0 0 0\tvoid\n64 128 64\tAnimal\n128 64 128\tRoad\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nvoid:0,0,0::\nAnimal:64,128,64::\nRoad:128,64,128::\n"),
        ("class_dict.csv", "name,r,g,b\nvoid,0,0,0\nAnimal,64,128,64\nRoad,128,64,128\n"),
    ],
)
def test_colour_masks_by_a_table_of_any_shape(tmp_path: Path, name: str, text: str) -> None:
    write_text(tmp_path / name, text)
    write_picture(tmp_path / "images/a_1.png", 4, 1)
    colours = np.array([[(0, 0, 0), (64, 128, 64), (128, 64, 128), (9, 9, 9)]], np.uint8)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/a_1_mask.png"), colours[..., ::-1])
    dataset, items, report = read("label_masks", tmp_path)
    assert dataset.categories.names == ("Animal", "Road")
    assert areas(items["a_1.png"]) == {"Animal": [[0, 1, 0, 0]], "Road": [[0, 0, 1, 0]]}
    assert report.dropped("annotation") == 1  # the colour (9, 9, 9)


def test_colour_masks_without_a_table_are_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/1.png")
    write_picture(tmp_path / "masks/1.png")
    with pytest.raises(UnreadableDataset, match=r"label_colors\.txt"):
        read("label_masks", tmp_path)


def test_camvid_colours_agree_with_each_other() -> None:
    assert len(CAMVID_COLOURS) == len(set(CAMVID_COLOURS.values())) == 32


def test_missing_masks_and_pictures_are_told_and_exact_names_win(tmp_path: Path) -> None:
    for name in ("x.png", "x_mask.png", "y.png"):
        write_picture(tmp_path / "images" / name, 1, 1)
    write_mask(tmp_path / "masks/x_mask.png", [[1]])
    write_mask(tmp_path / "masks/gone.png", [[1]])
    _, items, report = read("label_masks", tmp_path)
    assert {name: len(item.annotations) for name, item in items.items()} == {"x.png": 0, "x_mask.png": 1, "y.png": 0}
    assert report.dropped("image") == 1
    assert [name for name, item in items.items() if item.warning] == ["x.png", "y.png"]


@pytest.mark.parametrize(
    ("pictures", "masks", "expected"),
    [
        (["p_l", "p_r"], ["p_l_mask", "p_r_mask"], {"p_l": "p_l_mask", "p_r": "p_r_mask"}),  # left and right camera
        (["p_l", "p_r"], ["p_mask"], {}),
        (["p", "p_l"], ["p_l_mask"], {"p_l": "p_l_mask"}),
        (["p"], ["p_l_mask"], {}),
        (["p_l", "q_l"], ["gt_p_l", "mask_q_l_seg"], {"p_l": "gt_p_l", "q_l": "mask_q_l_seg"}),
        (["img_p_l"], ["label_p_l_mask"], {"img_p_l": "label_p_l_mask"}),
        (["0001TP_1"], ["0001TP_1_L"], {"0001TP_1": "0001TP_1_L"}),  # CamVid
        (["a_image"], ["a_label"], {"a_image": "a_label"}),
        (["a"], ["a_seg_mask"], {"a": "a_seg_mask"}),
        (["a"], ["a_mask", "a"], {"a": "a"}),
        (["image_1", "picture_1"], ["mask_1"], {}),  # either of two
    ],
)
def test_masks_go_with_the_picture_whose_name_they_extend(
    tmp_path: Path, pictures: list[str], masks: list[str], expected: dict[str, str]
) -> None:
    for stem in pictures:
        write_picture(tmp_path / f"images/{stem}.png")
    for stem in masks:
        write_mask(tmp_path / f"masks/{stem}.png", [[1]])
    report = ConversionReport()
    pairs = iterate_pairs(MaskFolders(tmp_path / "images", tmp_path / "masks", None), report)
    assert {picture.stem: mask.stem for picture, mask in pairs if mask is not None} == expected
    assert report.dropped("image") == len(masks) - len(expected)


def test_a_broken_mask_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "a\n")
    write_picture(tmp_path / "images/1.png")
    write_text(tmp_path / "masks/1.png", "no picture")
    _, items, report = read("label_masks", tmp_path)
    assert (items["1.png"].annotations, items["1.png"].seen_by) == ((), "nobody")
    assert report.count("annotation", "dropped", "mask cannot be read") == 1


def test_a_mask_of_nothing_is_a_persons_word_and_no_mask_is_nobodys(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.txt", "a\n")
    for name in ("1", "2"):
        write_picture(tmp_path / f"images/{name}.png")
    write_mask(tmp_path / "masks/1.png", np.zeros((10, 20)))
    _, items, _ = read("label_masks", tmp_path)
    assert {name: item.seen_by for name, item in items.items()} == {"1.png": "human", "2.png": "nobody"}


def test_wrong_options_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDataset):
        read("label_masks", tmp_path)
    write_picture(tmp_path / "images/1.png")
    write_mask(tmp_path / "masks/1.png", [[1]])
    with pytest.raises(InvalidInput):
        read("label_masks", tmp_path, colours="x")
    with pytest.raises(NotFound):
        read("label_masks", tmp_path, classes="gone.txt")
    with pytest.raises(UnreadableDataset):
        read_classes(write_text(tmp_path / "twice.txt", "a\na\n"))


@pytest.mark.parametrize("unlabelled", ["background", "ignore"])
@pytest.mark.parametrize("count", [2, 255, 300])
def test_a_round_trip_keeps_every_pixel(tmp_path: Path, rng: np.random.Generator, unlabelled: str, count: int) -> None:
    names = [f"class {index}" for index in range(count)]
    cells = rng.integers(0, 3, (10, 20))
    annotations = [mask(names[0], cells == 0), mask(names[-1], cells == 1)]
    rows = [("x/a.png", "train", annotations), ("a.jpg", None, []), ("x/a_mask.png", "val", annotations[:1])]
    version = make_version(tmp_path, rows, names, unlabelled_pixels=unlabelled)
    assert load_format("label_masks").check(version).is_clean
    again, report = round_trip(version, "label_masks", tmp_path)
    assert report.is_clean
    assert again.categories == version.categories
    assert again.manifest.unlabelled_pixels == unlabelled
    after = by_blob(again)
    for blob, item in by_blob(version).items():
        assert (after[blob].file_name, after[blob].split) == (item.file_name, item.split)
        assert [(a.category, a.mask) for a in after[blob].annotations] == [(a.category, a.mask) for a in item.annotations]


@pytest.mark.parametrize("unlabelled", ["background", "ignore"])
@pytest.mark.parametrize("name", ["cityscapes", "label_masks"])
def test_categories_of_the_names_of_nothing_stay_categories(tmp_path: Path, name: str, unlabelled: str) -> None:
    names = ["background", "void", "unlabeled", "nothing", "nothing here"]
    pixels = np.zeros((5, 6), bool)
    shapes = []
    for row, category in enumerate(names):
        drawn = pixels.copy()
        drawn[row, 1:3] = True
        shapes.append(mask(category, drawn, box_xyxy=(1.0, float(row), 3.0, float(row + 1))))
    version = make_version(tmp_path, [("a/0.png", "train", shapes)], names, (6, 5), unlabelled)
    assert load_format(name).check(version).is_clean
    again, _ = round_trip(version, name, tmp_path)
    assert list(again.categories) == names
    assert again.manifest.unlabelled_pixels == unlabelled
    ((before,), (after,)) = (list(one.items()) for one in (version, again))
    assert [(a.category, a.mask) for a in after.annotations] == [(a.category, a.mask) for a in before.annotations]


def test_a_void_class_that_shares_its_name_with_a_category_labels_nothing(tmp_path: Path) -> None:
    """As exports were written before the row of nothing took a name of its own."""
    write_picture(tmp_path / "images/1.png", 3, 1)
    write_mask(tmp_path / "masks/1.png", [[0, 1, 255]])
    rows = "0,void,1,1,1,category\n1,car,2,2,2,category\n255,void,255,255,255,void\n"
    write_text(tmp_path / "classes.csv", "index,name,red,green,blue,kind\n" + rows)
    dataset, items, _ = read("label_masks", tmp_path)
    assert list(dataset.categories) == ["void", "car"]
    assert areas(items["1.png"]) == {"void": [[1, 0, 0]], "car": [[0, 1, 0]]}


@pytest.mark.parametrize("name", ["cityscapes", "label_masks", "yolo_segment"])
def test_a_box_that_is_not_the_bounds_of_its_mask_is_told(tmp_path: Path, name: str) -> None:
    pixels = np.zeros((10, 20), bool)
    pixels[2:5, 3:6] = True
    rows = [("0.png", "train", [mask("a", pixels, box_xyxy=(0.0, 0.0, 9.0, 9.0))])]
    rows += [("1.png", "train", [mask("a", pixels, box_xyxy=(3.0, 2.0, 6.0, 5.0))]), ("2.png", "train", [mask("a", pixels)])]
    report = load_format(name).check(make_version(tmp_path, rows, ["a"]))
    assert report.count("annotation", "changed", "box is not the bounds of its mask; the bounds are kept") == 1


def test_the_export_is_an_index_png_with_a_palette(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), bool)
    pixels[2:4, 5:9] = True
    version = make_version(tmp_path, [("a.jpg", "val", [mask("dog", pixels)])], ["cat", "dog"])
    export_version(version, tmp_path / "out", "label_masks")
    with Image.open(tmp_path / "out/masks/val/a.png") as picture:
        assert picture.mode == "P"
        values = np.asarray(picture)
        assert (values == np.where(pixels, 2, 0)).all()
        assert tuple(picture.convert("RGB").getpixel((5, 2))) == version.categories.colour(1)
    assert (tmp_path / "out/classes.csv").read_text().splitlines()[1] == "0,background,0,0,0,background"


def test_what_a_label_map_cannot_hold_is_told(tmp_path: Path) -> None:
    left, right, all_of_it = np.zeros((10, 20), bool), np.zeros((10, 20), bool), np.ones((10, 20), bool)
    left[:, :5], right[:, 15:] = True, True
    annotations = [
        mask("cat", left, attributes={"difficult": "1"}),
        mask("cat", right),
        mask("dog", all_of_it),
        Annotation(category="dog", polygons=((1.0, 1.0, 5.0, 1.0, 5.0, 5.0),)),
        Annotation(category="dog", box_xyxy=(1, 1, 5, 5)),
        Annotation(category="dog"),
    ]
    report = load_format("label_masks").check(make_version(tmp_path, [("a.png", None, annotations)], ["cat", "dog"]))
    assert report.count("annotation", "changed", "objects of one category become one region") == 2
    assert report.count("annotation", "changed", "annotations overlap; a pixel keeps the last") == 1
    assert report.count("annotation", "changed", "polygon drawn as pixels") == 1
    assert report.dropped("annotation") == 2
    assert report.dropped("attribute") == 1


def test_camvid_keeps_every_labelled_pixel(shared_data: Path) -> None:
    source = shared_data / "segmentation/camvid"
    assert detect_format(source).name == "label_masks"
    dataset, items, report = read("label_masks", source)
    splits = [item.split for item in items.values()]
    assert (splits.count("train"), splits.count("val")) == (90, 25)
    assert report.is_clean
    item = items["0016E5_07963.png"]
    stored = cv2.imread(str(source / "valannot/0016E5_07963.png"), cv2.IMREAD_UNCHANGED)
    for annotation in item.annotations:
        assert annotation.mask is not None
        assert (decode_mask(annotation.mask) == (stored == dataset.categories.index(annotation.category))).all()
    assert sum(decode_mask(a.mask).sum() for a in item.annotations if a.mask) == (stored != 11).sum()


def test_em_membrane_and_datumaro_samples(shared_data: Path) -> None:
    source = shared_data / "segmentation/em-membrane"
    assert detect_format(source).name == "label_masks"
    dataset, items, report = read("label_masks", source)
    assert dataset.categories.names == ("foreground",)
    assert len(items) == 30
    assert report.is_clean
    assets = shared_data / "label-formats/datumaro-test-assets"
    dataset, items, _ = read("label_masks", assets / "camvid_dataset")
    assert len(dataset.categories) == 31
    assert areas(items["0001TP_006690.png"])["Bicyclist"] == [[1, 1, 0, 1, 1]]  # as datumaro's own test has it
    dataset, items, _ = read("label_masks", assets / "common_semantic_segmentation_dataset/non_standard_dataset")
    assert set(items) == {"image_0001.png", "image_0002.png"}
    assert all(item.annotations for item in items.values())


def test_a_damaged_first_mask_does_not_change_what_the_others_mean(tmp_path: Path) -> None:
    for name in "ab":
        write_picture(tmp_path / f"train/{name}.png", 4, 1)
    write_text(tmp_path / "trainannot/a.png", "no picture")
    write_mask(tmp_path / "trainannot/b.png", [[0, 3, 3, 11]])
    dataset, items, report = read("label_masks", tmp_path)
    assert len(dataset.categories) == 11  # CamVid's index masks, not its 32 colours
    assert areas(items["b.png"]) == {"Sky": [[1, 0, 0, 0]], "Road": [[0, 1, 1, 0]]}
    assert report.count("annotation", "dropped", "mask cannot be read") == 1
    (tmp_path / "train").rename(tmp_path / "images")
    (tmp_path / "trainannot").rename(tmp_path / "masks")
    _, items, report = read("label_masks", tmp_path)
    assert set(areas(items["b.png"])) == {"class_3", "class_11"}
    assert report.count("annotation", "dropped", "mask cannot be read") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.csv", "index,name,red,green,blue,kind\n1,a,0,0,0,category\n1,b,0,0,0,category\n"),
        ("classes.csv", "index,name,red,green,blue,kind\n-1,a,0,0,0,category\n"),
        ("classes.csv", "index,name,red,green,blue,kind\n1,a,0,0,0,thing\n"),
        ("classes.csv", "index,name,red,green,blue,kind\n1,a,0,256,0,category\n"),
        ("label_colors.txt", "0 0 300 a\n"),
        ("dataset_meta.json", '{"label_map": {"0": "a"}, "segmentation_colors": [[0, 0]]}'),
    ],
)
def test_a_table_with_a_value_twice_or_out_of_range_is_refused(tmp_path: Path, name: str, text: str) -> None:
    write_picture(tmp_path / "images/a.png", 2, 1)
    write_mask(tmp_path / "masks/a.png", [[0, 1]])
    write_text(tmp_path / name, text)
    with pytest.raises(UnreadableDataset):
        read("label_masks", tmp_path)


def test_a_table_saved_by_a_spreadsheet_keeps_its_first_column(tmp_path: Path) -> None:
    write_text(tmp_path / "classes.csv", "\N{ZERO WIDTH NO-BREAK SPACE}index,name,red,green,blue,kind\n1,a,0,0,0,category\n")
    assert read_classes(tmp_path / "classes.csv")[0].name == "a"
