"""Items in lists of a few, so that a version of any size streams through a predictor."""

from collections.abc import Iterable, Iterator

from sightline.data.items import Item


def iterate_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
