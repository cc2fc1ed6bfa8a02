"""Keep what was predicted over many pictures: a line of JSON each, drawn pictures, and a summary; memory stays bounded."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from sightline.core.categories import Categories
from sightline.core.errors import Conflict
from sightline.core.folders import explain_full_disk, write_file_atomic
from sightline.data.conversion import replace_surrogates
from sightline.imaging.drawing import draw_annotations
from sightline.imaging.files.reading import encode_image
from sightline.serving.many_pictures import Outcome

MAX_STEM_BYTES = 200  # of a drawn picture's name: with what stands around it, file systems take 255
KEPT_RESULTS = 100  # results held in the summary; `--jsonl` has them all


class OutcomeWriter:
    """Takes Outcomes one by one; use it as a context manager.

    Args:
        categories: of the predictor; they give the colours.
        drawn_folder: new or empty folder for `000001-NAME.jpg`, the pictures with their predictions drawn; None draws none.
        jsonl: new file for one JSON object per picture, removed again when none was answered; a pipe may be there already.
            None writes none.

    Raises (on entering): Conflict when the folder holds something, or the file exists.
    """

    def __init__(self, categories: Categories, drawn_folder: Path | None = None, jsonl: Path | None = None) -> None:
        self.answered = 0
        self.failed = 0
        self.annotation_count = 0
        self.first_error: str | None = None
        self._categories = categories
        self._drawn_folder = drawn_folder
        self._jsonl = jsonl
        self._file: BinaryIO | None = None
        self._results: list[dict[str, Any]] = []

    def write(self, outcome: Outcome) -> None:
        """Take the next Outcome."""
        result: dict[str, Any] = {"name": outcome.source.name}
        if outcome.source.time_s is not None:
            result["time_s"] = outcome.source.time_s
        if outcome.image is None:
            self.failed += 1
            result["error"] = outcome.error
            self.first_error = self.first_error or outcome.error
        else:
            self.answered += 1
            self.annotation_count += len(outcome.annotations)
            height, width = outcome.image.shape[:2]
            result["image"] = {"width": width, "height": height}
            result["annotations"] = msgspec.to_builtins(outcome.annotations)
            if self._drawn_folder is not None:
                result["drawn"] = replace_surrogates(str(self._draw(outcome, self._drawn_folder)))
        if self._file is not None and self._jsonl is not None:
            with explain_full_disk(self._jsonl):
                self._file.write(msgspec.json.encode(result) + b"\n")
        if len(self._results) < KEPT_RESULTS:
            self._results.append(result)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, where the files lie, and the first results."""
        total = self.answered + self.failed
        return {
            "answered": self.answered,
            "failed": self.failed,
            "annotations": self.annotation_count,
            "drawn_folder": self._drawn_folder and str(self._drawn_folder),
            "jsonl": self._jsonl and str(self._jsonl),
            "pictures": self._results,
            "pictures_left_out": total - len(self._results),
        }

    def __enter__(self) -> Self:
        if self._drawn_folder is not None and self._drawn_folder.is_dir() and any(self._drawn_folder.iterdir()):
            raise Conflict(f"{self._drawn_folder} holds something already; choose a new or empty folder for the drawn pictures")
        if self._jsonl is not None and self._jsonl.is_file():
            raise Conflict(f"{self._jsonl} exists already; choose another name or remove it")
        if self._drawn_folder is not None:
            self._drawn_folder.mkdir(parents=True, exist_ok=True)
        if self._jsonl is not None:
            self._jsonl.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._jsonl.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None and self._jsonl is not None:
            with explain_full_disk(self._jsonl):
                self._file.close()
            if not self.answered and self._jsonl.is_file():
                self._jsonl.unlink()  # else the next try would be refused

    def _draw(self, outcome: Outcome, folder: Path) -> Path:
        assert outcome.image is not None
        stem = os.fsencode(Path(outcome.source.name).stem)[:MAX_STEM_BYTES].decode(errors="ignore")
        target = folder / f"{self.answered:06d}-{stem}.jpg"
        drawn = draw_annotations(outcome.image, outcome.annotations, self._categories)
        with explain_full_disk(folder):
            write_file_atomic(target, encode_image(drawn, "jpeg"), durable=False)
        return target
