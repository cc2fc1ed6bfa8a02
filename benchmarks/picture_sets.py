"""Picture sets as DatasetVersions whose splits say what each picture may do: "train" calibrates, "val" judges.

The compiler keeps a split called "test" out of its gate, so the published test pictures of CIFAR-10 are called "val" here: no
network was chosen or tuned on them.
"""

from collections.abc import Iterable, Iterator
from csv import DictReader
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from sklearn.datasets import load_digits

from sightline.compiler.importing.output_heads import make_unique
from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter
from sightline.imaging.files.headers import probe_image

CALIBRATION_EVERY = 3  # of a set without splits, every third picture calibrates
CIFAR_SPLITS = {"train": "train", "test": "val"}
DIGITS = tuple("0123456789")
UNLABELLED_SETS = ("plain", "faces")
PLAIN_FOLDERS = ("classification/imagenet-sample/images", "models/fastestdet-coco", "models/coral-tflite")
SIGNING_VIDEOS = "video/intel-sample-videos/asl_gestures"
CAMVID_CAR, CAMVID_PEDESTRIAN, CAMVID_BICYCLIST = 8, 9, 10  # values of its label maps
ROAD_CATEGORIES = ("person", "car")  # COCO's names
LEAST_ROAD_PIXELS = 100  # of an object; smaller ones are specks of the label maps


class Picture(NamedTuple):
    """A picture's name and encoded bytes, its split, and what is known to be on it."""

    name: str
    content: bytes
    split: str
    annotations: tuple[Annotation, ...] = ()


def read_picture(path: Path, split: str, category: str | None = None) -> Picture:
    annotations = () if category is None else (Annotation(category=category),)
    return Picture(f"{path.parent.name}/{path.name}", path.read_bytes(), split, annotations)


def write_set(name: str, pictures: Iterable[Picture], categories: Iterable[str], root: Path) -> DatasetVersion:
    """A version below `root`."""
    with VersionWriter(root / "datasets" / name, name, Categories(categories), BlobStore(root / "blobs")) as writer:
        for picture in pictures:
            header = probe_image(picture.content)
            item = Item(
                blob=writer.blobs.put_bytes(picture.content),
                file_name=picture.name,
                width=header.width,
                height=header.height,
                orientation=header.orientation,
                split=picture.split,
                annotations=picture.annotations,
            )
            writer.add(item)
        return writer.close()


def read_imagenet_names(data: Path) -> tuple[str, ...]:
    """The 1,000 names in the usual order, each once: ImageNet has two cranes."""
    lines = (data / "models" / "coral-tflite" / "imagenet_labels.txt").read_text().splitlines()
    return make_unique(lines[1:])  # the first is the background


def list_imagenet(data: Path) -> Iterator[Picture]:
    """The 299 labelled pictures, every third one for calibration."""
    folder, names = data / "classification" / "imagenet-sample", read_imagenet_names(data)
    with (folder / "labels.csv").open() as file:
        for place, row in enumerate(DictReader(file)):
            yield read_picture(folder / row["path"], choose_split(place), names[int(row["class_index"])])


def read_cifar_names(data: Path) -> tuple[str, ...]:
    """CIFAR-10's names; their alphabetical order is that of the classes."""
    return tuple(sorted(folder.name for folder in (data / "classification" / "cifar10-jpg" / "test").iterdir()))


def list_cifar(data: Path) -> Iterator[Picture]:
    """1,000 pictures to calibrate, 2,000 to judge."""
    for folder, split in CIFAR_SPLITS.items():
        for path in sorted((data / "classification" / "cifar10-jpg" / folder).glob("*/*.jpg")):
            yield read_picture(path, split, path.parent.name)


def list_plain(data: Path) -> Iterator[Picture]:
    """Photographs without labels, some with faces; every third one for calibration."""
    paths = (path for folder in PLAIN_FOLDERS for path in sorted((data / folder).iterdir()))
    photographs = (path for path in paths if path.suffix.lower() in (".jpg", ".jpeg"))
    yield from (read_picture(path, choose_split(place)) for place, path in enumerate(photographs))


def list_faces(data: Path) -> Iterator[Picture]:
    """The photographs of `list_plain`, few with faces, and the frames of two videos of a person who signs."""
    photographs = [picture._replace(split="") for picture in list_plain(data)]
    frames = (picture for path in sorted((data / SIGNING_VIDEOS).glob("*.mkv")) for picture in read_frames(path))
    for place, picture in enumerate([*photographs, *frames]):
        yield picture._replace(split=choose_split(place))


def read_frames(path: Path) -> Iterator[Picture]:
    """Every frame of a video, losslessly encoded, in no split yet."""
    with av.open(str(path)) as video:
        for place, frame in enumerate(video.decode(video=0)):
            content = cv2.imencode(".png", frame.to_ndarray(format="bgr24"))[1].tobytes()
            yield Picture(f"{path.stem}/{place:04d}.png", content, "")


def list_digits() -> Iterator[Picture]:
    """1,797 handwritten digits of 8 x 8 pixels (UCI "optdigits", Alpaydin and Kaynak 1998, as scikit-learn carries them).

    Brought to MNIST's form (LeCun et al. 1998): white on black, 20 x 20 pixels in the middle of 28 x 28.
    """
    digits = load_digits()
    for place, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        large = cv2.resize((image * (255 / 16)).astype(np.float32), (20, 20), interpolation=cv2.INTER_CUBIC)
        framed = np.pad(large.clip(0, 255).round().astype(np.uint8), 4)
        content = cv2.imencode(".png", framed)[1].tobytes()
        yield Picture(f"digits/{place:04d}.png", content, choose_split(place), (Annotation(category=str(label)),))


def list_roads(data: Path) -> Iterator[Picture]:
    """The 115 street scenes of CamVid (Brostow et al. 2009); every third one for calibration.

    Their label maps give boxes for detectors of COCO's categories: cars and pedestrians that touch are one region there and so
    one box, which no detector finds, before it is compiled or after. A cyclist is person and bicycle at once, and is ignored.
    """
    folder = data / "segmentation" / "camvid"
    for place, path in enumerate(path for part in ("train", "val") for path in sorted((folder / part).glob("*.png"))):
        label_map = cv2.imread(str(path.parent.with_name(f"{path.parent.name}annot") / path.name), cv2.IMREAD_UNCHANGED)
        yield read_picture(path, choose_split(place))._replace(annotations=tuple(find_road_users(label_map)))


def find_road_users(label_map: np.ndarray) -> Iterator[Annotation]:
    """A box around each region of a road user. Args: label_map: uint8 (H, W), CamVid's values."""
    for value, category, is_ignored in (
        (CAMVID_PEDESTRIAN, "person", False),
        (CAMVID_CAR, "car", False),
        (CAMVID_BICYCLIST, "person", True),
    ):
        _, _, regions, _ = cv2.connectedComponentsWithStats((label_map == value).astype(np.uint8))
        for x, y, width, height, pixels in regions[1:].tolist():  # the first is all the rest
            if pixels >= LEAST_ROAD_PIXELS:
                box = (float(x), float(y), float(x + width), float(y + height))
                yield Annotation(category=category, box_xyxy=box, is_crowd=is_ignored)


def choose_split(place: int) -> str:
    return "val" if place % CALIBRATION_EVERY else "train"


def write_sets(data: Path, root: Path) -> dict[str, DatasetVersion]:
    """All sets by name."""
    return {
        "imagenet": write_set("imagenet", list_imagenet(data), read_imagenet_names(data), root),
        "cifar10": write_set("cifar10", list_cifar(data), read_cifar_names(data), root),
        "digits": write_set("digits", list_digits(), DIGITS, root),
        "plain": write_set("plain", list_plain(data), (), root),
        "faces": write_set("faces", list_faces(data), (), root),
        "roads": write_set("roads", list_roads(data), ROAD_CATEGORIES, root),
    }
