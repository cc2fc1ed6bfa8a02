from typing import Any

import numpy as np
import pytest
from platform_data import HEIGHT, WIDTH
from starlette.testclient import TestClient

from sightline.api import outlines
from sightline.core.annotations import MaskRle
from sightline.imaging.files.reading import decode_image
from sightline.imaging.masks import decode_mask

ITEM = "/v1/datasets/parts/items/0"
BAR = 5  # pixels, at the left of picture 0, red on gray

pytestmark = pytest.mark.usefixtures("parts")


def ask(api: TestClient, **changes: Any) -> Any:
    """The answer for a box around the bar; `changes` are words of the request."""
    body = {"blob": api.get(ITEM).json()["blob"], "box_xyxy": [0, 0, 7, HEIGHT], **changes}
    return api.post(f"{ITEM}/outline", json=body)


def test_the_thing_in_a_box_comes_as_a_mask_and_nothing_is_stored(api: TestClient) -> None:
    before = api.get(ITEM).json()
    answer = ask(api)
    assert answer.status_code == 200
    mask = decode_mask(MaskRle(**answer.json()["mask"]))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[:, :BAR] = True
    assert (mask & expected).sum() / (mask | expected).sum() > 0.8
    assert api.get(ITEM).json() == before


def test_a_stroke_takes_away(api: TestClient) -> None:
    stroke = {"points": [2.5, 0.0, 2.5, 10.0], "radius": 3.0, "adds": False}
    mask = decode_mask(MaskRle(**ask(api, strokes=[stroke]).json()["mask"]))
    assert not mask[:10, :BAR].any() and mask[30, 2]


def test_strokes_in_the_box_do_not_decode_the_picture_again(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def decode_counted(*words: Any) -> Any:
        decoded.append(words)
        return decode_image(*words)

    monkeypatch.setattr(outlines, "decode_image", decode_counted)
    stroke = {"points": [2.5, 0.0, 2.5, 10.0], "radius": 1.0, "adds": False}
    whole, less = ask(api).json(), ask(api, strokes=[stroke]).json()
    assert len(decoded) == 1 and whole != less
    assert ask(api, box_xyxy=[0, 0, 9, HEIGHT]).status_code == 200 and len(decoded) == 2
    assert ask(api).json() == whole and len(decoded) == 3


def test_another_picture_than_the_one_that_was_shown_is_refused(api: TestClient) -> None:
    refusal = ask(api, blob="0" * 64)
    assert refusal.status_code == 409 and "open it anew" in refusal.json()["detail"]


@pytest.mark.parametrize(
    "changes",
    [
        {"box_xyxy": [100, 100, 120, 120]},
        {"box_xyxy": [0, 0, 7]},
        {"strokes": [{"points": [1.0], "radius": 1, "adds": True}]},
        {"strokes": [{"points": [1.0, 2.0, 3.0], "radius": 1, "adds": True}]},
        {"strokes": [{"points": [1.0, 2.0], "radius": 0, "adds": True}]},
        {"strokes": [{"points": [1.0, 2.0], "radius": 1, "adds": True}] * 201},
        {"strokes": [{"points": [1.0, 2.0] * 2000, "radius": 1000, "adds": True}] * 11},
        {"form": "polygon"},
    ],
)
def test_what_cannot_be_cut_is_refused(api: TestClient, changes: dict[str, Any]) -> None:
    assert ask(api, **changes).status_code == 422
