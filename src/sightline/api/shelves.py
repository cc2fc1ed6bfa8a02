"""`/v1/models`, `/artifacts`, `/deployments` and `/reports`: what was made, and the pages and pictures that it holds.

Read from the manifests each time: folders are the truth. Files are shown in a sandbox without scripts, whatever is in them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from sightline.api import job_schemas as schemas
from sightline.api.parts import Parts, PartsOf
from sightline.core.errors import NotFound, SightlineError
from sightline.core.folders import read_manifest
from sightline.core.manifests import ArtifactManifest, FrozenManifest, ModelManifest, ReportManifest
from sightline.core.workspace import ID_LENGTH, LATEST_NAME, Shelf
from sightline.serving.deployments import find_deployment, list_names, list_versions

FileShelf = Literal["models", "artifacts", "reports"]
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv; charset=utf-8",
}
FILE_POLICY = (
    "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
FILE_HEADERS = {"Content-Security-Policy": FILE_POLICY, "Cache-Control": "private, max-age=31536000, immutable"}
FILE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The file"}
}
ManifestOf = TypeVar("ManifestOf", bound=FrozenManifest)

router = APIRouter(prefix="/v1", tags=["Models"])


class MeasuredSpread(msgspec.Struct):
    """Of a Report: percentiles, milliseconds."""

    p50: float
    p99: float


class MeasuredLatency(msgspec.Struct):
    """Of a Report: one row of latencies."""

    stage: str
    batch_size: int
    ms: MeasuredSpread


class MeasuredThroughput(msgspec.Struct):
    """Of a Report: one point of throughput."""

    images_per_s: float


class MeasuredAccuracy(msgspec.Struct):
    """Of a Report: its metrics."""

    primary_name: str
    primary: float
    values: dict[str, float]


class MeasuredDataset(msgspec.Struct):
    """Of a Report: what it was measured on."""

    name: str
    split: str | None = None


class MeasuredFacts(msgspec.Struct):
    """The part of a Report's `report.json` that lists show."""

    accuracy: MeasuredAccuracy
    latency: list[MeasuredLatency] = []
    throughput: list[MeasuredThroughput] = []
    dataset: MeasuredDataset | None = None


class CompiledFacts(msgspec.Struct):
    """The part of an Artifact's `report.json` that lists show."""

    verdict: str = ""
    flip_count: int = 0
    comparison: dict[str, Any] | None = None


@router.get("/models", response_model=schemas.Models)
def list_models(parts: PartsOf) -> Any:
    """Every Model."""
    found, broken = collect(parts, "models", ModelManifest, describe_model)
    datasets = {folder.name: folder.parent.name for folder, _ in walk(parts, "datasets")}
    for model in found:
        model["dataset"] = datasets.get((model["dataset_version"] or "")[:ID_LENGTH])
    return {"models": found, "broken": broken}


@router.get("/artifacts", response_model=schemas.Artifacts)
def list_artifacts(parts: PartsOf) -> Any:
    """Every Artifact."""
    found, broken = collect(parts, "artifacts", ArtifactManifest, describe_artifact)
    return {"artifacts": found, "broken": broken}


@router.get("/reports", response_model=schemas.Reports)
def list_reports(parts: PartsOf) -> Any:
    """Every Report."""
    found, broken = collect(parts, "reports", ReportManifest, describe_report)
    return {"reports": found, "broken": broken}


@router.get("/deployments", response_model=schemas.Deployments)
def list_deployments(parts: PartsOf) -> Any:
    """Every Deployment."""
    repository = parts.workspace.deployments
    found, broken = [], {}
    for name in list_names(repository):
        try:
            deployment = find_deployment(repository, name)
        except SightlineError as error:
            broken[name] = str(error)
            continue
        manifest, artifact = deployment.manifest, deployment.artifact
        found.append(
            {
                **{field: getattr(artifact, field) for field in ("task", "categories", "device", "engine", "precision")},
                "name": name,
                "version": manifest.version,
                "versions": list_versions(repository, name),
                "made_at": manifest.created_at,
                "artifact_id": manifest.artifact_id,
            }
        )
    return {"deployments": found, "broken": broken}


@router.get("/{shelf}/{name}/{thing_id}/files/{file:path}", response_class=Response, responses=FILE_ANSWER)
def read_file(shelf: FileShelf, name: schemas.ThingName, thing_id: schemas.VersionId, file: str, parts: PartsOf) -> Response:
    """A page, picture or table of a Model, Artifact or Report, in a sandbox."""
    folder = parts.workspace.find(shelf, f"{name}@{thing_id}")
    if file not in list_shown(read_files(folder, shelf)) or not (folder / file).is_file():
        raise NotFound(
            f"no page, picture or table {file[:100]!r} in {name}@{thing_id}; its list of `files` names those there are"
        )
    return FileResponse(folder / file, headers=FILE_HEADERS, media_type=MEDIA_TYPES[Path(file).suffix])


def collect(
    parts: Parts, shelf: Shelf, kind: type[ManifestOf], describe: Callable[[Path, ManifestOf], dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What lies on a shelf, the newest first, and what is broken there."""
    found: list[dict[str, Any]] = []
    broken: dict[str, str] = {}
    for folder, is_latest in walk(parts, shelf):
        try:
            manifest = read_manifest(folder, kind)
            place = {"name": folder.parent.name, "id": folder.name, "is_latest": is_latest, "files": list_shown(manifest.files)}
            found.append({**describe(folder, manifest), **place})
        except (SightlineError, msgspec.DecodeError, OSError) as error:
            broken[f"{folder.parent.name}@{folder.name}"] = str(error)
    return sorted(found, key=lambda row: str(row["made_at"]), reverse=True), broken


def walk(parts: Parts, shelf: Shelf) -> Iterator[tuple[Path, bool]]:
    """Each folder of a shelf, and whether its name alone stands for it."""
    for name in parts.workspace.names(shelf):
        folders = parts.workspace.list(shelf, name)
        latest = folders[0].parent / LATEST_NAME
        newest = latest.read_text().strip() if latest.is_file() else ""
        for folder in folders:
            yield folder, folder.name == newest


def list_shown(files: Any) -> list[str]:
    """Those of a manifest's files that people look at."""
    return sorted(file for file in files if Path(file).suffix in MEDIA_TYPES)


def read_files(folder: Path, shelf: FileShelf) -> Any:
    """The files that a folder's manifest names."""
    kinds: dict[str, type[ModelManifest | ArtifactManifest | ReportManifest]]
    kinds = {"models": ModelManifest, "artifacts": ArtifactManifest, "reports": ReportManifest}
    return read_manifest(folder, kinds[shelf]).files


def describe_model(folder: Path, manifest: ModelManifest) -> dict[str, Any]:
    """What a list shows of a Model."""
    names = ("task", "network", "categories", "parameter_count", "precision", "dataset_version", "seed")
    metrics = {name: value for name, value in manifest.metrics.items() if isinstance(value, int | float)}
    return {
        **{name: getattr(manifest, name) for name in names},
        "made_at": manifest.created_at,
        "width": manifest.input.width,
        "height": manifest.input.height,
        "budget": manifest.recipe.get("budget"),
        "primary": manifest.metrics.get("primary"),
        "metrics": metrics,
    }


def describe_artifact(folder: Path, manifest: ArtifactManifest) -> dict[str, Any]:
    """What a list shows of an Artifact."""
    names = ("task", "categories", "model_id", "device", "engine", "precision", "verified")
    report = msgspec.json.decode((folder / "report.json").read_bytes(), type=CompiledFacts)
    compared = report.comparison or {}
    numbers = {name: value for name, value in compared.items() if isinstance(value, int | float | str)}
    return {
        **{name: getattr(manifest, name) for name in names},
        "made_at": manifest.created_at,
        "size_bytes": sum(file.size_bytes for file in manifest.files.values()),
        "report": {**numbers, "verdict": report.verdict, "flip_count": report.flip_count},
    }


def describe_report(folder: Path, manifest: ReportManifest) -> dict[str, Any]:
    """What a list shows of a Report."""
    content = msgspec.json.decode((folder / "report.json").read_bytes(), type=MeasuredFacts)
    metrics = {**content.accuracy.values, content.accuracy.primary_name: content.accuracy.primary}
    for row in content.latency:
        if row.stage == "end_to_end" and row.batch_size == 1:
            metrics |= {"latency_ms_p50": row.ms.p50, "latency_ms_p99": row.ms.p99}
    if content.throughput:
        metrics["images_per_s"] = max(point.images_per_s for point in content.throughput)
    subject = {name: value for name, value in manifest.subject.items() if value is None or isinstance(value, int | float | str)}
    return {
        "made_at": manifest.created_at,
        "subject": subject,
        "dataset": content.dataset.name if content.dataset else None,
        "dataset_version": manifest.dataset_version,
        "split": content.dataset.split if content.dataset else None,
        "precision": manifest.precision,
        "primary": content.accuracy.primary_name,
        "metrics": metrics,
    }
