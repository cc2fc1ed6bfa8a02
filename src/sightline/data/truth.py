"""What counts as truth: what people said of a picture. A model's own annotations may be learned from, but judge nobody.

Of a picture that no person looked at nobody knows what is in it, so it is left out: of one that a model alone annotated, or in
which it found nothing, and of one that came without labels. Where neither a picture's annotations nor `Item.seen_by` tell who
looked, a picture without annotations counts as one on which people found nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sightline.core.annotations import Annotation
from sightline.data.items import Item, Viewer


def has_human_label(item: Item) -> bool:
    """Whether a person labelled anything in this picture."""
    return any(annotation.origin == "human" for annotation in item.annotations)


def find_viewer(annotations: Sequence[Annotation], seen_by: Viewer | None = None) -> Viewer | None:
    """Who looked at a picture to label it, a person before a model; None where there is no annotation and nothing says so.

    Args: seen_by: as `Item` has it.
    """
    if seen_by == "human" or any(annotation.origin == "human" for annotation in annotations):
        return "human"
    return "model" if annotations else seen_by


def note_viewer(viewer: Viewer | None, annotations: Sequence[Annotation]) -> Viewer | None:
    """What `Item.seen_by` says of a viewer: None where the annotations tell as much."""
    return None if viewer == find_viewer(annotations) else viewer


def find_truth(item: Item) -> Item | None:
    """The picture with people's annotations alone; None where no person looked at it."""
    if find_viewer(item.annotations, item.seen_by) not in ("human", None):
        return None
    kept = tuple(annotation for annotation in item.annotations if annotation.origin == "human")
    return item if len(kept) == len(item.annotations) else msgspec.structs.replace(item, annotations=kept)


class KnownItems:
    """Goes once over items whose truth is known, with people's annotations alone.

    Attributes: left_out: so many were passed over so far, because no person looked at them.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self.left_out = 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            truth = find_truth(item)
            if truth is None:
                self.left_out += 1
            else:
                yield truth
