"""The typed records that make a folder a DatasetVersion, Model, Artifact, Report or Deployment.

Each such folder is `manifest.json` plus the files it names by hash. Its id is the SHA-256 of the manifest in canonical form
(sorted keys, no spaces), so the same content always has the same id and nothing in a made folder may change.
"""

import hashlib
from typing import Any, Literal, TypeVar

import msgspec

from sightline.core.errors import InvalidInput

# image: a picture for a picture (super-resolution, style, denoising); raw: tensors nobody explained
Task = Literal["classification", "multilabel", "detection", "instance", "semantic", "image", "raw"]
TENSOR_TASKS: tuple[Task, ...] = ("image", "raw")  # give no annotations; judged by the error of their tensors
Precision = Literal["int8", "int16", "fp16", "bf16", "fp32"]
ResizeRule = Literal["letterbox", "stretch", "centre_crop", "pad"]
ShrinkRule = Literal["area", "bilinear"]
UnlabelledPixels = Literal["ignore", "background"]


class FileHash(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file beside the manifest: its SHA-256 (hex) and size."""

    sha256: str
    size_bytes: int


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a picture becomes the network's input tensor; wrong preprocessing costs more accuracy than any quantiser.

    tensor = (resized pixel - mean) / std per channel, pixels 0..255, then laid out as `layout`, float32.

    Attributes:
        name: name of the graph's input.
        width, height: size of the network's input, pixels; with "pad" its sides are multiples of them.
        layout: order of the tensor's axes.
        colour: order of the channels.
        mean, std: per channel in units of a pixel value 0..255; empty: 0 and 255 for each channel of the colour.
        resize: "letterbox" keeps the aspect and pads with `pad_value`; "stretch" does not keep it; "centre_crop" resizes the
            shorter side to size / crop_fraction and cuts the middle; "pad" leaves the picture as it is, for graphs that take
            any size, and repeats its last row and column up to the next multiples of height and width.
        shrink: how a larger picture is made smaller: "area" averages the pixels that fall together, which keeps fine detail
            from turning into noise; "bilinear" samples four pixels, as networks trained with plain OpenCV saw it, in a quarter
            of the time.
        crop_fraction: share of the resized picture that the crop keeps, 0..1; only for "centre_crop".
        pad_value: pixel value of the letterbox's bands, 0..255.
    """

    name: str = "images"
    width: int
    height: int
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: ResizeRule = "letterbox"
    shrink: ShrinkRule = "area"
    crop_fraction: float = 1.0
    pad_value: int = 114

    def __post_init__(self) -> None:
        channels = 1 if self.colour == "GRAY" else 3
        for field, value in (("mean", 0.0), ("std", 255.0)):
            if not getattr(self, field):
                msgspec.structs.force_setattr(self, field, (value,) * channels)


class DecodeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the network's raw outputs become annotations: a decode head and its parameters.

    Attributes:
        head: name of the decode head.
        outputs: names of the graph's outputs in the order the head expects.
        parameters: numbers and lists the head needs (strides, variances, ...).
        confidence_threshold: predictions below it are dropped when a user asks; metrics use their own, lower one.
        iou_threshold: limit of class-wise non-maximum suppression.
        max_detections: most annotations per picture.
    """

    head: str
    outputs: tuple[str, ...]
    parameters: dict[str, Any] = {}
    confidence_threshold: float = 0.25
    iou_threshold: float = 0.6
    max_detections: int = 100


class DatasetVersionManifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="dataset_version", tag_field="kind"
):
    """A frozen snapshot of a Dataset: `items.parquet` holds a row per image, blobs hold the pictures.

    Attributes:
        name: name of the Dataset.
        categories: ordered names.
        unlabelled_pixels: what a pixel means that no mask covers: "background" (nothing is there) or "ignore" (not looked at).
        split_counts, annotation_counts: images per split, annotations per category.
        source: what it was made from: format, options, and the ids of parent versions.
        seed: of a drawn split, None when the split was given.
    """

    format_version: int = 1
    name: str
    categories: tuple[str, ...]
    unlabelled_pixels: UnlabelledPixels = "background"
    item_count: int
    split_counts: dict[str, int]
    annotation_counts: dict[str, int]
    source: dict[str, Any] = {}
    seed: int | None = None
    files: dict[str, FileHash]


class ModelManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="model", tag_field="kind"):
    """A network with weights, categories, pre- and post-processing, FP32; `model.onnx` is its graph.

    Attributes:
        network: name in the table of networks, or "framework/file" of an imported one.
        precision: "fp32", or "int8" for an imported network that was quantised already: its graph is QDQ and stays so.
        source: of an import: framework, files with their hashes, where the input spec came from, notes; empty if trained here.
        export_check: the graph against the source network on real pictures: images, maximum relative error, top-1 agreement.
        recipe: every setting of the training that made it.
        dataset_version: id of the version it learned from, None for an import.
        metrics: task metrics on the named split at the end of training.
        host: machine and package versions.
    """

    format_version: int = 1
    name: str
    task: Task
    network: str
    categories: tuple[str, ...]
    input: InputSpec
    decode: DecodeSpec
    parameter_count: int
    precision: Precision = "fp32"
    source: dict[str, Any] = {}
    export_check: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    dataset_version: str | None = None
    seed: int | None = None
    metrics: dict[str, Any] = {}
    host: dict[str, Any] = {}
    created_at: str
    files: dict[str, FileHash]


class ArtifactManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="artifact", tag_field="kind"):
    """A Model compiled for one kind of device at one precision, with its verified report beside it (`report.json`).

    Attributes:
        model_id: id of the Model.
        device, engine, precision: where it runs and how.
        graph_file: the file that the engine opens.
        streams, threads: inferences in flight for best throughput, and threads for each of them.
        batch: pictures in one inference for best throughput.
        tuned_on: CPU model and flags, and the GPU where it is for one, that the tuning holds for.
        verified: False if it was calibrated or gated without real pictures.
    """

    format_version: int = 1
    name: str
    model_id: str
    task: Task
    categories: tuple[str, ...]
    input: InputSpec
    decode: DecodeSpec
    device: str
    engine: str
    precision: Precision
    graph_file: str
    streams: int
    threads: int
    batch: int = 1
    tuned_on: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    verified: bool = True
    host: dict[str, Any] = {}
    created_at: str
    files: dict[str, FileHash]


class ReportManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="report", tag_field="kind"):
    """What was measured; `report.json` holds the numbers, `report.html` the pictures.

    A Report that lacks host, precision, dataset version or seed is not saved (`sightline.bench.reports` refuses).
    """

    format_version: int = 1
    name: str
    subject: dict[str, Any]
    dataset_version: str | None
    precision: str
    seed: int
    host: dict[str, Any]
    created_at: str
    files: dict[str, FileHash]


class DeploymentManifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deployment", tag_field="kind"
):
    """An Artifact that answers under a name. The only record that changes: a new version of the Artifact takes its place."""

    format_version: int = 1
    name: str
    version: int
    artifact_id: str
    created_at: str


FrozenManifest = DatasetVersionManifest | ModelManifest | ArtifactManifest | ReportManifest  # names its files; never changes
Manifest = FrozenManifest | DeploymentManifest
ManifestType = TypeVar("ManifestType", bound=Manifest)


def encode_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8. Its SHA-256 is the id."""
    return msgspec.json.encode(manifest, order="sorted")


def compute_manifest_id(manifest: Manifest) -> str:
    """The id of the folder this manifest describes: 64 hex digits."""
    return hashlib.sha256(encode_manifest(manifest)).hexdigest()


def decode_manifest(content: bytes, manifest_type: type[ManifestType], where: str = "manifest.json") -> ManifestType:
    """Read a manifest. Raises: InvalidInput naming the field that does not fit."""
    try:
        return msgspec.json.decode(content, type=manifest_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        noun = manifest_type.__name__.removesuffix("Manifest")
        kind = _read_kind(content)
        if kind not in (None, str(manifest_type.__struct_config__.tag).replace("_", " ")):
            raise InvalidInput(
                f"expected the manifest of a {noun}, got {where} of a {kind}; give the folder of a {noun}"
            ) from None
        raise InvalidInput(f"{where} is no {noun} manifest of this version: {error}") from error


def _read_kind(content: bytes) -> str | None:
    """What a manifest says it is of; None where it says nothing."""
    try:
        kind = msgspec.json.decode(content, type=dict[str, Any]).get("kind")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return kind.replace("_", " ") if isinstance(kind, str) else None
