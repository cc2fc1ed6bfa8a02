"""Sightline: label, train, compile, deploy and measure vision models on your own machines."""

import os as _os
from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline.bench.annotating import AnnotateResult as AnnotateResult
    from sightline.bench.annotating import annotate_version as annotate_version
    from sightline.bench.measure import measure_predictor as measure_predictor
    from sightline.bench.reports import Report as Report
    from sightline.bench.reports import read_report as read_report
    from sightline.compiler.compile import CompileResult as CompileResult
    from sightline.compiler.compile import compile_model as compile_model
    from sightline.compiler.importers.importer import ImportOptions as ImportOptions
    from sightline.compiler.importers.importer import StatedInput as StatedInput
    from sightline.compiler.importing.import_network import ImportResult as ImportResult
    from sightline.compiler.importing.import_network import Meaning as Meaning
    from sightline.compiler.importing.import_network import import_network as import_network
    from sightline.core.annotations import Annotation as Annotation
    from sightline.core.annotations import MaskRle as MaskRle
    from sightline.core.errors import AccessDenied as AccessDenied
    from sightline.core.errors import Conflict as Conflict
    from sightline.core.errors import CorruptFile as CorruptFile
    from sightline.core.errors import Exhausted as Exhausted
    from sightline.core.errors import GateFailed as GateFailed
    from sightline.core.errors import ImageTooLarge as ImageTooLarge
    from sightline.core.errors import InvalidInput as InvalidInput
    from sightline.core.errors import LossyExport as LossyExport
    from sightline.core.errors import MissingPackage as MissingPackage
    from sightline.core.errors import NotFound as NotFound
    from sightline.core.errors import QueueFull as QueueFull
    from sightline.core.errors import QueueTimeout as QueueTimeout
    from sightline.core.errors import SightlineError as SightlineError
    from sightline.core.errors import UnknownHost as UnknownHost
    from sightline.core.errors import Unreachable as Unreachable
    from sightline.core.errors import UnreadableDataset as UnreadableDataset
    from sightline.core.errors import UnreadableImage as UnreadableImage
    from sightline.core.errors import UnreadableVideo as UnreadableVideo
    from sightline.core.errors import Unsupported as Unsupported
    from sightline.core.folders import read_manifest as read_manifest
    from sightline.core.manifests import ArtifactManifest as ArtifactManifest
    from sightline.core.manifests import DecodeSpec as DecodeSpec
    from sightline.core.manifests import InputSpec as InputSpec
    from sightline.core.manifests import ModelManifest as ModelManifest
    from sightline.core.progress import ProgressEvent as ProgressEvent
    from sightline.core.workspace import Workspace as Workspace
    from sightline.data.augmentation import AugmentationSettings as AugmentationSettings
    from sightline.data.conversion import ConversionReport as ConversionReport
    from sightline.data.exporting import export_version as export_version
    from sightline.data.formats.format import SourceItem as SourceItem
    from sightline.data.importing import import_dataset as import_dataset
    from sightline.data.items import Item as Item
    from sightline.data.samples import generate_samples as generate_samples
    from sightline.data.versions import DatasetVersion as DatasetVersion
    from sightline.data.versions import open_version as open_version
    from sightline.imaging.masks import draw_annotation as draw_annotation
    from sightline.imaging.rle import decode_mask as decode_mask
    from sightline.imaging.rle import encode_mask as encode_mask
    from sightline.runtime.predictor import Predictor as Predictor
    from sightline.serving.client.asynchronous import AsyncClient as AsyncClient
    from sightline.serving.client.blocking import Client as Client
    from sightline.serving.client.calls import ModelMetadata as ModelMetadata
    from sightline.serving.client.calls import ModelState as ModelState
    from sightline.serving.client.calls import ServerMetadata as ServerMetadata
    from sightline.serving.client.calls import TensorMetadata as TensorMetadata
    from sightline.serving.client.predictor import RemotePredictor as RemotePredictor
    from sightline.serving.client.streams import StreamEvent as StreamEvent
    from sightline.serving.client.streams import StreamState as StreamState
    from sightline.serving.deployments import deploy_artifact as deploy_artifact
    from sightline.serving.loading import load as load
    from sightline.training.recipe import Recipe as Recipe
    from sightline.training.recipe import make_recipe as make_recipe
    from sightline.training.swapping.statistics import SwapStatistics as SwapStatistics
    from sightline.training.swapping.swapper import ActivationSwapper as ActivationSwapper
    from sightline.training.train import train_model as train_model

# No outbound call: since 1.29 ONNX Runtime reports sessions, their files' names and hashes to Microsoft, and reads this once,
# when it is loaded, whoever loads it; its `disable_telemetry_events` comes too late (tests/runtime/test_telemetry.py).
_os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

# Nothing heavy is imported until it is asked for: `import sightline` costs no torch and no inference engine. The imports above
# say the same to type checkers.
_LAZY = {
    # verbs
    "import_dataset": "sightline.data.importing",
    "import_network": "sightline.compiler.importing.import_network",
    "generate_samples": "sightline.data.samples",
    "export_version": "sightline.data.exporting",
    "open_version": "sightline.data.versions",
    "annotate_version": "sightline.bench.annotating",
    "make_recipe": "sightline.training.recipe",
    "train_model": "sightline.training.train",
    "ActivationSwapper": "sightline.training.swapping.swapper",
    "compile_model": "sightline.compiler.compile",
    "deploy_artifact": "sightline.serving.deployments",
    "measure_predictor": "sightline.bench.measure",
    "load": "sightline.serving.loading",
    # what answers
    "Predictor": "sightline.runtime.predictor",
    "Client": "sightline.serving.client.blocking",
    "AsyncClient": "sightline.serving.client.asynchronous",
    "RemotePredictor": "sightline.serving.client.predictor",
    "ServerMetadata": "sightline.serving.client.calls",
    "ModelState": "sightline.serving.client.calls",
    "ModelMetadata": "sightline.serving.client.calls",
    "TensorMetadata": "sightline.serving.client.calls",
    "StreamState": "sightline.serving.client.streams",
    "StreamEvent": "sightline.serving.client.streams",
    # what verbs take
    "Workspace": "sightline.core.workspace",
    "SourceItem": "sightline.data.formats.format",
    "Recipe": "sightline.training.recipe",
    "AugmentationSettings": "sightline.data.augmentation",
    "ImportOptions": "sightline.compiler.importers.importer",
    "Meaning": "sightline.compiler.importing.import_network",
    "StatedInput": "sightline.compiler.importers.importer",
    # what verbs give
    "Annotation": "sightline.core.annotations",
    "MaskRle": "sightline.core.annotations",
    "encode_mask": "sightline.imaging.rle",
    "decode_mask": "sightline.imaging.rle",
    "draw_annotation": "sightline.imaging.masks",
    "DatasetVersion": "sightline.data.versions",
    "Item": "sightline.data.items",
    "ConversionReport": "sightline.data.conversion",
    "SwapStatistics": "sightline.training.swapping.statistics",
    "ImportResult": "sightline.compiler.importing.import_network",
    "AnnotateResult": "sightline.bench.annotating",
    "CompileResult": "sightline.compiler.compile",
    "Report": "sightline.bench.reports",
    "read_report": "sightline.bench.reports",
    "ModelManifest": "sightline.core.manifests",
    "ArtifactManifest": "sightline.core.manifests",
    "InputSpec": "sightline.core.manifests",
    "DecodeSpec": "sightline.core.manifests",
    "read_manifest": "sightline.core.folders",
    "ProgressEvent": "sightline.core.progress",
    # how they fail
    "SightlineError": "sightline.core.errors",
    "InvalidInput": "sightline.core.errors",
    "UnreadableImage": "sightline.core.errors",
    "ImageTooLarge": "sightline.core.errors",
    "UnreadableVideo": "sightline.core.errors",
    "UnreadableDataset": "sightline.core.errors",
    "CorruptFile": "sightline.core.errors",
    "AccessDenied": "sightline.core.errors",
    "UnknownHost": "sightline.core.errors",
    "NotFound": "sightline.core.errors",
    "Conflict": "sightline.core.errors",
    "LossyExport": "sightline.core.errors",
    "GateFailed": "sightline.core.errors",
    "Unsupported": "sightline.core.errors",
    "MissingPackage": "sightline.core.errors",
    "Exhausted": "sightline.core.errors",
    "QueueFull": "sightline.core.errors",
    "QueueTimeout": "sightline.core.errors",
    "Unreachable": "sightline.core.errors",
}

_EXTRAS = {"training": "train", "compiler": "compile"}  # what installs the packages that a part needs

__all__ = ["__version__", *_LAZY]


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # a type checker would take any name for an attribute

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module 'sightline' has no attribute {name!r}; it has {', '.join(_LAZY)}")
        try:
            module = _import_module(_LAZY[name])
        except ModuleNotFoundError as error:
            part = _LAZY[name].split(".")[1]
            if part not in _EXTRAS or (error.name or "").startswith("sightline"):
                raise
            remedy = f"pip install 'sightline[{_EXTRAS[part]}]'"
            raise ModuleNotFoundError(f"sightline.{name} needs {error.name}; {remedy}", name=error.name) from error
        return getattr(module, name)
