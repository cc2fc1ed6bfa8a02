from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset

LINE = "/v1/datasets/line"


@pytest.fixture(autouse=True)
def line(workspace: Workspace) -> None:
    """Seven frames of one video, two of another, and a picture of none."""
    frames = [("line.mp4", 40 * number) for number in range(7)] + [("b.mp4", 3), ("b.mp4", 9), (None, None)]
    items = [
        SourceItem(
            file_name=f"{number}.png",
            content=np.full((20, 30, 3), number, np.uint8),
            source_video=video,
            frame_pts=pts,
            seen_by="nobody",
        )
        for number, (video, pts) in enumerate(frames)
    ]
    import_dataset(items, workspace, "line", categories=["cup"])


def draw(api: TestClient, position: int, x: int) -> None:
    annotation = {"category": "cup", "box_xyxy": [x, 2, x + 5, 12], "attributes": {"track_id": "k1"}}
    body = {
        "edit_id": f"edit-00000{position}",
        "revision": 0,
        "operations": [{"kind": "put", "id": "a", "annotation": annotation}],
    }
    assert api.post(f"{LINE}/items/{position}/edits", json=body).status_code == 200


def fill(api: TestClient, **wanted: Any) -> Any:
    return api.post(f"{LINE}/tracks/fill", json=wanted)


def test_videos_are_listed_and_their_frames_can_be_filtered(api: TestClient) -> None:
    assert api.get(f"{LINE}/videos").json() == {
        "videos": [{"name": "line.mp4", "frame_count": 7}, {"name": "b.mp4", "frame_count": 2}]
    }
    page = api.get(f"{LINE}/items?video=b.mp4").json()
    assert [(item["position"], item["source_video"], item["frame_pts"]) for item in page["items"]] == [
        (7, "b.mp4", 3),
        (8, "b.mp4", 9),
    ]
    missing = api.get(f"{LINE}/items?video=c.mp4")
    assert missing.status_code == 404 and "c.mp4" in missing.json()["detail"]


def test_a_frame_is_shown_among_its_neighbours(api: TestClient) -> None:
    found = api.get(f"{LINE}/items/1/frames?around=2").json()
    assert (found["video"], found["place"], found["count"]) == ("line.mp4", 1, 7)
    assert [item["position"] for item in found["items"]] == [0, 1, 2, 3]
    assert api.get(f"{LINE}/items/9/frames").json() == {"video": None, "place": 0, "count": 0, "items": []}
    assert api.get(f"{LINE}/items/99/frames").status_code == 404


def test_an_object_is_proposed_between_two_frames(api: TestClient) -> None:
    draw(api, 0, 0)
    draw(api, 4, 20)
    made = fill(api, track_id="k1", position=0, other=4)
    assert made.json() == {"first": 0, "last": 4, "filled": [1, 2, 3], "kept": 0, "stale": []}
    (label,) = api.get(f"{LINE}/items/1").json()["labels"]
    assert label["annotation"]["box_xyxy"] == [5, 2, 10, 12] and label["annotation"]["origin"] == "model"
    assert api.get(f"{LINE}/items/1/edits").json()["edits"][0]["author"] == "interpolation ada"
    assert fill(api, track_id="k1", position=4).json()["kept"] == 3


def test_what_cannot_be_filled_is_a_refusal(api: TestClient) -> None:
    draw(api, 0, 0)
    assert fill(api, track_id="k1", position=0).status_code == 404
    assert fill(api, track_id="k1").status_code == 422
    assert fill(api, track_id="", position=0).status_code == 422
    assert fill(api, track_id="k1", position=0, other=7).status_code == 422
    assert fill(api, track_id="k1", position=9).status_code == 422
