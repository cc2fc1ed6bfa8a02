"""`/api/datasets/ID/categories` and `/tags`: both are our categories, under ids of their own.

The original keeps names of whole pictures apart from names of objects; here a name may be given to both, so that each list
holds all names.
"""

from typing import Any, Literal

from fastapi import APIRouter
from starlette.responses import Response

from sightline.api.mvi import bodies
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.identifiers import make_id
from sightline.api.mvi.lookup import DatasetOf, make_dataset_id
from sightline.api.people import PersonOf
from sightline.core.errors import InvalidInput, NotFound
from sightline.store.datasets import Category, Dataset

Noun = Literal["categories", "tags"]
SINGULAR: dict[Noun, str] = {"categories": "category", "tags": "tag"}

router = APIRouter(prefix="/datasets/{dataset_id}")


def make_category_id(noun: Noun, dataset: str, category_id: int) -> str:
    """The id of a category, as the name of whole pictures or of objects."""
    return make_id(noun, dataset, str(category_id))


class CategoryIds:
    """The ids of a dataset's categories by name, made once for many labels."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._made: dict[Noun, dict[str, str]] = {}

    def find(self, noun: Noun, name: str) -> str:
        """The id of a category, as the name of whole pictures or of objects."""
        if name not in self._made.get(noun, ()):  # not looked up yet, or renamed since
            self._made[noun] = {
                category.name: make_category_id(noun, self._dataset.name, category.id) for category in self._dataset.categories
            }
        return self._made[noun][name]


def find_category(noun: Noun, dataset: Dataset, wanted: str) -> Category:
    """The category of an id. Raises: NotFound."""
    for category in dataset.categories:
        if make_category_id(noun, dataset.name, category.id) == wanted:
            return category
    raise NotFound(f"Could not find {SINGULAR[noun]} {wanted[:100]} in {dataset.name!r}; GET .../{noun} lists those there are")


def describe_names(noun: Noun, dataset: Dataset) -> list[dict[str, Any]]:
    """Every category, as it is answered."""
    counts = dataset.summarise().annotation_counts
    return [describe_name(noun, dataset, category, counts.get(category.name, 0)) for category in dataset.categories]


def describe_name(noun: Noun, dataset: Dataset, category: Category, count: int) -> dict[str, Any]:
    """One category, as it is answered."""
    return {
        "_id": make_category_id(noun, dataset.name, category.id),
        "name": category.name,
        "dataset_id": make_dataset_id(dataset.name),
        "label_count": count,
    }


def add_name(noun: Noun, dataset: Dataset, author: str, name: str) -> Response:
    """Add a category. Raises: Conflict where there is one of that name."""
    added = dataset.add_category(name, author)[-1]
    return answer({f"dataset_{SINGULAR[noun]}_id": make_category_id(noun, dataset.name, added.id), **SUCCESS})


def read_name(noun: Noun, dataset: Dataset, wanted: str) -> Response:
    """One category."""
    category = find_category(noun, dataset, wanted)
    return answer(describe_name(noun, dataset, category, dataset.summarise().annotation_counts.get(category.name, 0)))


def remove_name(noun: Noun, dataset: Dataset, author: str, wanted: str) -> Response:
    """Remove a category. Raises: Conflict while a label has it."""
    dataset.remove_category(find_category(noun, dataset, wanted).id, author)
    return answer(SUCCESS)


def rename(noun: Noun, dataset: Dataset, author: str, wanted: str, name: str | None) -> Response:
    """Rename a category; its labels follow. Raises: InvalidInput without a name."""
    if not name:
        raise InvalidInput("expected a name, got none; send the new one")
    dataset.rename_category(find_category(noun, dataset, wanted).id, name, author)
    return answer(SUCCESS)


@router.get("/categories")
def list_categories(dataset: DatasetOf) -> Response:
    """Every category of the dataset, those of objects too: there is one list for both."""
    return answer(describe_names("categories", dataset))


@router.post("/categories")
def create_category(dataset: DatasetOf, person: PersonOf, body: bodies.Named) -> Response:
    """A new category. Refused where there is a category or tag of that name."""
    return add_name("categories", dataset, person.name, body.name)


@router.get("/categories/{category_id}")
def read_category(dataset: DatasetOf, category_id: str) -> Response:
    """One category."""
    return read_name("categories", dataset, category_id)


@router.delete("/categories/{category_id}")
def delete_category(dataset: DatasetOf, person: PersonOf, category_id: str) -> Response:
    """Remove a category. Refused while a label has it."""
    return remove_name("categories", dataset, person.name, category_id)


@router.post("/categories/{category_id}/action")
def act_on_category(dataset: DatasetOf, person: PersonOf, category_id: str, body: bodies.Action) -> Response:
    """`rename`; `calculate`: how many pictures have a label of the category. No other action."""
    if body.action == "rename":
        return rename("categories", dataset, person.name, category_id, body.name)
    if body.action != "calculate":
        raise InvalidInput(f"expected the action rename or calculate, got {body.action[:40]!r}; no other is known")
    category = find_category("categories", dataset, category_id)
    return answer({"size": dataset.list_items(category=category.name, limit=1).total, **SUCCESS})


@router.get("/tags")
def list_tags(dataset: DatasetOf) -> Response:
    """Every category of the dataset as a tag, those of whole pictures too: there is one list for both."""
    return answer(describe_names("tags", dataset))


@router.post("/tags")
def create_tag(dataset: DatasetOf, person: PersonOf, body: bodies.Named) -> Response:
    """A new tag. Refused where there is a category or tag of that name."""
    return add_name("tags", dataset, person.name, body.name)


@router.get("/tags/{tag_id}")
def read_tag(dataset: DatasetOf, tag_id: str) -> Response:
    """One tag; `label_count` counts labels of whole pictures, too."""
    return read_name("tags", dataset, tag_id)


@router.delete("/tags/{tag_id}")
def delete_tag(dataset: DatasetOf, person: PersonOf, tag_id: str) -> Response:
    """Remove a tag. Refused while a label has it."""
    return remove_name("tags", dataset, person.name, tag_id)


@router.post("/tags/{tag_id}/action")
def act_on_tag(dataset: DatasetOf, person: PersonOf, tag_id: str, body: bodies.Action) -> Response:
    """`update`: another name. No other action."""
    if body.action != "update":
        raise InvalidInput(f"expected the action update, got {body.action[:40]!r}; no other is known")
    return rename("tags", dataset, person.name, tag_id, body.name)
