"""PyTorch networks of every form come in our form and compute what torch computes."""

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from import_checks import NETWORKS, SHARED, assert_agrees, input_shape, need, run_graph
from onnx import TensorProto
from torch import Tensor, nn

from sightline.compiler.graphs import count_operators
from sightline.compiler.importers.importer import ImportedGraph, ImportOptions, StatedInput
from sightline.compiler.importers.onnx.importer import OnnxImporter
from sightline.compiler.importers.pytorch import PytorchImporter, read_module
from sightline.compiler.importers.table import choose_importer
from sightline.compiler.importing.import_network import Meaning, import_network
from sightline.core.errors import InvalidInput, Unsupported
from sightline.core.manifests import InputSpec
from sightline.imaging.files.reading import read_image
from sightline.imaging.preprocessing import prepare_batch

ARCHITECTURES = Path(__file__).resolve().parents[3] / "benchmarks" / "architectures.py"
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's, in pixels
RESNET20 = NETWORKS / "pytorch-resnet20-cifar10" / "resnet20-12fca82f.th"
ULTRAFACE = NETWORKS / "ultraface-slim-320"


def import_file(path: Path, **options: object) -> ImportedGraph:
    assert choose_importer(need(path)).name == "pytorch"
    return PytorchImporter().read(path, ImportOptions(**options))


def random_batch(imported: ImportedGraph, count: int = 3) -> np.ndarray:
    sizes = [size.dim_value for size in imported.graph.graph.input[0].type.tensor_type.shape.dim[1:]]
    return np.random.default_rng(7).standard_normal((count, *sizes), dtype=np.float32)


def assert_our_form(imported: ImportedGraph) -> None:
    assert imported.graph.opset_import[0].version in (17, 18)
    assert imported.graph.ir_version <= 10
    for value in [*imported.graph.graph.input, *imported.graph.graph.output]:
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert imported.source.is_own_framework
    assert imported.source.engine.startswith("torch ")


def assert_layers_agree(imported: ImportedGraph, folder: Path, at_least: int) -> None:
    """The source gives these tensors of the graph, and the graph computes the same."""
    batch = random_batch(imported, 1)
    names = [node.output[0] for node in imported.graph.graph.node]
    layers = imported.source.run_layers(batch, names)
    assert len(layers) >= at_least
    shown = type(imported.graph)()
    shown.CopyFrom(imported.graph)
    own = {value.name for value in shown.graph.output}
    for name in layers:
        if name not in own:
            shown.graph.output.add(name=name)
    for name, values in run_graph(shown, batch, folder).items():
        if name in layers:
            assert values.shape == layers[name].shape, name
            assert np.abs(values - layers[name]).max() < 1e-4 * max(np.abs(values).max(), 1e-6), name


def read_cifar() -> tuple[np.ndarray, np.ndarray]:
    folders = sorted(need(SHARED / "classification/cifar10-jpg/test").iterdir())
    files = [sorted(folder.iterdir()) for folder in folders]
    return np.stack([read_image(path) for paths in files for path in paths]), np.repeat(np.arange(10), list(map(len, files)))


def test_resnet20_of_a_checkpoint_reaches_its_known_accuracy(tmp_path: Path) -> None:
    """80.7 % on the 2,000 CIFAR pictures with ImageNet mean and std, measured beforehand."""
    imported = import_file(RESNET20, architecture=f"{ARCHITECTURES}:resnet20", width=32, height=32)
    assert_our_form(imported)
    assert imported.files == (RESNET20, ARCHITECTURES)
    pictures, labels = read_cifar()
    spec = InputSpec(width=32, height=32, mean=IMAGENET_MEAN, std=IMAGENET_STD, resize="stretch")
    batch, _ = prepare_batch(list(pictures), spec)
    scores = run_graph(imported.graph, batch, tmp_path)["output"]
    assert (scores.argmax(axis=1) == labels).mean() == pytest.approx(0.807, abs=0.0006)
    assert_agrees(imported, batch[:16], tmp_path)
    assert_layers_agree(imported, tmp_path, at_least=25)
    assert {"layer1.0.bn1", "layer3.2.bn2", "linear"} <= {node.name for node in imported.graph.graph.node}


def test_samplenet_agrees_with_torch(tmp_path: Path) -> None:
    path = NETWORKS / "samplenet-omz/test_models/pytorch_model/samplenet.pth"
    imported = import_file(path, architecture=f"{ARCHITECTURES}:samplenet", width=32, height=32)
    assert_our_form(imported)
    assert_agrees(imported, random_batch(imported), tmp_path)
    mean, std = np.float32([125.307, 122.961, 113.8575]), np.float32([51.5865, 50.847, 51.255])
    pictures, labels = read_cifar()
    right = {}
    for name, ordered in (("RGB", pictures), ("BGR", pictures[..., ::-1])):
        scores = run_graph(imported.graph, ((ordered - mean) / std).transpose(0, 3, 1, 2).astype(np.float32), tmp_path)
        right[name] = float((scores["output"].argmax(axis=1) == labels).mean())
    assert max(right.values()) > 0.6  # trained: the ten classes by chance are 0.1
    assert abs(right["RGB"] - right["BGR"]) > 0.05  # and it minds the order of colours


def test_face_detector_of_weights_gives_what_its_onnx_twin_gives(tmp_path: Path) -> None:
    imported = import_file(
        ULTRAFACE / "version-slim-320.pth", architecture=f"{ARCHITECTURES}:ultraface_slim", width=320, height=240
    )
    assert_our_form(imported)
    batch = random_batch(imported)
    assert_agrees(imported, batch, tmp_path)
    assert_layers_agree(imported, tmp_path, at_least=70)
    twin = OnnxImporter().read(need(ULTRAFACE / "version-slim-320_simplified.onnx"), ImportOptions())
    expected = twin.source.run(batch)
    for name, values in run_graph(imported.graph, batch, tmp_path).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "classes"),
    [("torchvision/resnet18", 7), ("torchvision/mobilenet_v3_small", 5), ("timm/efficientnet_b0", 11)],
)
def test_weights_of_a_named_architecture_bring_its_input(architecture: str, classes: int, tmp_path: Path) -> None:
    import timm
    from torchvision import models

    torch.manual_seed(0)
    family, name = architecture.split("/")
    module = timm.create_model(name, num_classes=classes) if family == "timm" else models.get_model(name, num_classes=classes)
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    imported = import_file(tmp_path / "weights.pth", architecture=architecture)
    assert_our_form(imported)
    stated, published = imported.stated, imported.published
    assert (input_shape(imported.graph), published.colour) == ((3, 224, 224), "RGB")
    assert published.mean == pytest.approx(IMAGENET_MEAN)
    assert published.std == pytest.approx(IMAGENET_STD)
    assert (published.resize, published.crop_fraction) == ("centre_crop", 0.875)
    assert (stated.colour, stated.mean, stated.std, stated.resize, stated.crop_fraction) == (None,) * 5  # no file says so
    batch = random_batch(imported)
    assert run_graph(imported.graph, batch, tmp_path)["output"].shape == (3, classes)
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(imported.source.run(batch)["output"], expected, rtol=1e-5, atol=1e-6)
    assert_agrees(imported, batch, tmp_path)
    assert_layers_agree(imported, tmp_path, at_least=20)


class Published(nn.Sequential):
    """Carries what its authors publish of its input, as timm's networks do."""

    pretrained_cfg: ClassVar = {"input_size": (3, 96, 96), "mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3), "crop_pct": 0.75}

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))


PUBLISHED_MEAN, PUBLISHED_STD = (102.0, 127.5, 153.0), (25.5, 51.0, 76.5)  # times 255


@pytest.mark.parametrize(
    ("meaning", "colour", "mean", "std", "told"),
    [
        (Meaning(), "RGB", PUBLISHED_MEAN, PUBLISHED_STD, r"as published of the architecture: mean \(102\.0, 127\.5, 153\.0\)"),
        (Meaning(preset="0-1"), "RGB", (0.0,) * 3, (255.0,) * 3, r"by the preset 0-1; published .*std \(25\.5, 51\.0, 76\.5\)"),
        (Meaning(preset="imagenet-caffe"), "BGR", (104.0, 117.0, 123.0), (1.0,) * 3, "by the preset imagenet-caffe"),
        (
            Meaning(stated=StatedInput(colour="BGR", std=(64.0,))),
            "BGR",
            PUBLISHED_MEAN[::-1],
            (64.0,) * 3,
            r"as published of the architecture: mean \([^)]*\); where",
        ),
        (Meaning(stated=StatedInput(mean=(1.0, 2.0, 3.0), std=(64.0,))), "RGB", (1.0, 2.0, 3.0), (64.0,) * 3, None),
    ],
    ids=["nothing said", "preset", "preset in BGR", "colour and std", "mean and std"],
)
def test_what_is_published_of_an_architecture_ranks_below_a_preset(
    meaning: Meaning, colour: str, mean: tuple[float, ...], std: tuple[float, ...], told: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    result = import_network(Published(), tmp_path / "out", "net", meaning=meaning)
    spec = result.manifest.input
    assert (spec.colour, spec.mean, spec.std) == (colour, pytest.approx(mean), pytest.approx(std))
    assert (spec.resize, spec.crop_fraction) == ("centre_crop", 0.75)  # no preset speaks of these
    notes = [note for note in result.notes if "published" in note]
    assert len(notes) == (told is not None) and (told is None or re.search(told, notes[0]))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["program", "program with a fixed batch", "traced", "scripted"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_saved_networks_agree_with_their_module(form: str, tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    module = models.mobilenet_v3_small(num_classes=9).eval() if "program" in form else models.resnet18(num_classes=9).eval()
    path = tmp_path / ("network.pt2" if "program" in form else "network.pt")
    if "program" in form:
        fixed = "fixed" in form
        example = torch.zeros(1 if fixed else 2, 3, 64, 64)
        shapes = None if fixed else ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=shapes), path)
        imported = import_file(path)
    else:
        script = torch.jit.trace(module, torch.zeros(1, 3, 64, 64)) if form == "traced" else torch.jit.script(module)
        script.save(str(path))
        imported = import_file(path, width=64, height=64)
    assert_our_form(imported)
    batch = random_batch(imported)
    with torch.inference_mode():
        expected = module(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(imported.source.run(batch)["output"], expected, rtol=1e-4, atol=1e-5)
    assert_agrees(imported, batch, tmp_path)
    if "program" in form:
        assert_layers_agree(imported, tmp_path, at_least=100)


class Pyramid(nn.Module):
    """Two maps and a reshape that holds the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, 6, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.stem(x)
        return features, self.head(features).reshape(x.shape[0], 3, 2, -1).transpose(1, 2)


def test_module_of_this_process_is_imported(tmp_path: Path) -> None:
    torch.manual_seed(4)
    imported = read_module(Pyramid(), width=12, height=10)
    assert_our_form(imported)
    assert imported.stated.colour == "GRAY"
    assert [value.name for value in imported.graph.graph.output] == ["output_0", "output_1"]
    assert_agrees(imported, random_batch(imported), tmp_path)
    assert_layers_agree(imported, tmp_path, at_least=3)


def test_network_ends_at_a_named_layer(tmp_path: Path) -> None:
    torch.manual_seed(4)
    imported = read_module(Pyramid(), width=12, height=10, outputs=("head",))
    assert "Reshape" not in count_operators(imported.graph)
    assert imported.graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 6
    assert_agrees(imported, random_batch(imported), tmp_path)
    with pytest.raises(Unsupported, match=r"cannot end at nowhere, .* its outputs are output_0, output_1"):
        read_module(Pyramid(), width=12, height=10, outputs=("nowhere",))


def test_network_whose_code_fixes_the_batch_is_freed(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).reshape(1, 4, 36).softmax(2)

    torch.manual_seed(4)
    module = Fixed().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 6, 6),)), tmp_path / "fixed.pt2")
    for imported in (read_module(module, width=6, height=6), import_file(tmp_path / "fixed.pt2")):
        assert_our_form(imported)
        assert any("the batch was fixed to 1" in note for note in imported.notes)
        assert_agrees(imported, random_batch(imported), tmp_path)


def test_a_module_that_is_still_being_trained_stays_as_it_is() -> None:
    module = Pyramid().train().half()
    for parameter in list(module.parameters())[:1]:
        parameter.requires_grad_(False)
    before = [(one.dtype, one.requires_grad) for one in module.parameters()]
    read_module(module, width=12, height=10)
    assert all(part.training for part in module.modules())
    assert [(one.dtype, one.requires_grad) for one in module.parameters()] == before
    assert {dtype for dtype, _ in before} == {torch.float16}


def test_what_is_no_module_or_cannot_be_copied_is_refused_in_one_line() -> None:
    with pytest.raises(InvalidInput, match=r"^expected a path or a torch.nn.Module, got int; pass one of them$"):
        read_module(3)
    module = Pyramid()
    module.seen = torch.ones(1, requires_grad=True) * 2  # as hooks keep what they saw
    with pytest.raises(Unsupported, match=r"^Pyramid cannot be copied: .*; save it with torch\.export\.save"):
        read_module(module, width=12, height=10)


def test_networks_without_a_fixed_graph_are_refused_with_torchs_reason() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y if y.sum() > 0 else -y

    with pytest.raises(Unsupported, match="torch cannot export this network: "):
        read_module(Branching(), width=6, height=6)


def test_program_that_is_no_vision_network_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(nn.Linear(4, 2), (torch.zeros(1, 4),))
    torch.export.save(program, tmp_path / "dense.pt2")
    with pytest.raises(Unsupported, match="is no vision network"):
        import_file(tmp_path / "dense.pt2")


def test_bare_weights_need_an_architecture_and_a_size() -> None:
    with pytest.raises(InvalidInput, match="is weights without a network: say `architecture`"):
        import_file(RESNET20)
    with pytest.raises(InvalidInput, match="say `width` and `height`"):
        import_file(RESNET20, architecture=f"{ARCHITECTURES}:resnet20")
    with pytest.raises(InvalidInput, match="weights and network do not fit"):
        import_file(RESNET20, architecture="torchvision/resnet18")


def test_other_files_are_not_taken_for_pytorch(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not a network")
    (tmp_path / "archive.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "text.safetensors").write_text("not weights at all")
    (tmp_path / "folder.pt2").mkdir()
    for name in ("text.pt", "archive.zip", "text.safetensors", "folder.pt2", "absent.pth"):
        assert not PytorchImporter().detect(tmp_path / name)
