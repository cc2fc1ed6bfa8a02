import json
import zipfile
from pathlib import Path

from vapi.base import Base


def test_an_export_comes_back_by_an_import(mvi: Base, tmp_path: Path) -> None:
    (row,) = mvi.datasets.report()
    path = tmp_path / "parts.zip"
    assert mvi.datasets.export(row["_id"], str(path)) == str(path)
    assert "filename=parts.zip" in mvi.raw_http_response().headers["content-disposition"]
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        props = json.loads(archive.read("parts/prop.json"))
        files = {file["original_file_name"]: file for file in json.loads(props["file_prop_info"])}
        first = files["0.png"]["_id"]
        xml = archive.read(f"parts/{first}.xml").decode()
    assert names[0] == "parts/prop.json" and props["prop_version"] == "PROP_VESION_1"
    assert len(files) == 6 and sum(name.endswith(".xml") for name in names) == 4  # of the pictures with objects
    assert "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>" in xml
    imported = mvi.datasets.import_dataset(str(path))["dataset_id"]
    assert mvi.datasets.show(imported)["name"] == "parts-2"
    boxes = [sorted(json.dumps(one["bnd_box"]) for one in mvi.object_labels.report(one)) for one in (row["_id"], imported)]
    assert boxes[0] == boxes[1] and len(boxes[0]) == 4
    assert imported in [task["_id"] for task in mvi.server.get("/bgtasks")["task_list"] if task["status"] == "completed"]


def test_a_raw_export_holds_more(mvi: Base, tmp_path: Path) -> None:
    (row,) = mvi.datasets.report()
    mvi.file_metadata.add(row["_id"], mvi.files.report(row["_id"])[0]["_id"], {"line": "3"})
    mvi.datasets.export(row["_id"], str(tmp_path / "raw.zip"), raw=True)
    with zipfile.ZipFile(tmp_path / "raw.zip") as archive:
        debug = [json.loads(archive.read(name)) for name in archive.namelist() if "/__DEBUG/" in name]
    assert len(debug) == 6 and debug[0]["attributes"] == {"line": "3"}
    assert debug[2]["labels"][0]["annotation"]["mask"]["counts"]  # which the layout itself cannot hold
