"""The process that runs TensorFlow: loads a network once, then answers each batch on its pipe with the tensors asked for.

TensorFlow's threads and memory stay out of the process that imports. Messages are a line of JSON and arrays as .npy bytes,
never pickles. Variables are turned into constants and functions are unfolded, so that any tensor can be asked for by its name.

Run as: python -m sightline.compiler.importers.tensorflow.process NETWORK [SIGNATURE]
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightline.compiler.importers.messages import Answer, answer_requests


class Network:
    """A frozen graph in TensorFlow: one input, and tensors by name."""

    def __init__(self, function: Any, inputs: Sequence[Any], outputs: Mapping[str, Any]) -> None:
        self._function, self._outputs = function, outputs
        (self._input,) = inputs
        self._names = [operation.name for operation in function.graph.get_operations()]

    def run(self, batch: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """The tensors of these names for a batch in TensorFlow's layout; a graph of fixed batch gets it in pieces."""
        import tensorflow as tf

        pruned = self._function.prune(self._input, [self._find(name) for name in names])
        fixed = self._input.shape[0] if self._input.shape.rank else None
        step = len(batch) if fixed is None else int(fixed)
        parts = [
            [np.asarray(value) for value in pruned(tf.constant(batch[start : start + step], self._input.dtype))]
            for start in range(0, len(batch), step)
        ]
        return [np.concatenate(pieces).astype(np.float32) for pieces in zip(*parts, strict=True)]

    def _find(self, name: str) -> Any:
        """A tensor: an output of the signature, an operation's first output, or "operation:1"; also inside one function."""
        if name in self._outputs:
            return self._outputs[name]
        operation, _, number = name.partition(":")
        found = [operation] if operation in self._names else [one for one in self._names if one.endswith(f"/{operation}")]
        if len(found) != 1:
            raise ValueError(f"{len(found)} tensors are named {name}")
        return self._function.graph.get_tensor_by_name(f"{found[0]}:{number or 0}")


def load(path: Path, signature: str) -> tuple[dict[str, Any], Answer]:
    """The network, ready to answer."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    network = _load_saved_model(path, signature) if path.is_dir() else _load_frozen(path)
    return {}, lambda head, batch: ({}, network.run(batch, head["names"]))


def _load_saved_model(path: Path, signature: str) -> Network:
    """By the loader of TensorFlow 1, which restores the variables and leaves Python objects (optimisers, layers) alone."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        stated = tf.compat.v1.saved_model.load(session, ["serve"], str(path)).signature_def[signature]
        names = sorted(stated.outputs)
        tensors = [stated.outputs[name].name for name in names]
        definition = convert_to_constants.convert_variables_to_constants_from_session_graph(
            session, session.graph.as_graph_def(), [tensor.partition(":")[0] for tensor in tensors]
        )
    function = _wrap(definition)
    find = function.graph.get_tensor_by_name
    pruned = function.prune([find(one.name) for one in stated.inputs.values()], [find(tensor) for tensor in tensors])
    unfolded = convert_to_constants.convert_variables_to_constants_v2(pruned)
    return Network(unfolded, unfolded.inputs, dict(zip(names, unfolded.outputs, strict=True)))


def _load_frozen(path: Path) -> Network:
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(path.read_bytes())
    function = _wrap(definition)
    inputs = [operation.outputs[0] for operation in function.graph.get_operations() if operation.type == "Placeholder"]
    return Network(function, inputs, {})


def _wrap(definition: Any) -> Any:
    """A graph as a function that can be cut to any tensors."""
    import tensorflow as tf

    return tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])


if __name__ == "__main__":
    answer_requests(lambda: load(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
