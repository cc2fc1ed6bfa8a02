"""`/v1/datasets/{name}/versions`: what was frozen, which train, compile and measure use, and freezing what was labelled."""

from typing import Any

from fastapi import APIRouter

from sightline.api import schemas
from sightline.api.job_schemas import VersionId
from sightline.api.parts import DatasetOf, PartsOf
from sightline.api.people import PersonOf
from sightline.core.errors import SightlineError
from sightline.data.versions import DatasetVersion, open_version
from sightline.store.returning import return_to_version

router = APIRouter(prefix="/v1/datasets/{name}/versions", tags=["Versions"])


def describe_version(version: DatasetVersion) -> dict[str, Any]:
    """What a version's manifest says of it."""
    manifest = version.manifest
    return {
        "id": version.id,
        "item_count": manifest.item_count,
        "categories": list(manifest.categories),
        "annotation_counts": manifest.annotation_counts,
        "splits": version.splits,
        "made_by": manifest.source.get("made_by") or manifest.source.get("format"),
        "parents": manifest.source.get("parents", []),
        **{change: manifest.source.get(change, 0) for change in ("added", "removed", "moved")},
    }


@router.get("", response_model=schemas.Versions)
def list_versions(dataset: DatasetOf, parts: PartsOf) -> Any:
    """The versions of a dataset, oldest first."""
    found, broken = [], {}
    for folder in parts.workspace.list("datasets", dataset.name):
        try:
            found.append(describe_version(open_version(folder)))
        except SightlineError as error:  # one that is damaged does not hide the others
            broken[folder.name] = str(error)
    return {"versions": found, "broken": broken}


@router.post("", status_code=201, response_model=schemas.Version)
def freeze_dataset(dataset: DatasetOf, person: PersonOf) -> Any:
    """Freeze the labels as they are now into a new version, from which edits go on."""
    return describe_version(dataset.freeze(person.name))


@router.post("/{version_id}/present", response_model=schemas.DatasetSummary)
def return_to(dataset: DatasetOf, version_id: VersionId) -> Any:
    """Go on from an older version; those made since stay. Refused while edits are in no version yet."""
    return_to_version(dataset, version_id)
    return dataset.summarise()
