"""A server for the labelling editor's page in benchmarks: labels in memory, and so much of `/v1` as the page needs."""

import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np

SCENE_SIZE = (2400, 1600)
CATEGORIES = [
    {"id": index, "name": name, "colour": colour}
    for index, (name, colour) in enumerate(
        [("bolt", "#e6194b"), ("crack", "#3cb44b"), ("dent", "#4363d8"), ("rust", "#f58231"), ("scratch", "#911eb4")]
    )
]


@dataclass
class Scene:
    """A picture and its labels, as the wire has them."""

    name: str
    content: bytes
    media_type: str
    width: int
    height: int
    labels: list[dict[str, Any]]
    revision: int = 0
    seen_by: str | None = "human"


def make_scene(count: int, points: int = 20, seed: int = 0) -> Scene:
    """`count` polygons of `points` points on a grid with some disorder, over a soft noise of grays."""
    rng = np.random.default_rng(seed)
    width, height = SCENE_SIZE
    across = round((count * width / height) ** 0.5)
    pitch = width / across
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    labels = []
    for index in range(count):
        centre = (np.array([index % across, index // across]) + rng.uniform(0.4, 0.6, 2)) * pitch
        radii = pitch * 0.46 * rng.uniform(0.7, 1.0, points)
        ring = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], axis=1)
        ring = np.clip(ring, 0, (width, height)).round(2)
        category = CATEGORIES[int(rng.integers(len(CATEGORIES)))]["name"]
        labels.append({"id": str(index), "annotation": {"category": category, "polygons": [ring.ravel().tolist()]}})
    noise = cv2.resize(rng.integers(90, 170, (height // 20, width // 20), dtype=np.uint8), (width, height))
    content = cv2.imencode(".jpg", noise)[1].tobytes()
    return Scene(f"{count} polygons.jpg", content, "image/jpeg", width, height, labels)


class EditorServer:
    """Serves while the context is open: the app at `/`, the peer's files below `/peer/`, datasets below `/v1`."""

    def __init__(self, datasets: dict[str, list[Scene]], app: Path, peer: Path | None = None, categories: Any = None) -> None:
        self.datasets = datasets
        self.app = app
        self.peer = peer
        self.categories = categories or {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "EditorServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def summarise(self, name: str) -> dict[str, Any]:
        scenes = self.datasets[name]
        return {
            "name": name,
            "version_id": "0" * 64,
            "item_count": len(scenes),
            "states": {"labelled": len(scenes), "proposed": 0, "unlabelled": 0},
            "splits": {},
            "annotation_counts": {},
            "categories": self.categories.get(name, CATEGORIES),
            "unfrozen_edit_count": 0,
            "newer_version": None,
        }

    def describe(self, name: str, position: int) -> dict[str, Any]:
        scene = self.datasets[name][position]
        return {
            "position": position,
            "file_name": scene.name,
            "width": scene.width,
            "height": scene.height,
            "split": None,
            "state": "labelled",
            "annotation_count": len(scene.labels),
            "revision": scene.revision,
            "blob": f"{position:064x}",
            "labels": scene.labels,
            "seen_by": scene.seen_by,
        }

    def apply(self, scene: Scene, edit: dict[str, Any]) -> None:
        """Labels after an edit; places are of no matter here."""
        labels = {label["id"]: label["annotation"] for label in scene.labels}
        for operation in edit["operations"]:
            if operation["kind"] == "put":
                labels[operation["id"]] = operation["annotation"]
            elif operation["kind"] == "remove":
                labels.pop(operation["id"], None)
            else:
                scene.seen_by = operation["seen_by"]
        scene.labels = [{"id": key, "annotation": annotation} for key, annotation in labels.items()]
        scene.revision += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: EditorServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        item = re.fullmatch(r"/v1/datasets/([^/]+)/items/(\d+)(/\w+)?", path)
        if path == "/v1/session":
            self.answer_json({"author": "benchmark", "version": "0"})
        elif path == "/v1/predictors":
            self.answer_json({"predictors": []})
        elif item:
            self.answer_item(item[1], int(item[2]), item[3])
        elif listing := re.fullmatch(r"/v1/datasets/([^/]+)/items", path):
            self.answer_items(listing[1])
        elif dataset := re.fullmatch(r"/v1/datasets/([^/]+)", path):
            self.answer_json(self.site.summarise(dataset[1]))
        elif path.startswith("/peer/") and self.site.peer:
            self.answer_file(self.site.peer / path.removeprefix("/peer/"))
        else:
            self.answer_file(self.site.app / path.lstrip("/"))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        place = re.fullmatch(r"/v1/datasets/([^/]+)/items/(\d+)/edits", unquote(urlsplit(self.path).path))
        if not place:
            self.answer(404, b"{}", "application/json")
            return
        self.site.apply(self.site.datasets[place[1]][int(place[2])], body)
        item = self.site.describe(place[1], int(place[2]))
        self.answer_json({name: item[name] for name in ("revision", "state", "annotation_count", "seen_by")} | {"cleaned": []})

    def answer_item(self, name: str, position: int, part: str | None) -> None:
        scene = self.site.datasets[name][position]
        if part == "/picture":
            self.answer(200, scene.content, scene.media_type)
        elif part == "/edits":
            self.answer_json({"edits": []})
        else:
            self.answer_json(self.site.describe(name, position))

    def answer_items(self, name: str) -> None:
        count = len(self.site.datasets[name])
        cursor = int(dict(pair.split("=") for pair in urlsplit(self.path).query.split("&")).get("cursor", 0))
        items = [self.site.describe(name, position) for position in range(cursor, count)]
        self.answer_json({"items": items, "next_cursor": None, "total": count})

    def answer_file(self, path: Path) -> None:
        """A file, or the app's page for addresses that the app knows itself."""
        path = path if path.is_file() else self.site.app / "index.html"
        self.answer(200, path.read_bytes(), guess_type(path.name)[0] or "application/octet-stream")

    def answer_json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode(), "application/json")

    def answer(self, status: int, content: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
