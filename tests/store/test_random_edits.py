"""Random edits, freezes, imports from outside and restores, against a model of dictionaries: no SQL, no versions."""

import random

import pytest
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import Conflict
from sightline.data.editing import LabelState, Put, Remove, Review, SetAttribute, apply_operations, number_labels
from sightline.data.items import Item
from sightline.data.versions import VersionWriter

NAMES = [f"{letter}.png" for letter in "abcde"]


class Model:
    """What each picture should say: the present and every revision, with the ids of categories in the place of names."""

    def __init__(self):
        self.categories = {1: "red", 2: "blue"}
        self.states = {name: LabelState() for name in NAMES}
        self.history = {name: [LabelState()] for name in NAMES}
        self.dirty = False

    def show(self, name, state=None):
        """As the store answers."""
        state = self.states[name] if state is None else state
        return [
            (one.id, replace(one.annotation, category=self.categories[int(one.annotation.category)])) for one in state.labels
        ]

    def edit(self, name, state):
        self.states[name] = state
        self.history[name].append(state)
        self.dirty = True

    def used(self):
        return {int(one.annotation.category) for state in self.states.values() for one in state.labels}


class Walk:
    """Does the same to the store and to the model, step by step."""

    def __init__(self, seed, workspace, open_store):
        self.rng, self.workspace, self.open_store = random.Random(seed), workspace, open_store
        self.model, self.count, self.bases = Model(), 0, 1
        self.write_outside([("red", "blue")])
        self.dataset = open_store().open("parts")

    def write_outside(self, categories=None):
        """A version as an import makes it: the present labels, in another order of pictures."""
        model = self.model
        names = model.categories.values() if categories is None else categories[0]
        order = self.rng.sample(NAMES, len(NAMES))
        with VersionWriter(self.workspace, "parts", Categories(names), source={"made": self.count}) as writer:
            for name in order:
                annotations = tuple(annotation for _, annotation in model.show(name))
                said = {"seen_by": model.states[name].seen_by, "attributes": model.states[name].attributes}
                blob = f"{NAMES.index(name):064x}"
                writer.add(Item(blob=blob, file_name=name, width=100, height=100, annotations=annotations, **said))
            writer.close()

    def find(self, name):
        (row,) = self.dataset.list_items(search=name).items
        return row.position

    def name_edit(self):
        self.count += 1
        return f"edit-{self.count:08d}"

    def draw(self):
        corner = self.rng.randrange(50)
        return Annotation(
            category=self.rng.choice(list(self.model.categories.values())),
            box_xyxy=(corner, corner, corner + 9.0, corner + 9.0),
            origin=self.rng.choice(["human", "model"]),
        )

    def edit(self):
        name = self.rng.choice(NAMES)
        ids = [label.id for label in self.model.states[name].labels]
        operations = []
        for _ in range(self.rng.randrange(1, 5)):
            kind = self.rng.random()
            if kind < 0.3 and ids:
                operations.append(Remove(id=ids.pop(self.rng.randrange(len(ids)))))
            elif kind < 0.4:
                operations.append(Review(seen_by=self.rng.choice(["human", "model", "nobody", None])))
            elif kind < 0.6:
                operations.append(SetAttribute(key=self.rng.choice("abc"), value=self.rng.choice(["", "x", "y", None])))
            else:
                self.count += 1
                label_id = self.rng.choice([*ids, f"label-{self.count:05d}"])
                ids += [label_id] if label_id not in ids else []
                place = self.rng.choice([None, self.rng.randrange(4)])
                operations.append(Put(id=label_id, annotation=self.draw(), place=place))
        self.dataset.append_edit(self.find(name), self.name_edit(), len(self.model.history[name]) - 1, operations, "ann")
        to_ids = {word: str(number) for number, word in self.model.categories.items()}
        translated = [
            replace(one, annotation=replace(one.annotation, category=to_ids[one.annotation.category]))
            if isinstance(one, Put)
            else one
            for one in operations
        ]
        self.model.edit(name, apply_operations(self.model.states[name], translated))

    def restore(self):
        name = self.rng.choice(NAMES)
        history = self.model.history[name]
        revision = self.rng.randrange(len(history))
        gone = {int(one.annotation.category) for one in history[revision].labels} - self.model.categories.keys()
        if len(history) == 1 or gone:
            return
        self.dataset.restore(self.find(name), revision, self.name_edit(), "ann")
        self.model.edit(name, history[revision])

    def change_categories(self):
        model, chosen = self.model, self.rng.choice(list(self.model.categories))
        kind = self.rng.choice(["add", "rename", "remove"])
        self.count += 1
        if kind == "add":
            model.categories[self.dataset.add_category(f"new {self.count}", "ann")[-1].id] = f"new {self.count}"
        elif kind == "rename":
            self.dataset.rename_category(chosen, f"other {self.count}", "ann")
            model.categories[chosen] = f"other {self.count}"
        elif chosen in model.used():
            with pytest.raises(Conflict):
                self.dataset.remove_category(chosen, "ann")
            return
        elif len(model.categories) > 1:
            self.dataset.remove_category(chosen, "ann")
            del model.categories[chosen]
        else:
            return
        model.dirty = True

    def freeze(self):
        if not self.model.dirty:
            with pytest.raises(Conflict):
                self.dataset.freeze("ann")
            return
        version = self.dataset.freeze("ann")
        self.model.dirty = False
        self.bases += 1
        assert version.categories.names == tuple(self.model.categories.values())
        for item in version.items():
            state = self.model.states[item.file_name]
            assert list(item.annotations) == [annotation for _, annotation in self.model.show(item.file_name)]
            assert LabelState(labels=number_labels(item.annotations), seen_by=item.seen_by).viewer == state.viewer
            assert item.attributes == state.attributes

    def import_outside(self):
        if self.model.dirty:
            return
        self.count += 1
        self.bases += 1
        self.write_outside()
        self.dataset.follow()
        for name, state in self.model.states.items():  # ids are by position and import from here on
            ids = [f"{self.bases}-{place}" for place in range(len(state.labels))]
            self.model.states[name] = replace(state, labels=number_labels(state.annotations, ids))

    def open_again(self):
        self.dataset = self.open_store().open("parts")

    def compare(self):
        model = self.model
        for name in NAMES:
            item = self.dataset.read_item(self.find(name))
            assert [(one.id, one.annotation) for one in item.labels] == model.show(name)
            assert item.revision == len(model.history[name]) - 1
            assert LabelState(labels=item.labels, seen_by=item.seen_by).viewer == model.states[name].viewer
            assert item.annotation_count == len(item.labels)
            assert item.attributes == model.states[name].attributes
        summary = self.dataset.summarise()
        assert {one.id: one.name for one in summary.categories} == model.categories
        every = [one.category for name in NAMES for _, one in model.show(name)]
        assert summary.annotation_counts == {name: every.count(name) for name in model.categories.values()}
        assert (summary.unfrozen_edits > 0) == model.dirty
        assert sum(summary.states.values()) == len(NAMES)
        for category in model.categories.values():
            having = {name for name in NAMES if category in [one.category for _, one in model.show(name)]}
            assert {row.file_name for row in self.dataset.list_items(category=category).items} == having


@pytest.mark.parametrize("seed", range(3))
def test_the_store_says_what_the_model_does(seed, workspace, open_store):
    walk = Walk(seed, workspace, open_store)
    steps = (
        [walk.edit] * 8
        + [walk.restore] * 2
        + [walk.change_categories] * 2
        + [walk.freeze, walk.import_outside, walk.open_again]
    )
    walk.compare()
    for _ in range(80):
        walk.rng.choice(steps)()
        walk.compare()
