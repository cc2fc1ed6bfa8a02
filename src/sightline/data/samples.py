"""The generated inspection dataset: machined parts, good and with defects; boxes and masks exact by construction, seeded.

It ships with the project (every other dataset has somebody's licence), trains in minutes, and is hard enough that a detector
beats a threshold: low contrast, uneven light, sensor noise, and drilled holes and grooves that are no defects.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import Task
from sightline.core.workspace import StrPath, Workspace, make_place
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.rendering import DEFECTS, Picture, draw_picture
from sightline.data.splits import SplitDrawer, parse_fractions
from sightline.data.truth import note_viewer
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.reading import encode_image
from sightline.imaging.masks import encode_mask, find_mask_box

GOOD = "good"
PART = "part"
CATEGORIES: dict[Task, tuple[str, ...]] = {
    "detection": DEFECTS,
    "instance": DEFECTS,
    "semantic": (PART, *DEFECTS),
    "classification": (GOOD, *DEFECTS),
    "multilabel": DEFECTS,
}
GOOD_SHARE = 0.15  # parts without a defect, where the task does not ask for more
MAX_DEFECTS = 4
JPEG_QUALITY = 92
THREADS = 2


def generate_samples(
    target: StrPath | Workspace,
    count: int = 400,
    seed: int = 0,
    task: Task = "detection",
    *,
    name: str = "samples",
    blobs: StrPath | BlobStore | None = None,
    width: int = 320,
    height: int = 240,
    fractions: str = "0.7/0.15/0.15",
) -> DatasetVersion:
    """Draw `count` pictures and write them as a DatasetVersion with stratified splits.

    Args:
        target: a Workspace, or the new folder of the version (then `blobs` says where its pictures go).
        count: number of pictures.
        seed: the same seed draws the same pictures on every machine with the same NumPy and OpenCV.
        task: what is labelled. "detection": boxes; "instance": boxes with masks; "semantic": masks of part and defects;
            "classification": the whole picture, with its one kind of defect or "good"; "multilabel": all kinds in the picture.
        name: name of the Dataset.
        blobs: folder or URL for the pictures; by default the Workspace's own.
        width, height: size of each picture, pixels.
        fractions: shares of train/val/test.

    Raises: InvalidInput for a negative count; Unsupported for a task without labels.
    """
    target = make_place(target)
    if task not in CATEGORIES:
        raise Unsupported(f"expected one of the tasks {', '.join(CATEGORIES)}, got {task!r}; choose one of these")
    if count < 0 or width < 160 or height < 120:
        raise InvalidInput(
            f"expected 0 or more pictures of at least 160 x 120, got {count} of {width} x {height}; ask for those"
        )
    shares = parse_fractions(fractions)
    categories = Categories(CATEGORIES[task])
    source = {"format": "samples", "task": task, "size": [width, height]}
    with VersionWriter(target, name, categories, blobs, source=source, seed=seed) as writer:
        items = list(_draw_items(writer.blobs, count, seed, task, width, height))
        drawer = SplitDrawer()
        for item in items:
            drawer.add(item.blob, (categories.index(annotation.category) for annotation in item.annotations))
        for item, split in zip(items, drawer.draw(shares, seed), strict=True):
            writer.add(replace(item, split=split))
        return writer.close()


def _draw_items(blobs: BlobStore, count: int, seed: int, task: Task, width: int, height: int) -> Iterator[Item]:
    def draw(number: int) -> Item:
        rng = np.random.default_rng((seed, number))
        picture = draw_picture(rng, _choose_defects(rng, task), width, height)
        annotations = tuple(_label(picture, task))
        return Item(
            blob=blobs.put_bytes(encode_image(picture.image, "jpeg", JPEG_QUALITY)),
            file_name=f"part_{number:05d}.jpg",
            width=width,
            height=height,
            seen_by=note_viewer("human", annotations),  # one without a defect is known to have none
            annotations=annotations,
        )

    with ThreadPoolExecutor(THREADS, "sightline-samples") as pool:
        yield from pool.map(draw, range(count))


def _choose_defects(rng: np.random.Generator, task: Task) -> list[str]:
    if task == "classification":  # one kind a picture, all classes alike often
        kind = str(rng.choice((GOOD, *DEFECTS)))
        return [] if kind == GOOD else [kind] * int(rng.integers(1, 4))
    if rng.random() < GOOD_SHARE:
        return []
    return [str(kind) for kind in rng.choice(DEFECTS, int(rng.integers(1, MAX_DEFECTS + 1)))]


def _label(picture: Picture, task: Task) -> Iterator[Annotation]:
    if task == "classification":
        yield Annotation(category=picture.defects[0][0] if picture.defects else GOOD)
    elif task == "multilabel":
        for kind in sorted({kind for kind, _ in picture.defects}, key=DEFECTS.index):
            yield Annotation(category=kind)
    else:
        if task == "semantic":
            yield _outline(PART, picture.part & ~_join([mask for _, mask in picture.defects], picture.part))
        for kind, mask in picture.defects:
            outlined = _outline(kind, mask)
            yield outlined if task != "detection" else Annotation(category=kind, box_xyxy=outlined.box_xyxy)


def _join(masks: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce(masks) if masks else np.zeros_like(like)


def _outline(category: str, mask: np.ndarray) -> Annotation:
    return Annotation(category=category, box_xyxy=find_mask_box(mask), mask=encode_mask(mask))
