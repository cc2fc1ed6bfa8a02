"""`/v1/datasets/{name}/categories`: what labels may be called."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from sightline.api import schemas
from sightline.api.parts import DatasetOf
from sightline.api.people import PersonOf

CategoryId = Annotated[int, Path(alias="id", ge=0, le=schemas.MOST, description="Id of the category.")]

router = APIRouter(prefix="/v1/datasets/{name}/categories", tags=["Categories"])


@router.post("", status_code=201, response_model=schemas.Categories)
def add_category(dataset: DatasetOf, person: PersonOf, naming: schemas.CategoryNaming) -> Any:
    """Add a category; the answer holds all."""
    return {"categories": dataset.add_category(naming.name, person.name)}


@router.patch("/{id}", response_model=schemas.Categories)
def rename_category(dataset: DatasetOf, person: PersonOf, category_id: CategoryId, naming: schemas.CategoryNaming) -> Any:
    """Rename a category; its labels follow. The answer holds all categories."""
    return {"categories": dataset.rename_category(category_id, naming.name, person.name)}


@router.delete("/{id}", response_model=schemas.Categories)
def remove_category(dataset: DatasetOf, person: PersonOf, category_id: CategoryId) -> Any:
    """Remove a category that no label has; the answer holds the others."""
    return {"categories": dataset.remove_category(category_id, person.name)}
