"""The process that imports an upload: `python -m sightline.api.importing`, told on stdin what, answering with JSON on stdout.

It is not `sightline import`, which takes a network for a network, runs it, and so would do what its maker put in it.
"""

import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from sightline.core.errors import SightlineError, find_public_type, make_public
from sightline.core.workspace import Workspace
from sightline.data.importing import import_dataset


class UploadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to import.

    Attributes:
        categories, options: as of `import_dataset`; no categories: the source's.
        target: the new folder of a version that is to be added to a Dataset; "": it becomes a Dataset in the workspace.
        blobs: where the Dataset's pictures are.
    """

    source: str
    workspace: str
    name: str
    categories: list[str]
    target: str = ""
    blobs: str = ""
    options: dict[str, str] = {}


class UploadResult(msgspec.Struct, frozen=True, kw_only=True):
    """The report of an import, or the kind and the words of the error that it ended with."""

    report: dict[str, Any] = {}
    error_type: str = ""
    error: str = ""

    def read(self) -> dict[str, Any]:
        """The report. Raises: the error."""
        if self.error_type:
            raise make_public(self.error_type, self.error)
        return self.report


def import_upload(request: UploadRequest) -> UploadResult:
    """Import pictures; paths inside the upload are told without the place where it lies."""
    try:
        _, report = import_dataset(
            request.source,
            request.target or Workspace(request.workspace),
            request.name,
            blobs=request.blobs or None,
            split="given" if request.target else "auto",
            categories=request.categories or None,
            format_options=request.options,
        )
        return UploadResult(report=report.to_dict())
    except SightlineError as error:
        place = f"{Path(request.source).parent}/"
        return UploadResult(error_type=find_public_type(error), error=str(error).replace(place, ""))


def main() -> None:
    """Import what stdin names."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing half made is left
    result = import_upload(msgspec.json.decode(sys.stdin.buffer.read(), type=UploadRequest))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
