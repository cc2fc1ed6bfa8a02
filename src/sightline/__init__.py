"""Sightline: label, train, compile, deploy and measure vision models on your own machines."""

import os
from importlib import import_module
from typing import Any

# No outbound call: since 1.29 ONNX Runtime reports sessions, their files' names and hashes to Microsoft, and reads this once,
# when it is loaded, whoever loads it; its `disable_telemetry_events` comes too late (tests/runtime/test_telemetry.py).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

# Nothing heavy is imported until it is asked for: `import sightline` costs no torch and no inference engine.
_LAZY = {
    "import_dataset": "sightline.data.importing",
    "import_network": "sightline.compiler.importing",
    "export_version": "sightline.data.exporting",
    "open_version": "sightline.data.versions",
    "annotate_version": "sightline.bench.annotating",
    "train_model": "sightline.training.train",
    "compile_model": "sightline.compiler.compile",
    "deploy_artifact": "sightline.serving.deployments",
    "measure_predictor": "sightline.bench.measure",
    "load": "sightline.serving.loading",
    "Client": "sightline.serving.client",
    "AsyncClient": "sightline.serving.client_async",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}; it has {', '.join(_LAZY)}")
    return getattr(import_module(_LAZY[name]), name)
