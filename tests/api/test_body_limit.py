from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from sightline.core.workspace import Workspace

MEGABYTE = b"x" * (1 << 20)


def send(count: int) -> Iterator[bytes]:
    """A body that does not say its length."""
    for _ in range(count):
        yield MEGABYTE


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", None])
def test_a_long_edit_is_refused_whether_it_says_its_length_or_not(api: TestClient, parts: Workspace, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for body in (MEGABYTE * 17, send(17)):
        answer = api.post("/v1/datasets/parts/items/0/edits", content=body, headers=headers)
        assert answer.status_code == 413 and answer.headers["content-type"] == "application/problem+json"
        assert "16,777,216" in answer.json()["detail"]
    for body in (MEGABYTE * 16, send(16)):  # no longer than it may be, only no edit
        assert api.post("/v1/datasets/parts/items/0/edits", content=body, headers=headers).status_code == 422


def test_a_picture_may_be_longer(api: TestClient) -> None:
    headers = {"Content-Type": "image/png"}
    assert api.post("/v1/deployments/none/predict", content=MEGABYTE * 20, headers=headers).status_code == 404
    assert api.post("/v1/deployments/none/predict", content=send(65), headers=headers).status_code == 413
