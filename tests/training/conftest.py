"""Small generated DatasetVersions: coloured shapes that a network can tell apart after a few steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.manifests import Task, UnlabelledPixels
from sightline.data.blobs import BlobStore
from sightline.data.items import Item
from sightline.data.versions import DatasetVersion, VersionWriter

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (40, 60, 230)}
MakeVersion = Callable[..., DatasetVersion]


def draw_shape(rng: np.random.Generator, colour: str, width: int, height: int) -> tuple[np.ndarray, tuple[float, ...]]:
    """A rectangle of one colour on noise, and its ring."""
    image = rng.integers(90, 160, (height, width, 3), dtype=np.uint8)
    w, h = int(rng.integers(width // 3, width // 2)), int(rng.integers(height // 3, height // 2))
    x, y = int(rng.integers(width - w)), int(rng.integers(height - h))
    image[y : y + h, x : x + w] = COLOURS[colour]
    return image, (x, y, x + w, y, x + w, y + h, x, y + h)


def label_shape(task: Task, colour: str, ring: tuple[float, ...]) -> tuple[Annotation, ...]:
    """What the task wants to know of the shape."""
    if task == "classification":
        return (Annotation(category=colour),)
    if task == "multilabel":
        return (Annotation(category=colour), *([Annotation(category="red")] if colour == "blue" else []))
    box = (ring[0], ring[1], ring[4], ring[5])
    return (Annotation(category=colour, box_xyxy=box, polygons=(ring,) if task in ("instance", "semantic") else None),)


@pytest.fixture
def make_version(tmp_path: Path) -> MakeVersion:
    """Factory of versions: `make_version(task, splits={"train": 8, "val": 4}, unlabelled=("val",), width=48, height=40)`.

    A model made the labels of the splits `guessed`, wrong ones: every shape is called by the same colour.
    """

    def make(
        task: Task,
        splits: dict[str, int] | None = None,
        width: int = 48,
        height: int = 40,
        unlabelled_pixels: UnlabelledPixels = "background",
        name: str = "shapes",
        unlabelled: tuple[str, ...] = (),
        guessed: tuple[str, ...] = (),
    ) -> DatasetVersion:
        rng = np.random.default_rng(5)
        blobs = BlobStore(tmp_path / "blobs")
        writer = VersionWriter(
            tmp_path / f"{name}-{task}", name, Categories(list(COLOURS)), blobs, unlabelled_pixels=unlabelled_pixels
        )
        for split, count in (splits or {"train": 8, "val": 4}).items():
            for index in range(count):
                colour = list(COLOURS)[index % len(COLOURS)]
                image, ring = draw_shape(rng, colour, width, height)
                content = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()
                labels = () if split in unlabelled else label_shape(task, colour, ring)
                if split in guessed:
                    labels = tuple(replace(one, category=next(iter(COLOURS)), origin="model", confidence=0.9) for one in labels)
                sha256 = blobs.put_bytes(content)
                writer.add(
                    Item(
                        blob=sha256,
                        file_name=f"{split}/{index}.png",
                        width=width,
                        height=height,
                        split=split,
                        annotations=labels,
                    )
                )
        return writer.close()

    return make


@pytest.fixture(scope="session")
def exported() -> dict[bytes, tuple[bytes, dict[str, Any]]]:
    """The graph of each kind of network that was exported, and what its check said."""
    return {}


@pytest.fixture
def graphs_once(monkeypatch: pytest.MonkeyPatch, exported: dict[bytes, tuple[bytes, dict[str, Any]]]) -> None:
    """For tests that ask for weights and never look at the graph: in this process each kind of network is exported once."""
    from sightline.training import train  # PyTorch takes seconds

    export, check = train.export_onnx, train.check_export

    def name(network: Any) -> bytes:
        return msgspec.json.encode((type(network).__name__, network.input_spec, network.decode_spec))

    def export_once(network: Any, path: Path) -> None:
        if name(network) in exported:
            path.write_bytes(exported[name(network)][0])
        else:
            export(network, path)

    def check_once(network: Any, path: Path, *rest: Any) -> dict[str, Any]:
        if name(network) not in exported:
            exported[name(network)] = path.read_bytes(), check(network, path, *rest)
        return exported[name(network)][1]

    monkeypatch.setattr(train, "export_onnx", export_once)
    monkeypatch.setattr(train, "check_export", check_once)


@pytest.fixture
def learn_by_heart() -> Callable[..., float]:
    """`learn_by_heart(name, network, version, task, steps)`: map50 on eight training pictures, after steps on all at once."""
    import torch

    from sightline.imaging.heads.decoding import decode_outputs
    from sightline.imaging.preprocessing import prepare_batch
    from sightline.metrics.evaluator import make_evaluator
    from sightline.models.network import normalise_images
    from sightline.training.arithmetic import EXACT
    from sightline.training.optimisers import build_optimiser
    from sightline.training.recipe import make_recipe
    from sightline.training.validation import infer_network

    def learn(name: Task, network: Any, version: DatasetVersion, task: Any, steps: int) -> float:
        optimiser = build_optimiser(network.train(), make_recipe(name, weight_decay=0.0))
        rng = np.random.default_rng(0)
        batch = task.collate([task.make_sample(index, rng, 0.0) for index in range(8)], rng, 0.0)
        images = normalise_images(batch.images, network.input_spec)
        for _ in range(steps):
            loss = torch.stack(list(task.compute_loss(network, images, batch.targets).values())).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None  # the statistics it learned with
        network.eval()
        evaluator = make_evaluator(name, version.categories)
        items = list(version.load_items("train"))
        prepared, placements = prepare_batch([version.read_image(item) for item in items], network.input_spec)
        outputs = infer_network(network, prepared, EXACT)
        answers = decode_outputs(network.decode_spec, outputs, placements, version.categories, 0.01)
        for item, answer in zip(items, answers, strict=True):
            evaluator.add(item.annotations, answer, item.width, item.height)
        return float(evaluator.compute().values["map50"])

    return learn
