"""An ONNX file as ONNX Runtime runs it with every optimisation off: the source an imported graph is compared with.

A file that fixes its batch is run so many pictures at a time; a part that is not full is filled up with its last picture.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from sightline.compiler.graphs import expose_tensors
from sightline.compiler.importers.onnx.forms import drop_dead_nodes, drop_unread_inputs, name_nodes, open_unoptimised
from sightline.compiler.importers.onnx.reading import one_line
from sightline.core.errors import InvalidInput
from sightline.runtime.backends.onnxruntime import NUMPY_TYPES, find_engine_errors

NEWEST_RUN_IR = 11  # ONNX Runtime 1.31 reads up to 13; the IR version changes nothing in what a graph means


class OnnxSource:
    """The file's own graph.

    Args:
        model: as read from the file; it is kept, not copied.
        input_name: of the picture.
        batch: what the file fixes it to, None for any.
        rows: shape of one picture's row in each output of the imported graph, by name; the file may write it in another form.
    """

    is_own_framework = True  # ONNX Runtime with nothing optimised is what defines ONNX here

    def __init__(self, model: onnx.ModelProto, input_name: str, batch: int | None, rows: Mapping[str, tuple[int, ...]]) -> None:
        import onnxruntime

        self.engine = f"onnxruntime {onnxruntime.__version__} (unoptimised)"
        self._model = model
        self._input_name, self._batch, self._rows = input_name, batch, dict(rows)
        self._session: Any = None

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs `(N, ...)` float32 for a batch laid out as the graph's input. Raises: InvalidInput."""
        if self._session is None:
            self._session = self._open(self._rows)
        parts = self._run_parts(self._session, batch, self._rows)
        return {name: self._as_rows(name, pieces)[: len(batch)] for name, pieces in parts.items()}

    def run_layers(self, batch: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Tensors of these names as the file computes them; those it lacks, or without a row for each picture, are left out."""
        known = {name for node in self._model.graph.node for name in node.output}
        wanted = [name for name in dict.fromkeys(names) if name in known]
        if not wanted:
            return {}
        parts = self._run_parts(self._open(wanted), batch, wanted)
        whole = self._batch is None or len(batch) == self._batch
        found = {}
        for name, pieces in parts.items():
            if whole or all(piece.shape[:1] == (self._batch,) for piece in pieces):
                tensor = np.concatenate(pieces)[: len(batch)] if not whole else pieces[0]
                found[name] = tensor.astype(np.float32, copy=False)
        return found

    def close(self) -> None:
        """Free the session and the file's weights."""
        del self._session, self._model

    def _open(self, outputs: Sequence[str] | Mapping[str, object]) -> Any:
        """A session that ends at these tensors and asks for the picture alone; its nodes may share names in the file."""
        shown = expose_tensors(self._model, outputs, keep_outputs=True)
        wanted = [value for value in shown.graph.output if value.name in outputs]
        del shown.graph.output[:]
        shown.graph.output.extend(wanted)
        drop_dead_nodes(shown)
        drop_unread_inputs(shown)
        name_nodes(shown)
        shown.ir_version = min(self._model.ir_version, NEWEST_RUN_IR)
        try:
            return open_unoptimised(shown)
        except find_engine_errors() as error:
            raise InvalidInput(f"ONNX Runtime cannot run the file as it is: {one_line(error)}; export it in float32") from error

    def _run_parts(
        self, session: Any, batch: np.ndarray, names: Sequence[str] | Mapping[str, object]
    ) -> dict[str, list[np.ndarray]]:
        kind = next(value.type for value in session.get_inputs() if value.name == self._input_name)
        wanted: Any = np.float64 if kind == "tensor(double)" else NUMPY_TYPES.get(kind) or np.float32
        converted: np.ndarray[Any, Any] = batch.astype(wanted)
        size = self._batch or max(len(batch), 1)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for start in range(0, len(batch), size):
            part = converted[start : start + size]
            filled = np.concatenate([part, part[-1:].repeat(size - len(part), axis=0)])
            try:
                outputs = session.run(list(names), {self._input_name: filled})
            except find_engine_errors() as error:
                raise InvalidInput(f"the network's own file does not run on these pictures: {one_line(error)}") from error
            for name, output in zip(names, outputs, strict=True):
                parts[name].append(output)
        return parts

    def _as_rows(self, name: str, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([part.reshape(-1, *self._rows[name]) for part in parts]).astype(np.float32, copy=False)
