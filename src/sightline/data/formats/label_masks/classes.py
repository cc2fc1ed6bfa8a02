"""What the values and colours of masks mean: class tables in the files people keep beside their masks, and CamVid's own.

Two meanings of "no class" are kept apart: background (nothing is there) and void (nobody looked, do not count it). A dataset
has one of them as its `unlabelled_pixels`; where it has both, the background becomes a category of its own.
"""

import csv
import itertools
import re
from collections.abc import Collection
from pathlib import Path

import msgspec
import numpy as np

from sightline.core.errors import UnreadableDataset
from sightline.core.manifests import UnlabelledPixels
from sightline.data.conversion import ConversionReport
from sightline.data.formats.label_masks.pairs import MIXED_TABLE
from sightline.data.formats.text_files import read_text

Colour = tuple[int, int, int]
TABLE_NAME = "classes.csv"
META_NAME = "dataset_meta.json"
COLOUR_NAMES = ("label_colors.txt", "label_colours.txt", "labelmap.txt", "class_dict.csv")
PLAIN_NAMES = ("classes.txt", "codes.txt", "labels.txt", "class_names.txt", "categories.txt")
VOID_NAMES = frozenset({"void", "unlabelled", "unlabeled", "ignore", "ignored", "dontcare", "don't care"})
BACKGROUND_NAMES = frozenset({"background", "bg", "_background_"})
IGNORE_VALUE = 255

# The 11 classes of the SegNet tutorial's CamVid in the order of its label values; 11 is void.
CAMVID_NAMES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist")
# The 32 classes of CamVid's colour masks (label_colors.txt; Brostow, Fauqueur, Cipolla 2009).
CAMVID_COLOURS: dict[str, Colour] = {
    "Animal": (64, 128, 64), "Archway": (192, 0, 128), "Bicyclist": (0, 128, 192), "Bridge": (0, 128, 64),
    "Building": (128, 0, 0), "Car": (64, 0, 128), "CartLuggagePram": (64, 0, 192), "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128), "Fence": (64, 64, 128), "LaneMkgsDriv": (128, 0, 192), "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64), "MotorcycleScooter": (192, 0, 192), "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128), "Pedestrian": (64, 64, 0), "Road": (128, 64, 128), "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192), "SignSymbol": (192, 128, 128), "Sky": (128, 128, 128), "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64), "TrafficLight": (0, 64, 64), "Train": (192, 64, 128), "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192), "Tunnel": (64, 0, 64), "VegetationMisc": (192, 192, 0), "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}  # fmt: skip


class MaskClass(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a class table: a value of index masks, a colour of colour masks or both, and what they mean."""

    name: str
    value: int
    colour: Colour | None = None
    kind: str = "category"  # "category", "background" or "void"


class MaskTable:
    """Category names, and the category's index that each value and colour of a mask stands for.

    Attributes:
        names: categories in order.
        unlabelled_pixels: "ignore" when a class is void, else "background".
    """

    def __init__(self, classes: list[MaskClass]) -> None:
        kinds = {entry.kind for entry in classes}
        kept = [entry for entry in classes if entry.kind == "category" or (entry.kind == "background" and "void" in kinds)]
        self.names = list(dict.fromkeys(entry.name for entry in kept))
        self.unlabelled_pixels: UnlabelledPixels = "ignore" if "void" in kinds else "background"
        indices = [self.names.index(entry.name) if entry in kept else UNLABELLED for entry in classes]  # a name may be twice
        self._values = {entry.value: index for entry, index in zip(classes, indices, strict=True)}
        coloured = [(entry.colour, index) for entry, index in zip(classes, indices, strict=True)]
        self._colours = {pack_colour(colour): index for colour, index in coloured if colour is not None}
        self.has_colours = bool(self._colours)

    def convert_values(self, values: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Index mask `(H, W)` of uint8 or uint16 as int32 category indices, -1 for no category; and the values it lacks."""
        table = np.full(int(values.max(initial=0)) + 1, UNKNOWN, np.int32)
        for value, index in self._values.items():
            if 0 <= value < len(table):
                table[value] = index
        if len(table) > IGNORE_VALUE and table[IGNORE_VALUE] == UNKNOWN and self.unlabelled_pixels == "ignore":
            table[IGNORE_VALUE] = UNLABELLED
        label_map = table[values]
        strange = np.unique(values[label_map == UNKNOWN])
        return np.maximum(label_map, UNLABELLED), [int(value) for value in strange]

    def convert_colours(self, image: np.ndarray) -> tuple[np.ndarray, list[Colour]]:
        """Colour mask `(H, W, 3)` uint8 RGB as `convert_values` does; and the colours the table lacks."""
        # (H, W, 3) -> (H, W)
        packed = (image[..., 0].astype(np.int32) << 16) | (image[..., 1].astype(np.int32) << 8) | image[..., 2]
        present, inverse = np.unique(packed, return_inverse=True)
        indices = np.array([self._colours.get(int(colour), UNKNOWN) for colour in present], np.int32)
        strange = [unpack_colour(int(colour)) for colour, index in zip(present, indices, strict=True) if index == UNKNOWN]
        return np.maximum(indices, UNLABELLED)[inverse].reshape(packed.shape), strange


KINDS = ("category", "background", "void")
MAX_VALUE = 65535
UNLABELLED = -1
UNKNOWN = -2


def pack_colour(colour: Colour) -> int:
    """24 bits."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def make_colour(red: int, green: int, blue: int) -> Colour:
    """The three as a colour. Raises: UnreadableDataset when one is not 0..255."""
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise UnreadableDataset(f"expected a table of classes with colours of 0..255, got {red}, {green}, {blue}; mend it")
    return red, green, blue


def unpack_colour(packed: int) -> Colour:
    """Red, green, blue 0..255."""
    return packed >> 16, packed >> 8 & 255, packed & 255


def find_kind(name: str) -> str:
    """What a class is by its name."""
    lowered = name.lower()
    return "void" if lowered in VOID_NAMES else "background" if lowered in BACKGROUND_NAMES else "category"


def make_classes(names: list[str], colours: list[Colour | None] | None = None) -> list[MaskClass]:
    """Classes valued 0, 1, 2, ... in order."""
    filled = colours or [None] * len(names)
    return [
        MaskClass(name=name, value=value, colour=colour, kind=find_kind(name))
        for value, (name, colour) in enumerate(zip(names, filled, strict=True))
    ]


def find_free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted` for the row of pixels nothing covers, or `wanted 2`, `wanted 3`, ... where a category has that name."""
    numbered = (f"{wanted} {number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([wanted], numbered) if name not in taken)


def find_class_file(root: Path) -> Path | None:
    """The class table lying in a folder, or None."""
    names = (TABLE_NAME, META_NAME, *COLOUR_NAMES, *PLAIN_NAMES)
    return next((root / name for name in names if (root / name).is_file()), None)


def has_values(path: Path) -> bool:
    """Whether a class table gives each class its value; in others the place in the list is all there is."""
    return path.name in (TABLE_NAME, MIXED_TABLE) or path.suffix == ".json"


def read_classes(path: Path, report: ConversionReport | None = None) -> list[MaskClass]:
    """A table of any known shape: `r g b name`, `name:r,g,b:...`, `name,r,g,b`, or a name a line. Raises: UnreadableDataset."""
    if path.name == TABLE_NAME:
        return read_table(path)
    if path.name == MIXED_TABLE:
        return read_values(path, report)
    if path.suffix == ".json":
        return read_meta(path)
    names: list[str] = []
    colours: list[Colour | None] = []
    for line in read_text(path, report).splitlines():
        text = line.strip()
        if not text or text.startswith("#") or text.lower().replace(" ", "").startswith("name,r,g,b"):
            continue
        name, colour = split_colour(text)
        names.append(name)
        colours.append(colour)
    if not names or len(set(names)) != len(names):
        raise UnreadableDataset(f"expected a class name a line in {path.name}, each once, got {names[:4]}; mend it")
    return make_classes(names, colours)


def split_colour(line: str) -> tuple[str, Colour | None]:
    """Name and colour of one line."""
    patterns = (
        r"(?P<r>\d+)[\s,]+(?P<g>\d+)[\s,]+(?P<b>\d+)[\s,]+(?P<name>\S.*)",
        r"(?P<name>[^:]+):(?P<r>\d+),(?P<g>\d+),(?P<b>\d+)(:.*)?",
        r"(?P<name>[^,]+),\s*(?P<r>\d+),\s*(?P<g>\d+),\s*(?P<b>\d+)",
    )
    for pattern in patterns:
        match = re.fullmatch(pattern, line)
        if match:
            return match["name"].strip(), make_colour(int(match["r"]), int(match["g"]), int(match["b"]))
    return line, None


def read_values(path: Path, report: ConversionReport | None) -> list[MaskClass]:
    """Roboflow's table: `Pixel Value, Class`. Raises: UnreadableDataset."""
    rows = [row for row in csv.reader(read_text(path, report).splitlines()[1:], skipinitialspace=True) if row]
    try:
        return [MaskClass(name=name.strip(), value=int(value), kind=find_kind(name.strip())) for value, name in rows]
    except ValueError as error:
        raise UnreadableDataset(
            f"expected rows of a value and a name in {path.name}, got something else: {error}; mend it"
        ) from error


def read_meta(path: Path) -> list[MaskClass]:
    """Datumaro's dataset_meta.json: `label_map`, `segmentation_colors`, `background_label`. Raises: UnreadableDataset."""
    try:
        facts = msgspec.json.decode(path.read_bytes())
        names = {int(value): str(name) for value, name in facts["label_map"].items()}
        colours = [
            make_colour(int(colour[0]), int(colour[1]), int(colour[2])) for colour in facts.get("segmentation_colors", [])
        ]
        background = str(facts.get("background_label", ""))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UnreadableDataset(
            f"expected label_map and segmentation_colors in {path.name}, got something else: {error}"
        ) from error
    return [
        MaskClass(
            name=name,
            value=value,
            colour=colours[place] if place < len(colours) else None,
            kind="background" if str(value) == background and find_kind(name) == "category" else find_kind(name),
        )
        for place, (value, name) in enumerate(sorted(names.items()))
    ]


def read_table(path: Path) -> list[MaskClass]:
    """Our own classes.csv: index, name, red, green, blue, kind. Raises: UnreadableDataset."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            classes = [
                MaskClass(
                    name=row["name"],
                    value=int(row["index"]),
                    colour=make_colour(int(row["red"]), int(row["green"]), int(row["blue"])),
                    kind=row["kind"],
                )
                for row in csv.DictReader(file)
            ]
    except (KeyError, ValueError, TypeError) as error:
        raise UnreadableDataset(
            f"expected columns index, name, red, green, blue, kind in {path.name}, got something else: {error}; mend it"
        ) from error
    values = [entry.value for entry in classes]
    for entry in classes:
        if not entry.name or entry.kind not in KINDS or values.count(entry.value) > 1 or not 0 <= entry.value <= MAX_VALUE:
            raise UnreadableDataset(
                f"expected rows of {path.name} with a name, an index 0..{MAX_VALUE} of its own and one of the kinds "
                f"{', '.join(KINDS)}, got {entry.value}, {entry.name!r}, {entry.kind!r}; mend it"
            )
    return classes


def write_table(path: Path, classes: list[MaskClass]) -> None:
    """Write classes.csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["index", "name", "red", "green", "blue", "kind"])
        for entry in classes:
            rows.writerow([entry.value, entry.name, *(entry.colour or (0, 0, 0)), entry.kind])
