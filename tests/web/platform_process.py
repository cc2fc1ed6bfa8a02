"""What tests in a browser share: `sightline up` as a process, a dataset of real pictures, and what no page may do."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
from playwright.sync_api import BrowserContext, ConsoleMessage, Request

from sightline.core.annotations import Annotation
from sightline.core.workspace import Workspace
from sightline.data.importing import SourceItem, import_dataset

ROOT = Path(__file__).resolve().parents[2]
LABELLED, ALL = 5, 8
WIDTH, HEIGHT = 640, 480  # of BCCD's pictures
READY_TIMEOUT_S = 60


class Platform:
    """`sightline up` over a workspace, on a free port, which stays its own when it is killed and started again."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.port = 0
        self.token = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        """What signs a browser in."""
        return f"{self.url}/?token={self.token}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        words = ["up", "--port", str(self.port), "--author", "ada", "--workspace", str(self.workspace), "--json"]
        self._process = subprocess.Popen([sys.executable, "-m", "sightline", *words], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"`sightline up` ended with {self._process.wait(READY_TIMEOUT_S)} before it was ready"
        ready = json.loads(line)
        self.port, self.token = httpx.URL(ready["url"]).port or 0, ready["token"]

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.communicate(timeout=READY_TIMEOUT_S)

    def read(self, path: str) -> Any:
        """What its interface answers to a program."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.get(f"{self.url}{path}", headers=bearer, trust_env=False, timeout=READY_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def send(self, path: str, body: dict[str, Any]) -> Any:
        """What it answers to a program that changes something."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.post(f"{self.url}{path}", json=body, headers=bearer, trust_env=False, timeout=READY_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()

    def read_labels(self, position: int) -> list[Any]:
        """The labels of a picture of `cells`, as the journal has them."""
        labels: list[Any] = self.read(f"/v1/datasets/cells/items/{position}")["labels"]
        return labels


class Watch:
    """What pages asked for and complained about."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self._origin = origin
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        context.on("request", self._see_request)
        context.on("console", self._see_message)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _see_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._origin}/", "blob:", "data:")):
            self.foreign.append(request.url)

    def _see_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    def forget_refusals(self, *statuses: str) -> None:
        """Leave out what the browser says by itself of answers that a test asks for, or of a server that it killed."""
        expected = [f"status of {status}" for status in statuses] or ["Failed to load resource", "net::ERR"]
        self.complaints = [line for line in self.complaints if not any(words in line for words in expected)]


def make_cells(workspace: Path, shared_data: Path) -> None:
    """The dataset `cells`: eight pictures of blood cells, the first five with their boxes, the others looked at by nobody."""
    folder = shared_data / "detection" / "bccd" / "BCCD"
    pictures = sorted((folder / "JPEGImages").glob("*.jpg"))[:ALL]
    items = [
        SourceItem(
            file_name=picture.name,
            path=picture,
            split="train" if number % 2 == 0 else "val",
            annotations=read_boxes(folder / "Annotations" / f"{picture.stem}.xml") if number < LABELLED else [],
            seen_by="human" if number < LABELLED else "nobody",
        )
        for number, picture in enumerate(pictures)
    ]
    import_dataset(items, Workspace(workspace), "cells", categories=["RBC", "WBC", "Platelets"], split="given")


def read_boxes(path: Path) -> Sequence[Annotation]:
    """The boxes of a Pascal VOC file of our own shared data."""
    objects = ElementTree.parse(path).iter("object")
    return [
        Annotation(
            category=found.findtext("name", ""),
            box_xyxy=tuple(float(found.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")),
        )
        for found in objects
    ]


def find_chromium() -> str | None:
    """The browser, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def build_pages() -> None:
    """Have the server serve these sources' pages; nothing is built where `make test` has done so."""
    subprocess.run([sys.executable, str(ROOT / "web" / "build.py")], check=True)


def is_on_ci() -> bool:
    """Whether a missing browser is a fault rather than a reason to skip."""
    return os.environ.get("CI", "").lower() in ("1", "true")
