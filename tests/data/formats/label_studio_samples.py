"""Tasks of Label Studio as it exports them, made small."""

import json
from pathlib import Path
from typing import Any

from format_samples import write_picture, write_text

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="zebra"/><Label value="cat"/></RectangleLabels>
<Choices name="kind" toName="image"><Choice value="day"/><Choice value="night"/></Choices>
<Choices name="pose" toName="image" perRegion="true"><Choice value="sits"/></Choices></View>"""
SIZE = {"original_width": 20, "original_height": 10, "image_rotation": 0}
NOBODYS = {"was_cancelled": False, "ground_truth": False}


def rectangle(
    label: str = "cat", x: float = 10, y: float = 20, width: float = 30, height: float = 40, **more: Any
) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}
    value |= {key: more.pop(key) for key in ("rotation", "rectanglelabels") if key in more}
    return {"id": "a", "type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value, **SIZE, **more}


def region(kind: str, value: dict[str, Any], identity: str = "b", **more: Any) -> dict[str, Any]:
    return {"id": identity, "type": kind, "from_name": kind, "to_name": "image", "value": value, **SIZE, **more}


def choice(*names: str, **more: Any) -> dict[str, Any]:
    return {"id": "c", "type": "choices", "from_name": "kind", "to_name": "image", "value": {"choices": list(names)}, **more}


def annotated(*results: Any, **more: Any) -> dict[str, Any]:
    return {"result": list(results), **NOBODYS, **more}


def task(*annotations: Any, image: Any = "1.png", **more: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"image": image}, "annotations": list(annotations), "predictions": [], **more}


def small(image: str = "1.png", **outputs: Any) -> dict[str, Any]:
    facts = {"annotator": 1, "annotation_id": 5, "created_at": "2024", "updated_at": "2024", "lead_time": 3.5}
    return {"image": image, "id": 7, **outputs, **facts}


def small_box(label: str = "cat") -> dict[str, Any]:
    return {**rectangle(label)["value"], "original_width": 20, "original_height": 10}


def put(
    folder: Path, *tasks: Any, name: str = "export.json", config: str | None = None, pictures: tuple[str, ...] = ("1.png",)
) -> Path:
    for picture in pictures:
        write_picture(folder / picture)
    if config is not None:
        write_text(folder / "label_config.xml", config)
    write_text(folder / name, json.dumps(list(tasks)))
    return folder
