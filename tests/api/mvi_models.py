"""Models and Artifacts for the tests of PowerAI Vision's interface."""

from pathlib import Path
from typing import Any

from sightline.core.folders import hash_files, write_manifest
from sightline.core.manifests import DecodeSpec, InputSpec, ModelManifest
from sightline.core.shelving import shelve
from sightline.core.workspace import Workspace


def shelve_model(workspace: Workspace, folder: Path, name: str, **recorded: Any) -> Path:
    """A Model of which nothing matters but its manifest. Args: folder: to make it in. Returns: where it lies."""
    folder = folder / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    facts: dict[str, Any] = {
        "task": "detection",
        "network": "center-small",
        "created_at": "2026-01-01T00:00:00+00:00",
        "input": InputSpec(name="image", width=32, height=32),
        "decode": DecodeSpec(head="scored_boxes", outputs=("scores", "boxes")),
        **recorded,
    }
    manifest = ModelManifest(name=name, categories=("dent",), parameter_count=1, files=hash_files(folder), **facts)
    write_manifest(folder, manifest)
    return shelve(folder, workspace, "models", manifest)
