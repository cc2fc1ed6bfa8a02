"""`/v1/datasets`: what there is to label."""

from typing import Any

from fastapi import APIRouter, Request

from sightline.api import schemas
from sightline.api.parts import DatasetOf, PartsOf
from sightline.api.uploads import NEW_DATASET, receive_dataset
from sightline.core.errors import SightlineError
from sightline.store.datasets import DatasetSummary

router = APIRouter(prefix="/v1/datasets", tags=["Datasets"])


@router.get("", response_model=schemas.Datasets)
def list_datasets(parts: PartsOf) -> Any:
    """Every dataset of the workspace."""
    found: list[DatasetSummary] = []
    broken: dict[str, str] = {}
    for name in parts.store.names():
        try:
            found.append(parts.store.open(name).summarise())
        except SightlineError as error:  # one that is damaged does not hide the others
            broken[name] = str(error)
    return {"datasets": found, "broken": broken}


@router.post("", status_code=201, response_model=schemas.Upload, openapi_extra=NEW_DATASET)
async def upload_dataset(request: Request, parts: PartsOf) -> Any:
    """Make a dataset of pictures, or of one archive; parts `name` and `categories` come before the files."""
    return await receive_dataset(request, parts)


@router.get("/{name}", response_model=schemas.DatasetSummary)
def read_dataset(dataset: DatasetOf) -> Any:
    """One dataset."""
    return dataset.summarise()
