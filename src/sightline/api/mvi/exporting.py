"""`/api/datasets/ID/export`: a dataset as the zip of the original, written as it is sent.

One folder holds `prop.json`, and each picture beside an XML of its objects, in Pascal VOC's words but for the polygons. The
layout was read from two exports of the original; `sightline import` reads it as Pascal VOC.
"""

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from xml.sax.saxutils import escape

import msgspec
from fastapi import APIRouter
from starlette.responses import StreamingResponse

from sightline.api.mvi.files import describe_files
from sightline.api.mvi.labels import describe_labels
from sightline.api.mvi.lookup import DatasetOf, File, make_file_id, walk_items
from sightline.api.mvi.naming import CategoryIds
from sightline.api.mvi.outbox import Outbox
from sightline.api.parts import Parts, PartsOf
from sightline.api.people import PersonOf
from sightline.store.datasets import Dataset, LabelledItem

PROP_VERSION = "PROP_VESION_1"  # spelt so by the original
FILE_PROPS = (
    "_id", "file_type", "category_id", "category_name", "created_at", "uploaded_at", "label_type", "original_file_name",
    "upload_type",
)  # fmt: skip
DEBUG_NAME = "__DEBUG"

router = APIRouter(prefix="/datasets/{dataset_id}")


@router.get("/export")
def export_dataset(dataset: DatasetOf, parts: PartsOf, person: PersonOf, raw: str = "") -> StreamingResponse:
    """The dataset as a zip of the original's layout. Masks become polygons. `raw=True` adds all that we know of each picture.

    User metadata is told by `raw` alone: where the original puts it was nowhere to be seen.
    """
    content = write_archive(parts, person.name, dataset, is_raw=raw.lower() == "true")
    headers = {"Content-Disposition": f"attachment; filename={dataset.name}.zip"}  # no quotes: the client takes it literally
    return StreamingResponse(content, headers=headers, media_type="application/zip")


def write_archive(parts: Parts, owner: str, dataset: Dataset, is_raw: bool) -> Iterator[bytes]:
    """The zip, a picture at a time."""
    outbox, ids = Outbox(), CategoryIds(dataset)
    files = describe_files(parts, owner, dataset)
    with zipfile.ZipFile(outbox, "w") as archive:
        archive.writestr(f"{dataset.name}/prop.json", msgspec.json.encode(describe_properties(dataset, files)))
        listed = {file["_id"] for file in files}
        for item in walk_items(dataset):
            file_id = make_file_id(dataset.name, item.file_name, item.blob)
            if file_id not in listed:  # it came since
                continue
            stem = f"{dataset.name}/{file_id}"
            archive.writestr(f"{stem}{PurePosixPath(item.file_name).suffix}", dataset.version.blobs.read(item.blob))
            if labels := describe_labels(File(dataset, file_id, item), ids):
                archive.writestr(f"{stem}.xml", write_xml(item, labels), zipfile.ZIP_DEFLATED)
            if is_raw:
                whole = msgspec.json.encode(item)
                archive.writestr(f"{dataset.name}/{DEBUG_NAME}/{file_id}.json", whole, zipfile.ZIP_DEFLATED)
            yield outbox.take()
    yield outbox.take()


def describe_properties(dataset: Dataset, files: list[dict[str, Any]]) -> dict[str, Any]:
    """`prop.json`; its lists are texts that hold JSON."""
    props = [{**{name: file[name] for name in FILE_PROPS}, "parent_id": None, "generate_type": None} for file in files]
    categories = [{"_id": file["category_id"], "name": file["category_name"]} for file in files if file["category_id"]]
    distinct = list({category["_id"]: category for category in categories}.values())
    return {
        "usage": "generic",
        "name": dataset.name,
        "type": 0,
        "scenario": "",
        "prop_version": PROP_VERSION,
        "pre_process": "",
        "category_prop_info": msgspec.json.encode(distinct).decode(),
        "action_prop_info": "[]",
        "file_prop_info": msgspec.json.encode(props).decode(),
    }


def write_xml(item: LabelledItem, labels: list[dict[str, Any]]) -> str:
    """The objects of a picture, in one line, without a declaration."""
    size = f"<size><width>{item.width}</width><height>{item.height}</height><depth>3</depth></size>"
    return f"<annotation>{size}{''.join(map(write_object, labels))}</annotation>"


def write_object(label: dict[str, Any]) -> str:
    """One object: its box, and its polygons, of whose points each has two values."""
    box = "".join(f"<{side}>{value}</{side}>" for side, value in label["bnd_box"].items())
    polygons = "".join(
        "<polygon>" + "".join(f"<point><value>{x}</value><value>{y}</value></point>" for x, y in polygon) + "</polygon>"
        for polygon in label.get("segment_polygons", ())
    )
    return (
        f"<object><_id>{label['_id']}</_id><name>{escape(label['name'])}</name><bndbox>{box}</bndbox>"
        f"<generate_type>{label['generate_type']}</generate_type><file_id>{label['file_id']}</file_id>"
        + (f"<segment_polygons>{polygons}</segment_polygons>" if polygons else "")
        + "</object>"
    )
