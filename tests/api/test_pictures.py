import io

import numpy as np
import pytest
from PIL import Image
from platform_data import HEIGHT, WIDTH, paint
from starlette.testclient import TestClient

from sightline.core.workspace import Workspace
from sightline.data.formats.format import SourceItem
from sightline.data.importing import import_dataset
from sightline.data.versions import open_version

ITEM = "/v1/datasets/parts/items/0"


@pytest.mark.usefixtures("parts")
def test_a_plain_picture_goes_out_as_it_is_and_is_kept_for_ever_by_its_blob(api: TestClient, workspace: Workspace) -> None:
    blob = api.get(ITEM).json()["blob"]
    picture = api.get(f"{ITEM}/picture", params={"blob": blob})
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/png"
    version = open_version(workspace.find("datasets", "parts"))
    assert picture.content == version.read_bytes(next(iter(version.items())))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.content))), paint(0))
    assert picture.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = api.get(f"{ITEM}/picture", params={"blob": blob}, headers={"If-None-Match": picture.headers["etag"]})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == picture.headers["etag"]


@pytest.mark.usefixtures("parts")
def test_an_address_that_names_no_blob_or_another_is_asked_for_again(api: TestClient) -> None:
    other = api.get("/v1/datasets/parts/items/1").json()["blob"]
    for query in ({}, {"blob": other}, {"blob": "x"}):
        picture = api.get(f"{ITEM}/picture", params=query)
        assert picture.headers["cache-control"] == "private, no-cache"
        assert api.get(f"{ITEM}/picture", params=query, headers={"If-None-Match": picture.headers["etag"]}).status_code == 304


@pytest.mark.usefixtures("parts")
def test_thumbnails_of_two_sizes_are_two_things(api: TestClient) -> None:
    blob = api.get(ITEM).json()["blob"]
    small, usual = (api.get(f"{ITEM}/thumbnail", params={"blob": blob, "size": size}) for size in (32, 256))
    assert Image.open(io.BytesIO(small.content)).size == (32, 24)
    assert Image.open(io.BytesIO(usual.content)).size == (WIDTH, HEIGHT)  # none grows
    assert len({small.headers["etag"], usual.headers["etag"], api.get(f"{ITEM}/picture").headers["etag"]}) == 3
    assert "immutable" in small.headers["cache-control"] and small.headers["content-type"] == "image/jpeg"
    for size in ("31", "1025", "x"):
        assert api.get(f"{ITEM}/thumbnail", params={"size": size}).status_code == 422


def test_a_picture_that_browsers_show_differently_is_encoded_again(api: TestClient, workspace: Workspace) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(paint(0)).save(file, "JPEG", exif=exif, quality=95)
    import_dataset([SourceItem(file_name="turned.jpg", content=file.getvalue())], workspace, "parts", split="given")
    item = api.get(ITEM).json()
    assert (item["width"], item["height"]) == (HEIGHT, WIDTH)
    for end in ("picture", "thumbnail"):
        shown = Image.open(io.BytesIO(api.get(f"{ITEM}/{end}").content))
        assert shown.size == (HEIGHT, WIDTH) and not shown.getexif()


def test_a_damaged_blob_is_told_and_not_kept(api: TestClient, parts: Workspace) -> None:
    blob = api.get(ITEM).json()["blob"]
    (path,) = parts.blobs.rglob(f"*{blob[2:]}*")
    path.chmod(0o644)
    path.write_bytes(b"torn")
    for end in ("picture", "thumbnail"):
        answer = api.get(f"{ITEM}/{end}", params={"blob": blob})
        assert answer.status_code == 422 and "immutable" not in answer.headers["cache-control"]
