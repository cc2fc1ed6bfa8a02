"""IBM's client goes the whole way on real pictures: upload, label, train, deploy, ask."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from vapi.base import Base

PICTURES = 10
LONGEST_S = 400


def read_boxes(path: Path) -> list[tuple[str, dict[str, int]]]:
    """The names and boxes of a VOC XML."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    return [
        (str(found.findtext("name")), {side: int(str(found.findtext(f"bndbox/{side}"))) for side in sides})
        for found in ElementTree.parse(path).iter("object")
    ]


def follow(show: Callable[[], dict[str, Any]], under_way: set[str]) -> dict[str, Any]:
    """What is shown once it is no longer under way."""
    ends_at = time.monotonic() + LONGEST_S
    while (shown := show())["status"] in under_way:
        assert time.monotonic() < ends_at, shown
        time.sleep(0.2)
    return shown


@pytest.mark.slow
def test_from_pictures_to_an_answer(mvi: Base, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "detection" / "bccd" / "BCCD"
    paths = sorted((folder / "JPEGImages").glob("*.jpg"))[:PICTURES]
    dataset = mvi.datasets.create("cells")["dataset_id"]
    sent = mvi.files.upload(dataset, [str(path) for path in paths])["resultList"]
    assert [one["result"] for one in sent] == ["success"] * PICTURES

    boxes = {path.name: read_boxes(folder / "Annotations" / f"{path.stem}.xml") for path in paths}
    names = sorted({name for found in boxes.values() for name, _ in found})
    tags = {name: mvi.object_tags.create(dataset, name)["dataset_tag_id"] for name in names}
    for one in sent:
        for name, box in boxes[one["fileName"]]:
            assert mvi.object_labels.create(dataset, one["_id"], tags[name], {"bnd_box": box})["id"]
    count = sum(map(len, boxes.values()))
    assert sum(tag["label_count"] for tag in mvi.object_tags.report(dataset)) == count > PICTURES

    task = mvi.dl_tasks.create("cells", dataset, "cod", nn_arch="tiny_yolo_v2", strategy={"iterations": 2})["task_id"]
    done = follow(lambda: mvi.dl_tasks.show(task), {"scheduled", "training"})
    assert done["status"] == "trained", done
    (model,) = mvi.trained_models.report(usage="cod")
    assert (model["name"], model["dataset_id"], model["categories"]) == ("cells", dataset, names)

    api = mvi.deployed_models.create(task, "cells", accel_type="CPU")["_id"]
    done = follow(lambda: mvi.deployed_models.show(api), {"starting"})
    assert done["status"] == "ready" and done["trained_model_id"] == model["_id"], done
    answer = mvi.deployed_models.infer(api, str(paths[0]), confthre=0.0)
    assert answer["result"] == "success" and answer["webAPIId"] == api
    for found in answer["classified"]:
        assert found["label"] in names and 0 <= found["confidence"] <= 1
        assert 0 <= found["xmin"] < found["xmax"] <= 640 and 0 <= found["ymin"] < found["ymax"] <= 480

    mvi.datasets.export(dataset, str(tmp_path / "cells.zip"))
    again = mvi.datasets.import_dataset(str(tmp_path / "cells.zip"))["dataset_id"]
    assert len(mvi.object_labels.report(again)) == count
