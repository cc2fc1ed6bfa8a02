"""Every network file of ../shared/data/models: how it is imported and judged, or why it must be refused.

What is stated here is what the authors say of a network: colour and scale of its pictures, its categories, its priors. What the
files state themselves is left to the importer, and where labelled pictures exist the preset is left to be found by probing.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picture_sets import DIGITS, read_cifar_names, read_imagenet_names
from sightline.compiler.importers.importer import ImportOptions, StatedInput
from sightline.compiler.importing.import_network import NO_MEANING, NO_OPTIONS, Meaning

ARCHITECTURES = Path(__file__).with_name("architectures.py")
NETWORK_SUFFIXES = {".onnx", ".tflite", ".pb", ".xml", ".prototxt", ".cfg", ".h5", ".hdf5", ".th", ".pth"}
ULTRAFACE = "UltraFace slim 320"
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
MTCNN_INPUT = StatedInput(colour="RGB", mean=(127.5,), std=(128.0,))
NO_LAYERS_OF_A_PICTURE = "expected a vision network"
MAX_DROP = 0.01


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        network, form: row of the table: which network, in which format.
        file: below the folder of models.
        pictures: set that verifies, calibrates and judges it; labels are used where the set has some.
        meaning, options: what a user would state.
        presets: what probing may find; empty does not probe. Two are named where they score alike: those of CIFAR-10 and of
            torchvision are 0.05 and 0.35 points apart on 2,000 pictures of SampLeNet, which no 150 pictures tell apart.
        known_top1: 0..1, measured by others on the same pictures, all of them where they are divided.
        known: pictures that came with the network, below the folder of models, and how the name of what they show begins.
        mask: (picture, true label map) of a segmentation, files below the folder of models.
        refusal: words of the refusal; None for a network that must import.
        max_drop: of accuracy, or without labels of FP32's answers, that INT8 may cost, 0..1.
    """

    network: str
    form: str
    file: str
    pictures: str = "plain"
    meaning: Meaning = NO_MEANING
    options: ImportOptions = NO_OPTIONS
    presets: tuple[str, ...] = ()
    known_top1: float | None = None
    known: tuple[tuple[str, str], ...] = ()
    mask: tuple[str, str] | None = None
    refusal: str | None = None
    max_drop: float = MAX_DROP

    @property
    def name(self) -> str:
        """Fit for a folder."""
        return "-".join(re.sub("[(),]", "", f"{self.network} {self.form}".lower()).split())


def list_cases(data: Path) -> list[Case]:
    """All of them, in the order of the table."""
    return [
        *_list_imagenet(data),
        *_list_cifar(data),
        *_list_faces(),
        *_list_detectors(data),
        *_list_others(data),
        *_list_refused(),
    ]


def find_unlisted(models: Path, cases: list[Case]) -> list[str]:
    """Network files that no case names; a SavedModel is its folder."""
    listed = {case.file for case in cases}
    files = [path.relative_to(models) for path in sorted(models.rglob("*")) if path.suffix in NETWORK_SUFFIXES]
    return [str(path) for path in files if not {str(path), str(path.parent)} & listed]


def _list_imagenet(data: Path) -> list[Case]:
    names = read_imagenet_names(data)
    quantised = Meaning(categories=names, background=True)
    photographs = (("coral-tflite/cat_720p.jpg", "Egyptian cat"), ("coral-tflite/parrot.jpg", "macaw"))
    return [
        Case(
            "SqueezeNet 1.1",
            "ONNX float16",
            "winml-onnx/SqueezeNet_fp16.onnx",
            "imagenet",
            Meaning(categories=names),
            presets=("imagenet-caffe",),
            known_top1=0.64,
            known=(("winml-onnx/kitten_224.png", "tabby"), ("winml-onnx/fish.png", "tench")),
        ),
        Case(
            "MobileNetV1 0.25 128",
            "TFLite INT8",
            "coral-tflite/mobilenet_v1_0.25_128_quant.tflite",
            "imagenet",
            quantised,
            known_top1=0.465,
        ),
        Case(
            "MobileNetV2 1.0 224",
            "TFLite INT8",
            "coral-tflite/mobilenet_v2_1.0_224_quant.tflite",
            "imagenet",
            quantised,
            known=photographs,
        ),
    ]


def _list_cifar(data: Path) -> list[Case]:
    meaning = Meaning(categories=read_cifar_names(data))

    def make(network: str, form: str, file: str, presets: tuple[str, ...], known_top1: float | None, **facts: Any) -> Case:
        return Case(network, form, file, "cifar10", meaning, presets=presets, known_top1=known_top1, **facts)

    rgb, bgr = ("cifar10", "imagenet-torch"), ("cifar10, BGR", "imagenet-torch, BGR")
    resnet8, samplenet = "mlperf-tiny-resnet8-cifar10/pretrainedResnet", "samplenet-omz/test_models"
    return [
        make("ResNet-8", "Keras HDF5", f"{resnet8}.h5", ("0-255",), 0.739),
        make("ResNet-8", "TFLite", f"{resnet8}.tflite", ("0-255",), 0.739),
        make("ResNet-8", "TFLite INT8", f"{resnet8}_quant.tflite", (), 0.747),
        make(
            "ResNet-20",
            "PyTorch weights",
            "pytorch-resnet20-cifar10/resnet20-12fca82f.th",
            ("imagenet-torch", "cifar10"),
            0.807,
            options=_describe_bare("resnet20", 32, 32),
        ),
        make("SampLeNet", "ONNX", f"{samplenet}/samplenet.onnx", bgr, 0.669),
        make("SampLeNet", "Caffe", f"{samplenet}/SampLeNet.prototxt", rgb, 0.702),
        make("SampLeNet", "OpenVINO IR", f"{samplenet}/SampLeNet.xml", rgb, None),
        make(
            "SampLeNet",
            "PyTorch weights",
            f"{samplenet}/pytorch_model/samplenet.pth",
            rgb,
            None,
            options=_describe_bare("samplenet", 32, 32),
        ),
        make("SampLeNet", "TF frozen graph", f"{samplenet}/samplenet.pb", bgr, None),
        make("SampLeNet", "TF SavedModel", f"{samplenet}/samplenet_tf2", ("0-1",), None),
    ]


def _list_faces() -> list[Case]:
    decoded = Meaning(preset="ultraface", categories=("face",))
    priors = {"priors": make_ultraface_priors(), "variances": [0.1, 0.1, 0.2, 0.2]}
    offsets = Meaning(preset="ultraface", categories=("face",), background=True, head="prior_boxes", head_parameters=priors)
    folder = "ultraface-slim-320"
    return [
        Case(ULTRAFACE, "ONNX", f"{folder}/version-slim-320.onnx", "faces", decoded),
        Case(ULTRAFACE, "ONNX simplified", f"{folder}/version-slim-320_simplified.onnx", "faces", offsets),
        Case(ULTRAFACE, "Caffe", f"{folder}/slim-320.prototxt", "faces", offsets),
        Case(ULTRAFACE, "TFLite", f"{folder}/version-slim-320_without_postprocessing.tflite", "faces", offsets),
        Case(
            ULTRAFACE,
            "PyTorch weights",
            f"{folder}/version-slim-320.pth",
            "faces",
            offsets,
            options=_describe_bare("ultraface_slim", 320, 240),
        ),
    ]


def _list_detectors(data: Path) -> list[Case]:
    coco = tuple((data / "models" / "fastestdet-coco" / "coco.names").read_text().split("\n"))
    names = tuple(name.strip() for name in coco if name.strip())
    fastestdet = Meaning(preset="0-1", stated=StatedInput(colour="BGR"), categories=names)
    files = {"FastestDet": "fastestdet-coco/FastestDet.onnx", "Yolo-Fastest 1.1": "yolo-fastest-darknet/yolo-fastest-1.1.cfg"}
    return [  # by FP32's answers on photographs of anything, and by labels on street scenes
        Case("FastestDet", "ONNX", files["FastestDet"], meaning=fastestdet),
        Case("FastestDet, streets", "ONNX", files["FastestDet"], "roads", fastestdet),
        Case("Yolo-Fastest 1.1", "Darknet", files["Yolo-Fastest 1.1"]),
        Case("Yolo-Fastest 1.1, streets", "Darknet", files["Yolo-Fastest 1.1"], "roads"),
    ]


def _list_others(data: Path) -> list[Case]:
    lines = (data / "models" / "coral-tflite" / "pascal_voc_segmentation_labels.txt").read_text().splitlines()
    pascal = Meaning(categories=tuple(lines[:21]))
    gray, light = Meaning(preset="imagenet-tf", categories=EMOTIONS), Meaning(preset="imagenet-caffe")
    mtcnn, digits = Meaning(stated=MTCNN_INPUT), Meaning(categories=DIGITS)
    xception, resnet = "keras-mini-xception", "onnx-light-no-weights"
    fer = f"{xception}/fer2013_mini_XCEPTION.102-0.66.hdf5"
    bird = ("coral-tflite/bird_segmentation.bmp", "coral-tflite/bird_segmentation_mask.bmp")
    return [
        Case("DeepLabV3 513", "TFLite INT8", "coral-tflite/deeplabv3_mnv2_dm05_pascal_quant.tflite", meaning=pascal, mask=bird),
        Case(
            "Person detect",
            "TFLite INT8",
            "tflite-micro-person-detect/person_detect.tflite",
            meaning=Meaning(categories=("no person", "person")),
        ),
        Case("mini-XCEPTION FER", "Keras HDF5", fer, meaning=gray),
        # Photographs of anything are no faces, and its answers to them lie close together: a single one of its 23 convolutions
        # in INT8 changes up to 7 of 202. So besides the strict limit one that a user might state.
        Case("mini-XCEPTION FER, 5 points", "Keras HDF5", fer, meaning=gray, max_drop=0.05),
        Case("mini-XCEPTION KDEF", "Keras HDF5", f"{xception}/tiny_XCEPTION_KDEF.hdf5", meaning=gray),
        Case("MTCNN P-Net", "Caffe", "mtcnn-caffe/det1.prototxt", meaning=mtcnn),
        Case("MTCNN R-Net", "Caffe", "mtcnn-caffe/det2.prototxt", meaning=mtcnn),
        Case("MNIST", "ONNX", "winml-onnx/mnist.onnx", "digits", digits, known=(("winml-onnx/mnist_28.png", "8"),)),
        Case("light ResNet-50", "ONNX", f"{resnet}/light_resnet50.onnx", meaning=light),
        Case("light ShuffleNet", "ONNX", f"{resnet}/light_shufflenet.onnx", meaning=light),
        Case("light SqueezeNet", "ONNX", f"{resnet}/light_squeezenet.onnx", meaning=light),
    ]


def _list_refused() -> list[Case]:
    def make(network: str, form: str, file: str, refusal: str) -> Case:
        return Case(network, form, file, refusal=refusal)

    return [
        make("LSTM on MNIST", "TFLite INT8", "coral-tflite/keras_lstm_mnist_ptq.tflite", "LSTM"),
        make("deliberately invalid", "TFLite", "coral-tflite/model_invoking_error.tflite", "fake-op-double"),
        make("FastestDet", "PyTorch weights", "fastestdet-coco/weight_AP05_0.253207_280-epoch.pth", "architecture"),
        make("dense layers", "TF frozen graph", "tf2onnx-test-graphs/fc-layers/frozen.pb", NO_LAYERS_OF_A_PICTURE),
        make("GRU", "TF frozen graph", "tf2onnx-test-graphs/gru/frozen.pb", NO_LAYERS_OF_A_PICTURE),
        make("regression", "TF SavedModel", "tf2onnx-test-graphs/regression/saved_model", NO_LAYERS_OF_A_PICTURE),
    ]


def _describe_bare(function: str, width: int, height: int) -> ImportOptions:
    """Bare weights and the code they belong to."""
    return ImportOptions(architecture=f"{ARCHITECTURES}:{function}", width=width, height=height, channels=3)


def make_ultraface_priors(width: int = 320, height: int = 240) -> list[list[float]]:
    """Priors of Ultra-Light-Fast-Generic-Face-Detector, as its ONNX file holds them, to xyxy in shares of the input.

    For each stride a grid of ceil(width / stride) x ceil(height / stride) equal cells; at each cell's centre a square for each
    of the stride's sides in pixels. Sizes are cut to the input's.
    """
    priors = []
    for stride, sides in ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256))):
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        for row in range(rows):
            for column in range(columns):
                for side in sides:
                    x, y = (column + 0.5) / columns, (row + 0.5) / rows
                    w, h = min(side / width, 1), min(side / height, 1)
                    priors.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return priors
