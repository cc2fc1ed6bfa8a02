"""Label Studio's JSON files are told from all others by their first and last bytes."""

import json
from pathlib import Path

import pytest
from format_samples import write_text
from label_studio_samples import annotated, rectangle, small, small_box, task

from sightline.data.formats.label_studio.detecting import find_json_files

FULL, MIN = json.dumps([task(annotated(rectangle()))]), json.dumps([small(box=[small_box()])])


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        (FULL, True),
        (f"\ufeff \n{FULL}", True),
        (MIN, True),
        (json.dumps([{"completions": [], "data": {"image": "1.png"}, "id": 1}]), True),
        (json.dumps([{"predictions": [{"result": []}], "data": {"image": "1.png"}}]), True),
        (json.dumps([{"id": 1, "annotations": [{"result": [rectangle() for _ in range(500)]}], "data": {}}]), True),
        (json.dumps([small(mask=[{"format": "rle", "rle": [7] * 50_000, "brushlabels": ["a"]}])]), True),
        (json.dumps([{"image": "1.png", "annotations": [{"label": "a", "coordinates": {"x": 1}}]}]), False),  # CreateML
        (json.dumps({"images": [], "annotations": [], "categories": []}), False),  # COCO
        (json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]), False),  # COCO's results
        (json.dumps([{"data": {"image": "1.png"}}]), False),
        ("[]", False),
        ("", False),
        ("[{", False),
    ],
)
def test_a_json_is_known_by_its_keys(tmp_path: Path, text: str, is_ours: bool) -> None:
    path = write_text(tmp_path / "export.json", text)
    assert find_json_files(path) == find_json_files(tmp_path) == ([path] if is_ours else [])


def test_the_full_json_before_json_min_and_the_later_name_before_the_earlier(tmp_path: Path) -> None:
    for name, text in (("a.json", FULL), ("b.json", FULL), ("c.json", MIN), ("d.json", "{}")):
        write_text(tmp_path / name, text)
    assert [path.name for path in find_json_files(tmp_path)] == ["b.json", "a.json", "c.json"]


def test_a_folder_of_annotations_is_looked_into_and_others_are_not(tmp_path: Path) -> None:
    write_text(tmp_path / "other/a.json", FULL)
    assert find_json_files(tmp_path) == []
    path = write_text(tmp_path / "annotations/a.json", FULL)
    assert find_json_files(tmp_path) == [path]


def test_odd_files_are_passed_by(tmp_path: Path) -> None:
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    (tmp_path / "folder.json").mkdir()
    assert find_json_files(tmp_path) == []
