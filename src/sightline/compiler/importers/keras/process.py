"""The process that runs Keras: loads a model once, then answers each batch on its pipe with the outputs and asked-for layers.

Keras and its back end stay out of the process that imports. Messages are a line of JSON and arrays as .npy bytes, never
pickles. The model is loaded in safe mode and uncompiled, after the importer has refused every file that names code. Keras 3
no longer reads some spellings of Keras 1 and 2: such a model is built again (`keras.rebuilding`).

Run as: python -m sightline.compiler.importers.keras.process MODEL BACKEND
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.importers.keras.reading import read_in_process
from sightline.compiler.importers.keras.rebuilding import rebuild_model
from sightline.compiler.importers.messages import Answer, Message, answer_requests


def load(path: Path, backend: str) -> tuple[dict[str, Any], Answer]:
    """The model, ready to answer, and how it came to be."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    model, how = _load_model(path)

    def answer(head: dict[str, Any], batch: np.ndarray) -> Message:
        outputs, layers = _run(model, batch, head["layers"])
        return {"outputs": len(outputs), "layers": list(layers)}, [*outputs, *layers.values()]

    return {"how": how}, answer


def _load_model(path: Path) -> tuple[Any, str]:
    """The model, and how it came to be: "loaded", or why it had to be "rebuilt"."""
    import keras

    content, _ = read_in_process(path)
    version = content.version
    if version >= (2, 0):
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # noqa: BLE001 - Keras raises whatever its constructors do
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        else:
            _restore_old_meaning(model, version)
            return model, "loaded"
    else:
        reason = "it is a file of Keras 1"
    model = rebuild_model(content.model, content.weights)
    _restore_old_meaning(model, version)
    return model, f"rebuilt ({reason})"


def _restore_old_meaning(model: Any, version: tuple[int, int]) -> None:
    """Give hard_sigmoid the meaning it had when the file was written: Keras 3 changed the function under its name."""
    import keras

    if version >= (3, 0):
        return
    for layer in _list_all(model):
        if getattr(layer, "activation", None) is keras.activations.hard_sigmoid:
            layer.activation = _old_hard_sigmoid


def _old_hard_sigmoid(x: Any) -> Any:
    import keras

    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def _list_all(model: Any) -> list[Any]:
    layers = []
    for layer in model.layers:
        layers += _list_all(layer) if hasattr(layer, "layers") else [layer]
    return layers


def _run(model: Any, batch: np.ndarray, wanted: Sequence[str]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Outputs of a batch in Keras's layout, and the outputs of the layers asked for that are called once."""
    import keras

    with _Recorder(model, frozenset(wanted)) as recorder:
        outputs = model(batch, training=False)
    flat = keras.tree.flatten(outputs)
    layers = {path: _to_numpy(value) for path, value in recorder.found.items() if recorder.calls[path] == 1}
    return [_to_numpy(output) for output in flat], layers


def _to_numpy(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)


class _Recorder:
    """While entered, notes what each layer returns, under the path of the layers around it below the model."""

    def __init__(self, model: Any, wanted: frozenset[str]) -> None:
        self._model, self._wanted = model, wanted
        self._path: list[str] = []
        self._originals: list[tuple[Any, Callable[..., Any]]] = []
        self.found: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()

    def __enter__(self) -> "_Recorder":
        import keras

        if self._wanted:
            for owner in (keras.Layer, keras.Operation):
                original = owner.__call__
                self._originals.append((owner, original))
                owner.__call__ = self._wrap(original, skipped=keras.Layer if owner is keras.Operation else ())
        return self

    def __exit__(self, *_: object) -> None:
        for owner, original in self._originals:
            owner.__call__ = original

    def _wrap(self, original: Callable[..., Any], skipped: Any) -> Callable[..., Any]:
        """A `__call__` that notes; a Layer reaches Operation's through its own, and is noted there."""

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer is self._model or isinstance(layer, skipped):
                return original(layer, *args, **kwargs)
            self._path.append(layer.name)
            path = "/".join(self._path)
            try:
                result = original(layer, *args, **kwargs)
            finally:
                self._path.pop()
            if path in self._wanted:
                self.calls[path] += 1
                self.found[path] = result
            return result

        return call


if __name__ == "__main__":
    answer_requests(lambda: load(Path(sys.argv[1]), sys.argv[2]))
