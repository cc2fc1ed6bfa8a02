"""What the repository says of one version of a model: everything needed to open it, and nothing opened yet."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from sightline.core.manifests import DecodeSpec, InputSpec, Precision, Task
from sightline.serving.scheduling.work import QueueSettings

LARGEST_REQUEST = 64  # rows, where nobody says
# Rows that gather, where nobody says; so many of an Artifact tuned for more. With 64 clients INT8 mobilenet_v3_large does 1.08
# times as many pictures/s in eights as in fours, with 16 as many; eight are taken only where the other slots find as many.
GATHERED_ROWS = 8
FEW_ROWS = 4  # the engine is prepared for so many too, and for half of the most, for times when less waits
MOST_PLANNED = 4  # numbers of rows that an engine is prepared for, since each plan holds its own copy of the weights


class ModelSource(msgspec.Struct, frozen=True, kw_only=True):
    """A version's folder as read: an Artifact, or a plain graph file with a configuration.

    Attributes:
        name, version: in the repository.
        graph: the file that the engine opens.
        engine, precision, streams, threads, device: how it runs; of an Artifact as it was tuned.
        batch: rows that one execution should have for throughput.
        largest_request: rows of one request, where the graph's batch is free.
        is_batched: the first axis of tensors may be the batch; False: requests pass through whole, each alone.
        task, categories, input, decode: the Model's; "raw", (), None, None for a graph of which only tensors are known.
        labels: output name -> what its classes are called, by index; plain text, of which there may be fewer, or some twice.
        queue: how its requests wait.
        model_id, artifact_id: of the folders it was made from; "" for a plain graph file.
        size_bytes: of the files together.
    """

    name: str
    version: int
    graph: Path
    engine: str
    precision: Precision
    streams: int
    threads: int
    device: str = "cpu"
    batch: int = 1
    largest_request: int = LARGEST_REQUEST
    is_batched: bool = True
    task: Task = "raw"
    categories: tuple[str, ...] = ()
    input: InputSpec | None = None
    decode: DecodeSpec | None = None
    labels: Mapping[str, tuple[str, ...]] = {}
    queue: QueueSettings = QueueSettings()
    model_id: str = ""
    artifact_id: str = ""
    size_bytes: int = 0

    @property
    def planned_batches(self) -> tuple[int, ...]:
        """Rows that a graph with a free batch is prepared for, smallest first: 1, those that gather, and steps to them.

        A model whose requests are not gathered is prepared for the tuned number, since a request may have many rows.
        """
        most, preferred = self.queue.max_batch, self.queue.preferred_batches
        largest = most if most > 1 else self.batch
        steps = preferred or {rows for rows in (FEW_ROWS, largest // 2) if FEW_ROWS <= rows < largest}
        wanted = sorted({largest, *steps} - {1}, reverse=True)
        return (1, *reversed(wanted[: MOST_PLANNED - 1]))
