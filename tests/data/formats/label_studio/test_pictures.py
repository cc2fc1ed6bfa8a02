"""Pictures are found wherever an address leads, below the folder and nowhere else."""

from pathlib import Path

import pytest
from format_samples import read, write_picture
from label_studio_samples import annotated, put, rectangle, task

from sightline.core.errors import UnreadableDataset
from sightline.data.importing import import_dataset


@pytest.mark.parametrize(
    ("address", "picture"),
    [
        ("1.png", "deep/er/1.png"),
        ("/data/upload/3/0a1b2c3d-1.png", "0a1b2c3d-1.png"),
        ("/data/upload/3/0a1b2c3d-1.png", "images/1.png"),
        ("/data/upload/3/0a1b2c3d-1.png", "media/upload/3/0a1b2c3d-1.png"),
        ("upload/3/0a1b2c3d-1.png", "1.png"),
        ("/data/local-files/?d=set/night/1.png", "night/1.png"),
        ("/data/local-files/?d=set%2Fmy%20night/1%20%C3%BC.png", "set/my night/1 ü.png"),
        ("s3://bucket/set/1.png", "1.png"),
        ("gs://bucket/a/b/1.png", "pictures/b/1.png"),
        ("https://example.org/set/1%20ü.png?X-Amz-Expires=3600", "1 ü.png"),
        ("http://localhost:8080/data/upload/3/0a1b2c3d-1.png", "1.png"),
        ("C:\\Users\\ann\\set\\1.png", "set/1.png"),
        ("/home/ann/set/1.png", "1.png"),
        ("/tasks/5/resolve/?fileuri=czM6Ly9idWNrZXQvc2V0LzEucG5n", "set/1.png"),  # s3://bucket/set/1.png
        ("grün.png", "gru\u0308n.png"),
        ("50%25.png", "50%.png"),
        ("50%25.png", "50%25.png"),
        ("/image1", "image1.png"),
    ],
)
def test_a_picture_is_found_by_its_address(tmp_path: Path, address: str, picture: str) -> None:
    _, items, report = read("label_studio", put(tmp_path, task(annotated(rectangle()), image=address), pictures=(picture,)))
    assert [item.path for item in items.values()] == [tmp_path / picture]
    assert list(items) == [picture.removeprefix("images/")]
    assert report.is_clean, report.lines()


@pytest.mark.parametrize("address", ["../1.png", "/data/local-files/?d=../1.png", "..\\1.png", "/etc/1.png", "s3://b/../1.png"])
def test_a_picture_outside_of_the_folder_is_not_read(tmp_path: Path, address: str) -> None:
    write_picture(tmp_path / "1.png")
    source = put(tmp_path / "set", task(annotated(rectangle()), image=address), pictures=())
    with pytest.raises(UnreadableDataset, match="dropped 1 image: picture is missing"):
        import_dataset(source, tmp_path / "version", "x", blobs=tmp_path / "blobs")


def test_a_base_name_counts_where_one_task_and_one_picture_alone_have_it(tmp_path: Path) -> None:
    tasks = [task(annotated(rectangle(name)), image=f"s3://bucket/{name}/1.png") for name in ("left", "right")]
    _, items, report = read("label_studio", put(tmp_path, *tasks, pictures=("right/1.png",)))
    assert [one.category for one in items["right/1.png"].annotations] == ["right"]
    assert report.count("image", "dropped", "picture is missing") == 1
    assert report.count("annotation", "dropped", "its picture was dropped") == 1
    two = put(tmp_path / "two", task(annotated(rectangle()), image="s3://bucket/1.png"), pictures=("a/1.png", "b/1.png"))
    _, items, report = read("label_studio", two)
    assert not items
    assert report.count("image", "dropped", "several pictures have the name a task gives") == 1


def test_uploads_of_one_name_are_not_mistaken(tmp_path: Path) -> None:
    tasks = [task(annotated(rectangle()), image=f"/data/upload/1/{digits}-1.png") for digits in ("00000001", "00000002")]
    _, items, report = read("label_studio", put(tmp_path, *tasks))
    assert not items
    assert report.count("image", "dropped", "picture is missing") == 2


def test_pictures_that_no_task_lists_are_told(tmp_path: Path) -> None:
    _, items, report = read("label_studio", put(tmp_path, task(annotated(rectangle())), pictures=("1.png", "2.png")))
    assert list(items) == ["1.png"]
    assert report.count("image", "warned", "picture that no JSON lists is left out") == 1


def test_several_pictures_of_a_task(tmp_path: Path) -> None:
    config = '<View><Image name="left" value="$a"/><Image name="right" value="$b"/></View>'
    results = rectangle("cat", to_name="left"), rectangle("zebra", id="b", to_name="right")
    shown = {"id": 1, "data": {"a": "1.png", "b": "2.png"}, "annotations": [annotated(*results)]}
    source = put(tmp_path / "tags", shown, config=config, pictures=("1.png", "2.png"))
    _, items, report = read("label_studio", source)
    assert {name: [one.category for one in item.annotations] for name, item in items.items()} == {
        "1.png": ["cat"],
        "2.png": ["zebra"],
    }
    (source / "label_config.xml").unlink()
    _, items, report = read("label_studio", source)
    assert not items
    assert (report.dropped("image"), report.dropped("annotation")) == (1, 2)
    pages = task(annotated(rectangle("cat", item_index=1)), image=["1.png", "2.png"])
    _, items, _ = read("label_studio", put(tmp_path / "list", pages, pictures=("1.png", "2.png")))
    assert [len(item.annotations) for item in items.values()] == [0, 1]


def test_a_picture_that_two_tasks_show_is_found_by_its_base_name(tmp_path: Path) -> None:
    twice = [task(annotated(rectangle(name)), image="s3://bucket/set/1.png") for name in ("cat", "dog")]
    _, items, report = read("label_studio", put(tmp_path, *twice))
    assert [one.category for one in items["1.png"].annotations] == ["cat"]
    assert report.count("annotation", "dropped", "of a further task with the same picture") == 1


def test_more_of_the_path_counts_before_less(tmp_path: Path) -> None:
    pictures = ("1.png", "images/1.png", "images/images/1.png", "images/left/1.png")
    addresses = [f"/data/local-files/?d={name}" for name in ("images/1.png", "images/images/1.png", "left/1.png")]
    tasks = [task(annotated(rectangle(str(number))), image=address) for number, address in enumerate(addresses)]
    _, items, _ = read("label_studio", put(tmp_path, *tasks, pictures=pictures))
    found = {str(item.path): item.annotations[0].category for item in items.values()}
    assert found == {str(tmp_path / name): str(number) for number, name in enumerate(pictures[1:])}


def test_of_several_pictures_without_a_configuration_the_usual_one_if_one_alone_is_labelled(tmp_path: Path) -> None:
    shown = task(annotated(rectangle()))
    shown["data"]["before"] = "2.png"
    _, items, report = read("label_studio", put(tmp_path, shown))
    assert list(items) == ["1.png"]
    assert report.is_clean


def test_results_about_a_picture_that_is_not_shown_are_told(tmp_path: Path) -> None:
    pages = task(annotated(rectangle(item_index=5), rectangle(id="b", item_index=0)), image=["1.png"])
    _, items, report = read("label_studio", put(tmp_path, pages))
    assert len(items["1.png"].annotations) == 1
    assert report.count("annotation", "dropped", "of a picture that its task does not show") == 1


def test_pictures_beside_the_folder_of_the_json(tmp_path: Path) -> None:
    write_picture(tmp_path / "images/1.png")
    put(tmp_path / "annotations", task(annotated(rectangle())), pictures=())
    _, items, report = read("label_studio", tmp_path)
    assert list(items) == ["1.png"]
    assert report.is_clean
