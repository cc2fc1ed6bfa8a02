from sightline.bench.batching import iterate_batches
from sightline.data.items import Item


def make_items(count: int) -> list[Item]:
    return [Item(blob="0" * 64, file_name=str(index), width=1, height=1) for index in range(count)]


def test_batches_hold_every_item_once_in_order_and_the_last_is_shorter() -> None:
    assert [[item.file_name for item in batch] for batch in iterate_batches(iter(make_items(5)), 2)] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]


def test_no_items_make_no_batch() -> None:
    assert list(iterate_batches(iter([]), 2)) == []
