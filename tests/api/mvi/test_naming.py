from vapi.base import Base


def test_tags_and_categories_are_one_list(mvi: Base, dataset: str, dent: str) -> None:
    made = mvi.object_tags.create(dataset, "stain")["dataset_tag_id"]
    assert [tag["label_count"] for tag in mvi.object_tags.report(dataset)] == [3, 1, 0]
    assert [category["name"] for category in mvi.categories.report(dataset)] == ["dent", "scratch", "stain"]
    assert mvi.object_tags.update(dataset, made, name="spot") == {"result": "success"}
    assert mvi.object_tags.show(dataset, made)["name"] == "spot"
    assert mvi.object_tags.create(dataset, "spot") is None and mvi.status_code() == 409
    assert mvi.object_tags.delete(dataset, dent) is None and "3 annotations" in mvi.json()["fault"]
    assert mvi.object_tags.delete(dataset, made) == {"result": "success"}
    assert mvi.object_tags.show(dataset, made) is None and mvi.json()["fault"].startswith("Could not find tag")
    category = mvi.categories.create(dataset, "good")["dataset_category_id"]
    assert mvi.categories.show(dataset, category)["name"] == "good"
    assert mvi.categories.action(dataset, category, action="rename", name="fine") == {"result": "success"}
    assert mvi.categories.show(dataset, category)["name"] == "fine"
    assert mvi.categories.action(dataset, category, action="paint") is None and "rename or calculate" in mvi.json()["fault"]
    assert mvi.categories.delete(dataset, category) == {"result": "success"}
