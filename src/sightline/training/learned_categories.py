"""What a network tells apart: a version's categories and, for pixels that no mask covers, the background."""

from typing import NamedTuple

import msgspec

from sightline.core.categories import Categories
from sightline.core.manifests import DecodeSpec, Task
from sightline.data.versions import DatasetVersion
from sightline.metrics.semantic import BACKGROUND


class LearnedCategories(NamedTuple):
    """Attributes: categories: of the network's outputs, in order; background: the one that gives no annotation, or None."""

    categories: Categories
    background: str | None


def find_learned_categories(version: DatasetVersion, task: Task) -> LearnedCategories:
    """A version's categories; semantic tasks get a background at the end when unlabelled pixels mean that nothing is there."""
    if task != "semantic" or version.manifest.unlabelled_pixels != "background":
        return LearnedCategories(version.categories, None)
    names = version.categories.names
    return LearnedCategories(Categories(names if BACKGROUND in names else (*names, BACKGROUND)), BACKGROUND)


def name_background(spec: DecodeSpec, background: str | None) -> DecodeSpec:
    """The decode spec with its background, if there is one."""
    return spec if background is None else msgspec.structs.replace(spec, parameters={**spec.parameters, BACKGROUND: background})
