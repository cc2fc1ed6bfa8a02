"""Export: a DatasetVersion becomes files of any known format; what it cannot carry is said before anything is written."""

import os
import tempfile
from pathlib import Path

from sightline.core.errors import Conflict, LossyExport
from sightline.core.folders import explain_disk_errors, new_folder
from sightline.core.workspace import StrPath
from sightline.data.conversion import ConversionReport
from sightline.data.formats.format import DatasetFormat
from sightline.data.formats.table import load_format
from sightline.data.versions import DatasetVersion, check_version

FILE_FORMATS = ("sightline",)  # written as one file, not as a folder


def export_version(version: DatasetVersion, target: StrPath, format: str, allow_loss: bool = False) -> ConversionReport:
    """Write `version` to the new folder `target` (for our own zip, the new file), whole or not at all.

    Raises: LossyExport when the format would change or drop something and `allow_loss` is False, or would drop every picture;
        Conflict when `target` exists; NotFound for an unknown format; InvalidInput or Exhausted when the disk refuses;
        InvalidInput for something that is no version.
    """
    check_version(version)
    target = Path(target)
    chosen = load_format(format)
    with explain_disk_errors(target):
        if target.exists():
            raise Conflict(f"{target} exists already; choose another name or remove it")
    losses = chosen.check(version)
    if not losses.is_clean and not allow_loss:
        found = "; ".join(line for line in losses.lines() if line.startswith(("changed", "dropped")))
        raise LossyExport(f"{format} cannot carry all of {version.name!r}: {found}; allow the loss with `allow_loss`")
    if losses.dropped("image") >= version.count() > 0:
        reasons = losses.reasons("dropped")
        raise LossyExport(f"{format} can carry no picture of {version.name!r}: {reasons}; export to another format")
    report = ConversionReport()
    with explain_disk_errors(target):
        _write(chosen, version, target, report)
    return report


def _write(chosen: DatasetFormat, version: DatasetVersion, target: Path, report: ConversionReport) -> None:
    if chosen.name in FILE_FORMATS:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            finished = Path(folder) / target.name
            chosen.write(version, finished, report)
            with finished.open("rb") as file:
                os.fsync(file.fileno())
            finished.rename(target)
    else:
        with new_folder(target) as folder_path:
            chosen.write(version, folder_path, report)
