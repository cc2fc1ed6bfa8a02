"""Reports on disk: a folder of `manifest.json`, `report.json`, `report.html`, plots and `resamples.npz`; none is saved without
what others need to repeat it.

Everything shown (terminal table, HTML, plots) is made from `ReportContent` alone, so a Report read back shows the same; the
resamples only tell how sure the difference to another Report is.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from sightline.bench.pages import render_report, write_page
from sightline.bench.plots import draw_plots
from sightline.bench.records import Mistake, ReportContent
from sightline.bench.resamples import RESAMPLES_NAME, Resamples, read_resamples, write_resamples
from sightline.core.errors import Conflict, InvalidInput, NotFound
from sightline.core.folders import (
    hash_files,
    is_whole,
    new_folder,
    read_manifest,
    verify_files,
    write_manifest,
)
from sightline.core.manifests import ReportManifest, compute_manifest_id
from sightline.core.shelving import shelve
from sightline.core.workspace import StrPath, Workspace, check_name

CONTENT_NAME = "report.json"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A saved Report.

    Attributes:
        folder, manifest: its folder, and its record.
        content: everything measured: `subject`, `accuracy`, `latency`, `throughput`, `memory`, `energy`, `host` and more.
    """

    folder: Path
    manifest: ReportManifest
    content: ReportContent

    def __repr__(self) -> str:
        return f"Report({self.manifest.name!r}, {self.id[:12]}, {str(self.folder)!r})"

    @property
    def id(self) -> str:
        """The Report's id, 64 hex digits."""
        return compute_manifest_id(self.manifest)

    @property
    def page(self) -> Path:
        """The HTML page: one file that needs nothing else."""
        return self.folder / "report.html"

    def read_resamples(self) -> Resamples | None:
        """What it keeps to be compared with another; None for a Report that keeps none. Raises: InvalidInput."""
        # A file that its manifest does not name was not checked, and is none of it.
        return read_resamples(self.folder / RESAMPLES_NAME) if RESAMPLES_NAME in self.manifest.files else None


def find_missing(content: ReportContent) -> list[str]:
    """What a number needs beside it and this Report lacks: nobody could repeat or compare it."""
    packages = content.host.get("packages")
    checks = {
        "host": bool(content.host.get("cpu")) and bool(content.host.get("cores")),
        "package versions": bool(packages),
        "seed": content.seed is not None,
        "precision": bool(content.subject.precision),
        "batch size": bool(content.plan.batch_sizes) and bool(content.latency) and bool(content.throughput),
        "dataset version": content.dataset is not None and bool(content.dataset.version),
    }
    return [name for name, is_there in checks.items() if not is_there]


def save_report(
    content: ReportContent,
    out: Path | Workspace,
    draw_mistakes: Callable[[Path], tuple[Mistake, ...]] = lambda folder: (),
    resamples: Resamples | None = None,
) -> Report:
    """Write a Report's folder whole or not at all.

    Args:
        content: what was measured; its `mistakes` are replaced by those drawn.
        out: the folder the Report becomes, or a Workspace: then it is shelved under its name and id.
        draw_mistakes: writes pictures into the folder it is given and describes them.
        resamples: of its accuracy, to compare it with another.

    Raises: InvalidInput when host, versions, seed, precision, batch size or dataset version are missing; Conflict when the
        folder exists.
    """
    missing = find_missing(content)
    dataset, seed, precision = content.dataset, content.seed, content.subject.precision
    if missing or dataset is None or seed is None or precision is None:
        raise InvalidInput(
            f"expected a Report that others can repeat, got one without {', '.join(missing)}; state it, then save"
        )
    name = make_report_name(content.name)
    shelf = out.root / "reports" / name if isinstance(out, Workspace) else out.parent
    target = shelf / f".new-{content.created_at.replace(':', '')}" if isinstance(out, Workspace) else out
    with new_folder(target) as folder:
        content = msgspec.structs.replace(content, mistakes=draw_mistakes(folder))
        if resamples is not None:
            write_resamples(folder / RESAMPLES_NAME, resamples)
        plots = draw_plots(content)
        write_page(folder, "report", content, plots, render_report(content, plots, folder))
        manifest = ReportManifest(
            name=name,
            subject=msgspec.to_builtins(content.subject),
            dataset_version=dataset.version,
            precision=precision,
            seed=seed,
            host=content.host,
            created_at=content.created_at,
            files=hash_files(folder),
        )
        write_manifest(folder, manifest)
        if isinstance(out, Workspace):
            _refuse_same(out.place("reports", name, compute_manifest_id(manifest)), manifest)
    if isinstance(out, Workspace):
        target = shelve(target, out, "reports", manifest, name)
    return Report(folder=target, manifest=manifest, content=content)


def read_report(folder: StrPath) -> Report:
    """Open the folder of a saved Report and check its files. Raises: NotFound, CorruptFile, InvalidInput."""
    folder = Path(folder)
    manifest = read_manifest(folder, ReportManifest)
    verify_files(folder, manifest.files)
    if CONTENT_NAME not in manifest.files:
        raise NotFound(f"{folder} lacks {CONTENT_NAME}; measure again")
    try:
        content = msgspec.json.decode((folder / CONTENT_NAME).read_bytes(), type=ReportContent)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{folder / CONTENT_NAME} is no Report of this version: {error}; measure again") from error
    return Report(folder=folder, manifest=manifest, content=content)


def make_report_name(name: str) -> str:
    """A name fit for a folder: characters that are not become '-'. Raises: InvalidInput when nothing is left."""
    kept = "".join(
        character if character.isascii() and (character.isalnum() or character in "._-") else "-" for character in name
    )
    return check_name(kept.strip("-._")[:100])


def _refuse_same(place: Path, manifest: ReportManifest) -> None:
    """Raises: Conflict when the same Report is there, undamaged."""
    if is_whole(place, manifest):
        raise Conflict(f"{place} holds this very Report already; open it")
