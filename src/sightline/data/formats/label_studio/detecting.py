"""Which JSON files are Label Studio's, by the keys in their first and last bytes."""

import heapq
import os
import re
from pathlib import Path

HEAD_BYTES = 65536
MAX_FILES_LOOKED_AT = 200
BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
LIST_OF_OBJECTS = re.compile(rb"\[\s*\{")
TASKS = re.compile(rb'"(annotations|predictions|completions)"\s*:\s*\[')
OF_TASKS = re.compile(rb'"data"\s*:\s*\{|"result"\s*:\s*\[')
RECORDS = re.compile(rb'"(annotator|annotation_id|lead_time)"\s*:')


def find_json_files(source: Path) -> list[Path]:
    """The files of the first place that has any: the full JSON before JSON_MIN, the later name before the earlier."""
    if not source.is_dir():
        return [source] if source.suffix.lower() == ".json" and _find_kind(source) is not None else []
    for pattern in ("*.json", "annotations/*.json"):
        looked_at = heapq.nlargest(MAX_FILES_LOOKED_AT, source.glob(pattern))
        kinds = {path: kind for path in looked_at if (kind := _find_kind(path)) is not None}
        if kinds:
            return sorted(kinds, key=kinds.__getitem__)
    return []


def _find_kind(path: Path) -> int | None:
    """0 for a JSON of tasks, 1 for JSON_MIN, None for any other file."""
    if not os.path.isfile(path):  # noqa: PTH113 - a link to itself, or a pipe that would be read for ever
        return None
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if not LIST_OF_OBJECTS.match(head.lstrip(BEFORE_JSON)):
            return None
        file.seek(max(0, path.stat().st_size - HEAD_BYTES))
        tail = file.read(HEAD_BYTES)
    if TASKS.search(head) and OF_TASKS.search(head):
        return 0
    said = {*RECORDS.findall(head), *RECORDS.findall(tail)}
    return 1 if len(said) > 1 else None
