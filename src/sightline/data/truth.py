"""What counts as truth: what people said of a picture. A model's own annotations may be learned from, but judge nobody.

Of a picture that a model alone annotated nobody knows what is in it, so it is left out. One without any annotation stays: a
data set cannot tell whether people found nothing there or nobody looked.
"""

from collections.abc import Iterable, Iterator

import msgspec

from sightline.data.items import Item


def has_human_label(item: Item) -> bool:
    """Whether a person labelled anything in this picture."""
    return any(annotation.origin == "human" for annotation in item.annotations)


def find_truth(item: Item) -> Item | None:
    """The picture with people's annotations alone; None where a model alone annotated it."""
    kept = tuple(annotation for annotation in item.annotations if annotation.origin == "human")
    if len(kept) == len(item.annotations):
        return item
    return msgspec.structs.replace(item, annotations=kept) if kept else None


class KnownItems:
    """Goes once over items whose truth is known, with people's annotations alone.

    Attributes: left_out: so many were passed over so far, because a model alone annotated them.
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
