"""Lists and counts of 30,000 generated pictures, some of them edited, against a slow walk over all of them."""

import random

import pytest

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.editing import Put, Remove, Review
from sightline.data.items import Item
from sightline.data.versions import VersionWriter

COUNT = 30_000
CATEGORIES = [f"category {number}" for number in range(300)]  # more than a byte tells apart


def draw(rng, origin=("human", "model")):
    corner = rng.uniform(0, 50)
    box = (corner, corner, corner + 9, corner + 9)
    return Annotation(category=rng.choice(CATEGORIES), box_xyxy=box, origin=rng.choice(origin))


@pytest.fixture
def dataset(workspace, open_store):
    rng = random.Random(0)
    with VersionWriter(workspace, "many", Categories(CATEGORIES)) as writer:
        for number in range(COUNT):
            writer.add(
                Item(
                    blob=f"{number:064x}",
                    file_name=f"folder {number % 7}/Picture {number}.jpg",
                    width=100,
                    height=100,
                    split=rng.choice([None, "train", "val"]),
                    seen_by=rng.choice([None, "nobody", "model", "human"]),
                    annotations=tuple(draw(rng) for _ in range(rng.choice([0, 1, 2]))),
                )
            )
        writer.close()
    return open_store().open("many")


def edit_some(dataset, count):
    rng = random.Random(1)
    for number in range(count):
        position = rng.randrange(COUNT)
        item = dataset.read_item(position)
        operations = [Remove(id=label.id) for label in item.labels if rng.random() < 0.5]
        operations += [Put(id=f"label-{number}-{place}", annotation=draw(rng)) for place in range(rng.choice([0, 1, 3]))]
        operations.append(Review(seen_by=rng.choice(["human", "nobody", None])))
        dataset.append_edit(position, f"edit-{number:06d}", item.revision, operations, "ann")


def test_lists_and_counts_are_those_of_the_pictures(dataset, open_store):
    edit_some(dataset, 150)
    dataset.freeze("ann")
    edit_some_more = random.Random(2).sample(range(COUNT), 50)
    for position in edit_some_more:
        put = Put(id="one-more-label", annotation=Annotation(category=CATEGORIES[299]))
        dataset.append_edit(position, f"more-{position:06d}", dataset.read_item(position).revision, [put], "ann")
    every = []
    while len(every) < COUNT:
        every += dataset.list_items(cursor=len(every), limit=1000).items
    assert [row.position for row in every] == list(range(COUNT))
    checked = {*edit_some_more, *random.Random(3).sample(range(COUNT), 300)}
    for position in checked:
        item = dataset.read_item(position)
        assert item.annotation_count == len(item.labels)
        assert (item.state, item.revision, item.blob) == (every[position].state, every[position].revision, f"{position:064x}")
    for filters, fits in (
        ({"state": "proposed"}, lambda row: row.state == "proposed"),
        ({"split": "unsplit"}, lambda row: row.split is None),
        ({"split": "val", "state": "labelled"}, lambda row: row.split == "val" and row.state == "labelled"),
        ({"search": "FOLDER 3/picture 29"}, lambda row: row.file_name.startswith("folder 3/Picture 29")),
    ):
        expected = [row for row in every if fits(row)]
        page = dataset.list_items(**filters, limit=1000)
        assert page.total == len(expected) > 0
        assert list(page.items) == expected[:1000]
    summary = dataset.summarise()
    for state, count in summary.states.items():
        assert count == sum(row.state == state for row in every)
    assert sum(summary.annotation_counts.values()) == sum(row.annotation_count for row in every)
    with_last = dataset.list_items(category=CATEGORIES[299], limit=1000)
    assert set(edit_some_more) <= {row.position for row in with_last.items}
    for row in with_last.items:
        assert CATEGORIES[299] in [label.annotation.category for label in dataset.read_item(row.position).labels]
    again = open_store().open("many")
    assert again.summarise() == summary
    assert again.list_items(category=CATEGORIES[299], limit=1000) == with_last
