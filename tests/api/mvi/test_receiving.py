import io
import zipfile
from pathlib import Path

import pytest
from platform_data import paint
from vapi.base import Base

from sightline.imaging.files.reading import encode_image


@pytest.mark.parametrize("content", [b"no zip", b""])
def test_what_is_no_archive_becomes_no_dataset(mvi: Base, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.zip").write_bytes(content)
    assert mvi.datasets.import_dataset(str(tmp_path / "set.zip")) is None
    assert mvi.status_code() == 422 and mvi.json()["fault"]
    (tmp_path / "0.png").write_bytes(encode_image(paint(0), "png"))
    assert mvi.datasets.import_dataset(str(tmp_path / "0.png")) is None and "one archive" in mvi.json()["fault"]
    assert [row["name"] for row in mvi.datasets.report()] == ["parts"]


def test_a_name_that_leads_out_of_an_archive_is_refused_by_the_import(mvi: Base, tmp_path: Path) -> None:
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../out.png", bytes(1000))
    (tmp_path / "set.zip").write_bytes(zeros.getvalue())
    assert mvi.datasets.import_dataset(str(tmp_path / "set.zip")) is None and "out.png" in mvi.json()["fault"]
