"""What counts of a task: annotations of several people, predictions, JSON_MIN."""

from pathlib import Path
from typing import Any

import pytest
from format_samples import read
from label_studio_samples import CONFIG, annotated, choice, put, rectangle, small, small_box, task

from sightline.core.annotations import Annotation
from sightline.data.formats.label_studio.tasks import OF_SOME_REGION
from sightline.data.formats.table import detect_format


@pytest.mark.parametrize(
    ("annotations", "kept"),
    [
        ([{"updated_at": "2024-01-02"}, {"updated_at": "2024-01-01"}], 0),
        ([{"updated_at": "2024-01-02"}, {"updated_at": "2024-01-03"}], 1),
        ([{"created_at": "2024-01-02"}, {}], 0),
        ([{}, {}], 1),
        ([{"ground_truth": True, "updated_at": "2020-01-01"}, {"updated_at": "2024-01-01"}], 0),
        ([{}, {"was_cancelled": True, "updated_at": "2024-01-01"}], 0),
        ([{"was_cancelled": True, "ground_truth": True}, {}], 1),
        ([{"skipped": True}, {}], 1),
    ],
)
def test_of_several_annotations_the_ground_truth_counts_else_the_latest(
    tmp_path: Path, annotations: list[dict[str, Any]], kept: int
) -> None:
    made = [annotated(rectangle(f"label {number}"), **facts) for number, facts in enumerate(annotations)]
    dataset, items, report = read("label_studio", put(tmp_path, task(*made)))
    assert [one.category for one in items["1.png"].annotations] == [f"label {kept}"]
    assert dataset.categories.names == (f"label {kept}",)
    assert report.dropped("annotation") == 1


@pytest.mark.parametrize(
    ("facts", "viewer"),
    [
        ({"annotations": [annotated()]}, "human"),
        ({}, "nobody"),
        ({"annotations": [annotated(rectangle(), was_cancelled=True)]}, "nobody"),
        ({"predictions": [{"result": [], "score": 0.5}]}, "model"),
        ({"annotations": [annotated()], "predictions": [{"result": [rectangle()]}]}, "human"),
        ({"annotations": [annotated(was_cancelled=True)], "predictions": [{"result": [rectangle()]}]}, "model"),
        ({"drafts": [{"result": [rectangle()]}]}, "nobody"),
    ],
)
def test_who_looked_at_a_picture(tmp_path: Path, facts: dict[str, Any], viewer: str) -> None:
    _, items, report = read("label_studio", put(tmp_path, {**task(), **facts}))
    assert items["1.png"].seen_by == viewer
    results = [one["result"] for key in ("annotations", "predictions", "drafts") for one in facts.get(key, [])]
    assert len(items["1.png"].annotations) + report.dropped("annotation") == sum(map(len, results))


@pytest.mark.parametrize("result", [None, 5, {"value": {}}, [None], [5, "cat"]])
def test_an_annotation_without_results_that_can_be_read_is_nobodys_answer(tmp_path: Path, result: Any) -> None:
    bare = {**annotated(), "result": result, "ground_truth": True}
    _, items, report = read("label_studio", put(tmp_path / "alone", task(bare)))
    assert (items["1.png"].seen_by, items["1.png"].annotations) == ("nobody", ())
    assert report.dropped("annotation") == (2 if result == [5, "cat"] else 1)
    _, items, _ = read("label_studio", put(tmp_path / "model", task(bare, predictions=[{"result": [rectangle()]}])))
    assert [one.origin for one in items["1.png"].annotations] == ["model"]
    _, items, _ = read("label_studio", put(tmp_path / "other", task(bare, annotated(rectangle()))))
    assert [one.category for one in items["1.png"].annotations] == ["cat"]
    _, items, _ = read("label_studio", put(tmp_path / "prediction", task(predictions=[{"result": result}])))
    assert items["1.png"].seen_by == "nobody"


def test_predictions_are_a_models_with_its_scores(tmp_path: Path) -> None:
    results = [rectangle(score=0.25), rectangle(id="d"), rectangle(id="e", score=95), choice("day", score=0.75)]
    predictions = [
        {"result": results, "score": 0.5, "created_at": "2024"},
        {"result": [rectangle("old")], "created_at": "2023"},
    ]
    dataset, items, report = read("label_studio", put(tmp_path, task(predictions=predictions)))
    assert [one.confidence for one in items["1.png"].annotations] == [0.25, 0.5, None, 0.75]
    assert {one.origin for one in items["1.png"].annotations} == {"model"}
    assert dataset.categories.names == ("cat", "day")
    assert report.count("attribute", "dropped", "score that is not 0 to 1") == 1
    assert report.dropped("annotation") == 1


def test_json_min_holds_the_same(tmp_path: Path) -> None:
    source = put(tmp_path, small(box=[small_box()], kind="day"), config=CONFIG)
    assert detect_format(source).name == "label_studio"
    dataset, items, report = read("label_studio", source)
    assert items["1.png"].annotations == (Annotation(category="cat", box_xyxy=(2.0, 2.0, 8.0, 6.0)), Annotation(category="day"))
    assert (items["1.png"].seen_by, dataset.categories.names) == ("human", ("zebra", "cat", "day", "night"))
    assert report.is_clean
    assert not report.warned("category")


def test_json_min_of_many_choices_and_without_a_configuration(tmp_path: Path) -> None:
    source = put(
        tmp_path,
        small(kind={"choices": ["day", "fog"]}),
        {**small("2.png", kind="night"), "id": 8},
        pictures=("1.png", "2.png"),
    )
    dataset, items, report = read("label_studio", source)
    assert dataset.categories.names == ("day", "fog", "night")
    assert [one.category for one in items["1.png"].annotations] == ["day", "fog"]
    assert report.warned("category") == 1


def test_json_min_texts_are_no_classes_where_the_configuration_says_so(tmp_path: Path) -> None:
    config = CONFIG.replace("</View>", '<TextArea name="caption" toName="image"/></View>')
    _, items, report = read("label_studio", put(tmp_path, small(caption="a cat", kind="day"), config=config))
    assert [one.category for one in items["1.png"].annotations] == ["day"]
    assert report.count("annotation", "dropped", "textarea is not kept") == 1


def test_json_min_of_several_people_and_of_nobody(tmp_path: Path) -> None:
    first, second = small(box=[small_box("cat")]), {**small(box=[small_box("zebra")]), "updated_at": "2025"}
    nobodys = {**small("2.png"), "id": 8, "annotation_id": None}
    _, items, report = read("label_studio", put(tmp_path, first, second, nobodys, pictures=("1.png", "2.png")))
    assert [one.category for one in items["1.png"].annotations] == ["zebra"]
    assert items["2.png"].seen_by == "nobody"
    assert report.dropped("annotation") == 1


def test_json_min_keeps_regions_of_controls_that_the_configuration_does_not_know(tmp_path: Path) -> None:
    record = small(bbox=[small_box()], remark="no class")
    _, items, report = read("label_studio", put(tmp_path, record, config=CONFIG))
    assert [one.category for one in items["1.png"].annotations] == ["cat"]
    assert report.is_clean


def test_json_min_says_by_its_control_which_picture_a_region_is_in(tmp_path: Path) -> None:
    config = "".join(
        f'<Image name="{side}" value="${side}_url"/><RectangleLabels name="{side}_box" toName="{side}"><Label value="cat"/>'
        "</RectangleLabels>"
        for side in ("left", "right")
    )
    record = {"left_url": "1.png", "right_url": "2.png", **small(left_box=[small_box()], right_box=[small_box()] * 2)}
    del record["image"]
    source = put(tmp_path, record, config=f"<View>{config}</View>", pictures=("1.png", "2.png"))
    _, items, report = read("label_studio", source)
    assert {name: len(item.annotations) for name, item in items.items()} == {"1.png": 1, "2.png": 2}
    assert report.is_clean


def test_json_min_does_not_say_which_picture_of_a_list_a_region_is_in(tmp_path: Path) -> None:
    config = CONFIG.replace('value="$image"', 'valueList="$image"')
    source = put(
        tmp_path, {**small(box=[small_box()]), "image": ["1.png", "2.png"]}, config=config, pictures=("1.png", "2.png")
    )
    _, items, report = read("label_studio", source)
    assert not items
    assert report.dropped("image") == report.dropped("annotation") == 1


def test_json_min_does_not_say_of_which_region_a_choice_is(tmp_path: Path) -> None:
    dataset, items, report = read("label_studio", put(tmp_path, small(box=[small_box()], pose="sits"), config=CONFIG))
    assert [one.category for one in items["1.png"].annotations] == ["cat"]
    assert "sits" not in dataset.categories.names
    assert report.count("attribute", "dropped", OF_SOME_REGION) == 1


def test_a_score_of_null_is_that_of_the_prediction(tmp_path: Path) -> None:
    predictions = [{"result": [rectangle(score=None)], "score": 0.5}]
    _, items, _ = read("label_studio", put(tmp_path, task(predictions=predictions)))
    assert items["1.png"].annotations[0].confidence == 0.5
