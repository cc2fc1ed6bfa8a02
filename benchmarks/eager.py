"""A Model in eager PyTorch, FP32, from picture files to annotations: what its users would run without compiling.

Decoding, preparing and the decode head are the product's own: a comparison with an Artifact differs in the network alone.
"""

import os
from collections.abc import Sequence
from pathlib import Path

# Read when OpenMP is loaded with torch: idle threads that spin are counted as CPU time and disturb the other side of a race.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from sightline.core.annotations import Annotation
from sightline.core.categories import Categories
from sightline.core.folders import read_manifest
from sightline.core.manifests import ModelManifest
from sightline.imaging.files.reading import read_image
from sightline.imaging.heads.decoding import decode_outputs
from sightline.imaging.preprocessing import prepare_batch
from sightline.models.table import build_network
from sightline.models.weights import load_weights, read_weights


class EagerModel:
    """A Model folder's weights in its own architecture.

    Args:
        model: the folder.
        threads: of PyTorch in this process.
        batch_size: pictures per run of the network.
        channels_last: memory layout of pictures and weights.
    """

    def __init__(self, model: Path, threads: int, batch_size: int = 1, channels_last: bool = True) -> None:
        torch.set_num_threads(threads)
        self.manifest = read_manifest(model, ModelManifest)
        self.batch_size = batch_size
        self._categories = Categories(self.manifest.categories)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        spec = self.manifest.input
        network = build_network(
            self.manifest.task, self.manifest.network, len(self.manifest.categories), spec.width, spec.height
        )
        report = load_weights(network, read_weights(model / "weights.safetensors"))
        if report.absent or report.other_shape:
            raise SystemExit(f"the Model's weights do not fit its own network: {report.line()}")
        self._network = network.eval().to(memory_format=self._layout)

    def describe(self) -> dict[str, object]:
        """How it runs, for the result."""
        return {
            "batch_size": self.batch_size,
            "channels_last": self._layout is torch.channels_last,
            "threads": torch.get_num_threads(),
            "precision": "fp32",
            "omp_wait_policy": os.environ["OMP_WAIT_POLICY"],
        }

    def predict_files(self, paths: Sequence[Path], confidence_threshold: float | None = None) -> list[list[Annotation]]:
        """Annotations of each picture file."""
        answers: list[list[Annotation]] = []
        for first in range(0, len(paths), self.batch_size):
            images = [read_image(path) for path in paths[first : first + self.batch_size]]
            batch, placements = prepare_batch(images, self.manifest.input)
            with torch.inference_mode():
                tensors = self._network(torch.from_numpy(batch).to(memory_format=self._layout))
            decode = self.manifest.decode
            outputs = {name: tensor.numpy() for name, tensor in zip(decode.outputs, tensors, strict=True)}
            answers += decode_outputs(decode, outputs, placements, self._categories, confidence_threshold)
        return answers
