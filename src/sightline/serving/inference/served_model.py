"""One version of a model, opened for serving: prepares pictures, infers, and hands each call its rows.

Several sessions on the same graph: for throughput one for each stream, so that threads that infer share nothing, and one that
gives all threads to a lone request. Whoever calls `execute`, a slot thread of the Device, does everything from the encoded
picture to the encoded answer: work is never handed from thread to thread, so a picture stays in one core's cache and no queue
stands in between.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sightline.core.errors import Exhausted, InvalidInput
from sightline.core.manifests import InputSpec
from sightline.imaging.heads.checks import check_decoding
from sightline.imaging.preprocessing import place_batch, place_one_by_one
from sightline.imaging.resizing import Placement
from sightline.runtime.backend import Session, SessionOptions, Tensors
from sightline.runtime.devices import runs_on_cores
from sightline.serving.inference.answering import answer_work, execute_together, prepare_work
from sightline.serving.inference.calls import Call, ServedFacts
from sightline.serving.inference.pictures import decode_pictures
from sightline.serving.inference.sessions import MOST_POOLS, OpenSession, SessionPool, open_source, open_together
from sightline.serving.inference.source import ModelSource
from sightline.serving.inference.tensor_facts import (
    NotByRows,
    check_call,
    check_range,
    check_rows,
    check_tensors,
    count_rows,
    cut_rows,
    describe_source,
    find_fixed_batch,
    fit_source,
    has_free_sizes,
    join_rows,
    list_odd_labels,
    make_blank_inputs,
    make_noise_inputs,
    pad_rows,
    tell_row_shapes,
)
from sightline.serving.scheduling.work import Laps, QueueSettings, Work

WHOLE_WARM_UP = (1, 2)  # sizes of a free first axis that is no batch: the second is planned for all others
logger = logging.getLogger("sightline.serving")


class Prepared:
    """A Work whose pictures or tensors are ready to be joined with others."""

    __slots__ = ("images", "inputs", "placements", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.images: list[np.ndarray] = []
        self.placements: list[Placement] = []
        self.inputs: Mapping[str, np.ndarray] = {}


class ServedModel:
    """A version of a model behind a queue. Executions may overlap; `page_out` and `close` wait for them.

    Args:
        source: what the repository says of it; once it was opened, `source` is that as the graph lets it run.
        all_threads: threads for a lone request.
        max_pixels: largest picture that is decoded.
        open_session: opens the graph; by default with the source's back end.
        plan_folder: as in `SessionOptions`.
    """

    def __init__(
        self,
        source: ModelSource,
        all_threads: int,
        max_pixels: int,
        open_session: OpenSession | None = None,
        plan_folder: Path | None = None,
    ) -> None:
        self.name = source.name
        self.source = source
        self._all_threads = all_threads
        self._max_pixels = max_pixels
        self._open_session = open_session or open_source
        self._plan_folder = plan_folder
        self._many: SessionPool | None = None
        self._lone: Session | None = None
        self._facts: ServedFacts | None = None
        self._idle = threading.Condition()
        self._running = 0
        self._is_suspended = False
        self._fixed_batch: int | None = None
        self._has_output_rows = True  # until an inference of several calls had outputs that cannot be shared out
        self._blank_shapes: Mapping[str, tuple[int, ...]] = {}  # of the first inference's outputs, one row of them
        self._is_decodable = False  # until that was found out

    @property
    def queue(self) -> QueueSettings:
        """How its requests wait."""
        return self.source.queue

    @property
    def facts(self) -> ServedFacts:
        """Tensors, categories and where it runs; known since it was first opened."""
        if self._facts is None:
            raise Exhausted(f"{self.name} version {self.source.version} is not opened yet; ask again in a moment")
        return self._facts

    @property
    def is_resident(self) -> bool:
        """Whether its sessions are open."""
        return self._many is not None and not self._is_suspended

    @property
    def memory_bytes(self) -> int:
        """What its open sessions hold, estimated from its files: each session packs the weights for itself."""
        return 0 if self._is_suspended else self.source.size_bytes * len(self._list_sessions())

    @property
    def plan_count(self) -> int:
        """Plans that its open sessions hold: tensors in place of pictures, or rows of a new number, may add some."""
        return sum(session.plan_count for session in self._list_sessions())

    def _list_sessions(self) -> list[Session]:
        """Those that are open, each once: the lone one may be one of the others."""
        many, lone = self._many, self._lone
        return list(dict.fromkeys((*(many.sessions if many is not None else ()), *((lone,) if lone is not None else ()))))

    def open(self) -> None:
        """Open the sessions. Blocking. Raises: SightlineError saying what is wrong with the graph."""
        source = self.source
        planned = source.planned_batches
        on_cores = runs_on_cores(source.device)
        pools = min(source.streams, MOST_POOLS) if on_cores else 1  # elsewhere a session's streams share its weights
        many = SessionOptions(
            source.precision,
            -(-source.streams // pools),  # rounded up
            source.threads,
            pixels=source.input,
            fixed_shapes=len(planned),
            plans_any_size=source.input is None or source.input.resize == "pad",
            plan_folder=self._plan_folder,
        )
        wanted = [many] * pools
        if on_cores and (source.streams > 1 or source.threads < self._all_threads):
            wanted.append(msgspec.structs.replace(many, streams=1, threads=self._all_threads, fixed_shapes=1))
        sessions = open_together(self._open_session, source, wanted)
        try:
            if self._facts is None:
                facts = describe_source(source, sessions[0])
                self.source = fit_source(source, facts)
                self._fixed_batch = find_fixed_batch(facts.inputs) if facts.is_batched else None
                self._facts = facts
                for odd in list_odd_labels(facts):
                    logger.warning("%s version %d: %s", self.name, source.version, odd)
        except BaseException:
            for session in sessions:
                session.close()
            raise
        self._lone = sessions[-1]
        with self._idle:
            self._many = SessionPool(sessions[:pools], many.streams)
        self._is_suspended = False

    def warm_up(self) -> None:
        """Infer once in every way that requests will, so that no request waits for an engine to compile. Blocking.

        All sessions at the same time, since engines compile on one thread each; those for throughput each begin with another
        size, so that one opens what another has planned and kept.

        Raises: SightlineError when the graph cannot run; InvalidInput when its outputs cannot be decoded as the source says.
        """
        planned = self._planned_batches if self.facts.is_batched else WHOLE_WARM_UP
        with self._use_sessions() as (many, lone):
            rows_of = {session: rotate(planned, number) for number, session in enumerate(many.sessions)}
            rows_of.setdefault(lone, planned[:1] if self.facts.is_batched else planned)
            with ThreadPoolExecutor(len(rows_of), thread_name_prefix="warm-up") as pool:
                list(pool.map(self._warm_up_session, rows_of.keys(), rows_of.values()))  # raises what the first failure raised
            self._look_at_rows(many.sessions[0])
        self._check_decoding()

    def _warm_up_session(self, session: Session, planned: Sequence[int]) -> None:
        for rows in planned:
            try:
                outputs = session.infer(make_blank_inputs(self.facts, rows))
                self._blank_shapes = self._blank_shapes or tell_row_shapes(outputs, rows)
                if rows > 1 and self.facts.is_batched:
                    check_rows(outputs, rows, self.facts)
            except NotByRows:
                self._has_output_rows = False
            except InvalidInput as error:
                if not has_free_sizes(self.facts):
                    raise
                # Its engine could plan it, for all sizes, when it was opened; this size may be too small for the graph.
                logger.info("%s version %d takes no input of the least size: %s", self.name, self.source.version, error)
                return

    def _check_decoding(self) -> None:
        """Raises: InvalidInput when no picture's outputs could be decoded, so that the version need not answer to show it."""
        facts, shapes = self.facts, self._blank_shapes
        if self._is_decodable or facts.input is None or facts.decode is None or not shapes:
            return
        if not (has_free_sizes(facts) and any(0 in shape for shape in shapes.values())):  # the least size may leave nothing
            check_decoding(facts.decode, shapes, facts.table)
        self._is_decodable = True

    def _look_at_rows(self, session: Session) -> None:
        """Find out by noise whether a graph that no head explains has a row of output for each that it takes.

        One that has a row for each finding may find by chance as many in zeros, which it was warmed up with.
        """
        gathering = [rows for rows in self._planned_batches if rows > 1]
        if self.facts.decode is not None or not self.facts.is_batched or not gathering:
            return
        try:
            check_rows(session.infer(make_noise_inputs(self.facts, gathering[0])), gathering[0], self.facts)
        except NotByRows:
            self._has_output_rows = False
        except InvalidInput as error:
            logger.info("%s version %d does not take noise: %s", self.name, self.source.version, error)

    def suspend(self) -> None:
        """From now on it is not resident, until `open`; executions that run go on. Never waits."""
        self._is_suspended = True

    def resume(self) -> None:
        """Take `suspend` back; nothing was closed meanwhile. Never waits."""
        self._is_suspended = False

    def page_out(self) -> None:
        """Wait for running executions and give the sessions' memory back; `open` brings them again."""
        with self._idle:
            sessions = self._list_sessions()
            self._many = self._lone = None
            self._idle.wait_for(lambda: self._running == 0)
        for session in sessions:
            session.close()

    def close(self) -> None:
        """As `page_out`, for good."""
        self.page_out()

    def check(self, call: Call) -> int:
        """Rows of a call. Raises: InvalidInput, before anything is queued, when they do not fit the graph."""
        if call.tensors is None:
            self._find_input()
        return check_call(call, self.facts)

    def execute(self, works: Sequence[Work], alone: bool) -> None:
        """Answer one batch in the calling thread. Each Work gets a result or an error; what fails spoils no other answer."""
        laps = Laps(works[0].started_s)
        prepared = [ready for work in works if (ready := prepare_work(work, self._prepare, laps)) is not None]
        for group in group_by_shape(prepared) if self._has_output_rows else [[ready] for ready in prepared]:
            self._execute_group(group, alone, laps)

    def run_pictures(self, images: Sequence[np.ndarray], alone: bool = False) -> tuple[Tensors, list[Placement]]:
        """Raw outputs for decoded pictures `uint8 (H, W, 3)` RGB, and how each lies in the network's input. Blocking."""
        spec = self._find_input()
        pixels, placements = place_batch(images, spec)
        return self._infer_rows({spec.name: pixels}, alone), placements

    def run_tensors(self, tensors: Mapping[str, np.ndarray], alone: bool = False) -> Tensors:
        """Raw outputs for tensors as the graph takes them, each row for itself. Blocking. Raises: InvalidInput."""
        check_tensors(tensors, self.facts)
        check_range(tensors, self.facts)
        return self._infer_rows(tensors, alone) if self.facts.is_batched else self._infer(tensors, alone)

    def _find_input(self) -> InputSpec:
        """How pictures are prepared. Raises: InvalidInput for a model that takes tensors alone."""
        if self.facts.input is None:
            raise InvalidInput(f"{self.name} takes tensors, got pictures; its input spec is not known: send the tensors")
        return self.facts.input

    def _prepare(self, work: Work) -> Prepared:
        """Decode and place one picture after another; whole ones are kept only where the answer needs them."""
        call: Call = work.payload
        ready = Prepared(work)
        if call.tensors is not None:
            check_range(call.tensors, self.facts)
            ready.inputs = call.tensors
            return ready
        spec = self._find_input()
        images: Iterable[np.ndarray] = decode_pictures(work, self._max_pixels)
        if call.keep_images:
            images = ready.images = list(images)
        pixels, ready.placements = place_one_by_one(images, work.rows, spec)
        ready.inputs = {spec.name: pixels}
        return ready

    def _execute_group(self, group: Sequence[Prepared], alone: bool, laps: Laps) -> None:
        """Infer several calls of one kind and shape together, and write their answers."""

        def run(some: Sequence[Prepared]) -> Tensors:
            try:
                return self._infer(join_rows([ready.inputs for ready in some]), alone)
            except NotByRows:
                self._has_output_rows &= len(some) == 1  # alone, each has all that comes out
                raise

        def answer(some: Sequence[Prepared], outputs: Tensors) -> None:
            first = 0
            for ready in some:
                end = first + ready.work.rows
                own = outputs if len(some) == 1 else cut_rows(outputs, first, end)
                answer_work(ready.work, self.facts, own, ready.placements, ready.images, laps)
                first = end

        execute_together(group, run, answer, laps)

    def _infer(self, inputs: Mapping[str, np.ndarray], alone: bool) -> Tensors:
        """Outputs for one request, or for several that gathered."""
        return self._run([inputs], alone)[0] if self._runs_whole else self._infer_rows(inputs, alone)

    def _run(self, parts: Sequence[Mapping[str, np.ndarray]], lone: bool) -> list[Tensors]:
        """Infer in one session. Args: lone: in the one of all threads."""
        with self._use_sessions() as (many, all_threads), nullcontext(all_threads) if lone else many.take() as session:
            return [session.infer(part) for part in parts]

    def _infer_rows(self, inputs: Mapping[str, np.ndarray], alone: bool) -> Tensors:
        """Outputs for rows of which none knows of the others, inferred in the numbers that the engine is prepared for."""
        rows, least = count_rows(inputs), self._planned_batches[0]
        planned = self._cut_into_planned(inputs, rows)
        parts = self._run(planned, alone and rows <= least)
        if rows > 1 or least > 1:
            for part, outputs in zip(planned, parts, strict=True):
                check_rows(outputs, count_rows(part), self.facts)
        outputs = join_rows(parts)
        return cut_rows(outputs, 0, rows) if rows % least else outputs

    @property
    def _runs_whole(self) -> bool:
        """Whether each request goes to the engine as it came: nobody said that its rows, if it has any, are independent."""
        facts = self.facts
        is_explained = facts.input is not None or facts.decode is not None
        return not (facts.is_batched and (is_explained or self.queue.max_batch > 1 or self._fixed_batch))

    @property
    def _planned_batches(self) -> tuple[int, ...]:
        """Rows that an execution may have, smallest first."""
        return (self._fixed_batch,) if self._fixed_batch else self.source.planned_batches

    def _cut_into_planned(self, inputs: Mapping[str, np.ndarray], rows: int) -> list[Mapping[str, np.ndarray]]:
        """The inputs in batches of the planned sizes, the largest first; where the batch is fixed, zeros fill it up.

        An engine plans each number of rows by itself: a plan takes seconds to make and holds its own copy of the weights, so no
        request may ask for a new one.
        """
        planned = self._planned_batches
        if rows in planned:
            return [inputs]
        firsts = [0]
        for batch in reversed(planned):
            firsts += range(firsts[-1] + batch, rows + 1, batch)
        parts: list[Mapping[str, np.ndarray]] = [
            {name: array[first:end] for name, array in inputs.items()}
            for first, end in zip(firsts, [*firsts[1:], rows], strict=True)
            if first < end
        ]
        return parts if self._fixed_batch is None else [*parts[:-1], pad_rows(parts[-1], self._fixed_batch)]

    @contextmanager
    def _use_sessions(self) -> Iterator[tuple[SessionPool, Session]]:
        with self._idle:
            many, lone = self._many, self._lone
            if many is None or lone is None:
                raise Exhausted(f"{self.name} version {self.source.version} was paged out meanwhile; send the request again")
            self._running += 1
        try:
            yield many, lone
        finally:
            with self._idle:
                self._running -= 1
                if self._running == 0:
                    self._idle.notify_all()


def rotate(values: Sequence[int], places: int) -> Sequence[int]:
    """The values from a later one on, then those before it."""
    first = places % len(values)
    return (*values[first:], *values[:first])


def group_by_shape(prepared: Sequence[Prepared]) -> list[list[Prepared]]:
    """Calls whose inputs are the same but for their rows: pictures and tensors differ in type, pictures of any size in that."""
    groups: dict[tuple[Any, ...], list[Prepared]] = {}
    for ready in prepared:
        kind = tuple((name, array.dtype, array.shape[1:]) for name, array in sorted(ready.inputs.items()))
        groups.setdefault(kind, []).append(ready)
    return list(groups.values())
