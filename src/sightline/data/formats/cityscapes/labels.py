"""The label table of Cityscapes: names, ids, training ids and colours (Cordts et al., "The Cityscapes Dataset", 2016)."""

import msgspec

from sightline.data.formats.label_masks.classes import Colour, MaskClass

NOT_TRAINED = 255
FIRST_FREE_ID = 34
GROUP_SUFFIX = "group"


class CityscapesLabel(msgspec.Struct, frozen=True):
    """One row: `train_id` 255 for classes that are not evaluated; `has_instances` where objects are told apart."""

    name: str
    id: int
    train_id: int
    is_void: bool
    has_instances: bool
    colour: Colour


# name, id, train id, void, instances, colour
LABELS = tuple(CityscapesLabel(*row) for row in (
    ("unlabeled", 0, 255, True, False, (0, 0, 0)),
    ("ego vehicle", 1, 255, True, False, (0, 0, 0)),
    ("rectification border", 2, 255, True, False, (0, 0, 0)),
    ("out of roi", 3, 255, True, False, (0, 0, 0)),
    ("static", 4, 255, True, False, (0, 0, 0)),
    ("dynamic", 5, 255, True, False, (111, 74, 0)),
    ("ground", 6, 255, True, False, (81, 0, 81)),
    ("road", 7, 0, False, False, (128, 64, 128)),
    ("sidewalk", 8, 1, False, False, (244, 35, 232)),
    ("parking", 9, 255, False, False, (250, 170, 160)),
    ("rail track", 10, 255, False, False, (230, 150, 140)),
    ("building", 11, 2, False, False, (70, 70, 70)),
    ("wall", 12, 3, False, False, (102, 102, 156)),
    ("fence", 13, 4, False, False, (190, 153, 153)),
    ("guard rail", 14, 255, False, False, (180, 165, 180)),
    ("bridge", 15, 255, False, False, (150, 100, 100)),
    ("tunnel", 16, 255, False, False, (150, 120, 90)),
    ("pole", 17, 5, False, False, (153, 153, 153)),
    ("polegroup", 18, 255, False, False, (153, 153, 153)),
    ("traffic light", 19, 6, False, False, (250, 170, 30)),
    ("traffic sign", 20, 7, False, False, (220, 220, 0)),
    ("vegetation", 21, 8, False, False, (107, 142, 35)),
    ("terrain", 22, 9, False, False, (152, 251, 152)),
    ("sky", 23, 10, False, False, (70, 130, 180)),
    ("person", 24, 11, False, True, (220, 20, 60)),
    ("rider", 25, 12, False, True, (255, 0, 0)),
    ("car", 26, 13, False, True, (0, 0, 142)),
    ("truck", 27, 14, False, True, (0, 0, 70)),
    ("bus", 28, 15, False, True, (0, 60, 100)),
    ("caravan", 29, 255, False, True, (0, 0, 90)),
    ("trailer", 30, 255, False, True, (0, 0, 110)),
    ("train", 31, 16, False, True, (0, 80, 100)),
    ("motorcycle", 32, 17, False, True, (0, 0, 230)),
    ("bicycle", 33, 18, False, True, (119, 11, 32)),
    ("license plate", -1, 255, False, True, (0, 0, 142)),
))  # fmt: skip
BY_NAME = {label.name: label for label in LABELS}


def make_cityscapes_classes(evaluated_only: bool) -> list[MaskClass]:
    """The table as mask classes valued by id: the 19 evaluated ones as categories, or all 28 that are not void."""
    return [
        MaskClass(name=label.name, value=label.id, colour=label.colour, kind=find_kind(label, evaluated_only))
        for label in LABELS
    ]


def find_kind(label: CityscapesLabel, evaluated_only: bool) -> str:
    """Category, or void: not to be counted."""
    return "void" if label.is_void or (evaluated_only and label.train_id == NOT_TRAINED) else "category"


def make_written_ids(names: tuple[str, ...]) -> dict[str, int]:
    """The id of each category: Cityscapes' own where it has the name, else free ones from 34."""
    ids = {name: BY_NAME[name].id for name in names if name in BY_NAME and BY_NAME[name].id > 0}
    free = FIRST_FREE_ID
    for name in names:
        if name not in ids:
            ids[name] = free
            free += 1
    return ids


def split_group(label: str, known: set[str]) -> tuple[str, bool]:
    """Name of a label and whether it is a crowd: "cargroup" stands for cars that are not told apart."""
    if label not in known and label.endswith(GROUP_SUFFIX) and label.removesuffix(GROUP_SUFFIX) in known:
        return label.removesuffix(GROUP_SUFFIX), True
    return label, False
