"""One opened version: which session runs what, how rows are joined and cut, and what happens to those that fail."""

import threading
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from sightline.core.errors import Exhausted, ImageTooLarge, InvalidInput, SightlineError
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.imaging.files.reading import decode_image
from sightline.runtime.backend import LayerRow, SessionOptions, Tensors, TensorType
from sightline.serving.http.metrics import Metrics
from sightline.serving.inference.calls import Call, Inferred, ServedFacts, Upload
from sightline.serving.inference.served_model import ServedModel
from sightline.serving.inference.source import ModelSource
from sightline.serving.scheduling.work import QueueSettings, Work
from sightline.serving.v2.statistics import Statistics

PIXELS = InputSpec(name="images", width=4, height=4, mean=(0.0,) * 3, std=(1.0,) * 3, resize="stretch")


class MeanSession:
    """Gives the mean of each row, and remembers how many rows each inference had, also in a log that it shares."""

    plan_count = 1

    def __init__(self, options: SessionOptions, batch: int = -1, log: list[tuple[int, int]] | None = None) -> None:
        self.options = options
        self.batch = batch
        self.input_names, self.output_names = ("images",), ("mean",)
        self.inferred: list[int] = []
        self.log = [] if log is None else log
        self.is_closed = False
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def describe_tensors(self) -> tuple[tuple[TensorType, ...], tuple[TensorType, ...]]:
        pictures = TensorType(name="images", dtype="float32", shape=(self.batch, 3, 4, 4))
        return (pictures,), (TensorType(name="mean", dtype="float32", shape=(self.batch, 1)),)

    def infer(self, inputs: Mapping[str, np.ndarray]) -> Tensors:
        (array,) = inputs.values()
        self.inferred.append(len(array))
        self.log.append((self.options.threads, len(array)))
        self.entered.set()
        assert self.gate.wait(20)
        if (array == 13).any():
            raise InvalidInput("13 is unlucky; send another number")
        if (array == 99).any():
            raise MemoryError
        return {"mean": array.reshape(len(array), -1).mean(axis=1, keepdims=True, dtype=np.float32)}

    def stream(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> Generator[Tensors, None, None]:
        yield from map(self.infer, inputs)

    def layers(self) -> list[LayerRow]:
        return []

    def close(self) -> None:
        self.is_closed = True


class Opened:
    """A served model over MeanSessions: of one thread, and `lone`, of two."""

    def __init__(self, batch: int = 1, graph_batch: int = -1, **source: object) -> None:
        self.sessions: list[MeanSession] = []
        self.log: list[tuple[int, int]] = []
        fields = {"streams": 1, "threads": 1, "input": PIXELS, "batch": batch, **source}
        known = ModelSource(name="m", version=1, graph=Path("m.onnx"), engine="none", precision="fp32", **fields)  # type: ignore[arg-type]

        def open_session(_: ModelSource, options: SessionOptions) -> MeanSession:
            session = MeanSession(options, graph_batch, self.log)
            self.sessions.append(session)
            return session

        self.model = ServedModel(known, all_threads=2, max_pixels=1000, open_session=open_session)
        self.model.open()

    @property
    def rows(self) -> list[int]:
        """Rows of the inferences on one thread, in their order."""
        return [rows for threads, rows in self.log if threads == 1]

    @property
    def many(self) -> MeanSession:
        """The session for single rows, where no others are on one thread."""
        (session,) = (session for session in self.sessions if session.options.threads == 1)
        return session

    @property
    def lone(self) -> MeanSession:
        return next(session for session in reversed(self.sessions) if session.options.threads == 2)


def make_png(value: int, side: int = 8) -> bytes:
    return bytes(cv2.imencode(".png", np.full((side, side, 3), value, np.uint8))[1])


def tell_mean(facts: ServedFacts, inferred: Inferred) -> list[float]:
    return [float(value) for value in inferred.outputs["mean"][:, 0]]


def make_work(model: ServedModel, done: list[Work], **call: object) -> Work:
    asked = Call(model="m", write_answer=tell_mean, **call)  # type: ignore[arg-type]
    return Work(model, asked, done.append, rows=model.check(asked))


def picture(*values: int) -> dict[str, object]:
    return {"pictures": tuple(Upload(f"p{value}", make_png(value)) for value in values)}


def test_each_call_gets_its_own_rows_of_a_batch() -> None:
    opened, done = Opened(batch=4), []
    works = [make_work(opened.model, done, **picture(*values)) for values in ((10,), (20, 30), (40,))]
    opened.model.execute(works, alone=False)
    assert [work.result for work in works] == [[10.0], [20.0, 30.0], [40.0]]
    assert opened.rows == [4]
    assert done == works


def test_a_lone_request_has_all_threads_and_others_one_each() -> None:
    opened = Opened()
    assert (opened.lone.options.streams, opened.lone.options.threads) == (1, 2)
    opened.model.execute([make_work(opened.model, [], **picture(7))], alone=True)
    assert (opened.many.inferred, opened.lone.inferred) == ([], [1])


@pytest.mark.parametrize(("rows", "planned"), [(1, [1]), (4, [4]), (3, [1, 1, 1]), (9, [4, 4, 1]), (8, [4, 4])])
@pytest.mark.parametrize("alone", [True, False])
def test_no_request_makes_an_engine_plan_a_new_number_of_rows(rows: int, planned: list[int], alone: bool) -> None:
    opened = Opened(batch=4)
    values = list(range(100, 100 + rows))
    work = make_work(opened.model, [], **picture(*values))
    opened.model.execute([work], alone)
    assert work.result == [float(value) for value in values]
    assert opened.rows + opened.lone.inferred == planned


def test_each_thread_that_infers_has_a_session_of_its_own() -> None:
    opened = Opened(streams=2)
    first, second = (session for session in opened.sessions if session.options.threads == 1)
    works = [make_work(opened.model, [], **picture(value)) for value in (1, 2)]
    first.gate.clear()
    second.gate.clear()
    threads = [threading.Thread(target=opened.model.execute, args=([work], False)) for work in works]
    for thread in threads:
        thread.start()
    assert first.entered.wait(20) and second.entered.wait(20)
    first.gate.set()
    second.gate.set()
    for thread in threads:
        thread.join(20)
    assert [work.result for work in works] == [[1.0], [2.0]]


@pytest.mark.parametrize(("streams", "each"), [(4, 1), (6, 2), (16, 4)])
def test_many_streams_share_a_few_sessions_and_none_is_lost(streams: int, each: int) -> None:
    opened = Opened(streams=streams)
    assert [session.options.streams for session in opened.sessions if session.options.threads == 1] == [each] * 4


@pytest.mark.parametrize(("device", "sessions"), [("cpu", 3), ("hetero:fpga-emulator,cpu", 3), ("cuda", 1)])
def test_a_gpu_holds_the_weights_once(device: str, sessions: int) -> None:
    assert len(Opened(streams=2, device=device).sessions) == sessions


def test_a_session_that_cannot_be_opened_closes_those_that_were() -> None:
    sessions: list[MeanSession] = []

    def open_session(_: ModelSource, options: SessionOptions) -> MeanSession:
        if options.threads == 2:
            raise InvalidInput("no room for two threads; use one")
        sessions.append(MeanSession(options))
        return sessions[-1]

    source = ModelSource(name="m", version=1, graph=Path("m.onnx"), engine="none", precision="fp32", streams=2, threads=1)
    model = ServedModel(source, all_threads=2, max_pixels=1000, open_session=open_session)
    with pytest.raises(InvalidInput, match="no room"):
        model.open()
    assert len(sessions) == 2 and all(session.is_closed for session in sessions)
    assert not model.is_resident


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_graph_of_a_fixed_batch_gets_it_whole(rows: int, alone: bool) -> None:
    opened = Opened(graph_batch=3)
    values = list(range(100, 100 + rows))
    work = make_work(opened.model, [], **picture(*values))
    opened.model.execute([work], alone)
    assert work.result == [float(value) for value in values]  # without the rows that were only filled up
    assert (opened.many.inferred, opened.lone.inferred) == (([], [3]) if alone else ([3], []))
    with pytest.raises(InvalidInput, match="1 to 3 rows"):
        make_work(opened.model, [], **picture(1, 2, 3, 4))


def test_an_engine_is_prepared_for_the_batches_that_gather_and_for_few_of_them() -> None:
    queue = QueueSettings(max_batch=8, preferred_batches=(6, 5, 3, 2))
    opened = Opened(batch=1, queue=queue)
    assert opened.model.queue.planned_batches == (1, 5, 6, 8)  # each holds the weights once more, so the largest
    assert [session.options.fixed_shapes for session in opened.sessions] == [4, 1]
    opened.model.warm_up()
    assert opened.rows == [1, 5, 6, 8, 5]  # the last with noise
    opened.model.execute([make_work(opened.model, [], **picture(*range(100, 115)))], alone=False)
    assert opened.rows[5:] == [8, 6, 1]


def test_requests_gather_to_a_fixed_batch_and_to_nothing_else() -> None:
    queue = QueueSettings(max_batch=8, preferred_batches=(8, 2), max_queue_delay_s=0.01)
    opened = Opened(batch=8, graph_batch=3, queue=queue)
    assert opened.model.queue == QueueSettings(max_batch=3, preferred_batches=(2,), max_queue_delay_s=0.01)
    works = [make_work(opened.model, [], **picture(*values)) for values in ((10, 20), (30, 40), (50,))]
    opened.model.execute(works, alone=False)  # more than fits, as when one is larger than what was asked for
    assert [work.result for work in works] == [[10.0, 20.0], [30.0, 40.0], [50.0]]
    assert opened.rows == [3, 3]
    opened = Opened(batch=8, graph_batch=3, queue=queue)
    opened.model.warm_up()
    assert set(opened.rows + opened.lone.inferred) == {3}


def test_one_bad_picture_fails_alone() -> None:
    opened, done = Opened(batch=4), []
    bad = make_work(opened.model, done, pictures=(Upload("note.txt", b"no picture"),))
    good = make_work(opened.model, done, **picture(5))
    opened.model.execute([bad, good], alone=False)
    assert isinstance(bad.error, InvalidInput) and "note.txt" in str(bad.error)
    assert good.result == [5.0]


def test_a_failed_execution_gives_every_work_an_error_of_its_own() -> None:
    opened, done = Opened(batch=4), []
    works = [make_work(opened.model, done, **picture(value)) for value in (13, 13)]
    opened.model.execute(works, alone=False)
    assert all(isinstance(work.error, InvalidInput) for work in works)
    assert works[0].error is not works[1].error


def test_a_defect_in_preparing_one_request_spoils_no_other_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened, done = Opened(batch=4), []
    works = [make_work(opened.model, done, **picture(value)) for value in (1, 2, 3)]

    def decode(content: bytes, max_pixels: int, name: str) -> np.ndarray:
        if name == "p1":
            raise cv2.error("no such size")
        if name == "p3":
            raise MemoryError
        return decode_image(content, max_pixels, name)

    monkeypatch.setattr("sightline.serving.inference.pictures.decode_image", decode)
    opened.model.execute(works, alone=False)
    assert [type(work.error).__name__ for work in works] == ["RuntimeError", "NoneType", "RuntimeError"]
    assert works[1].result == [2.0]
    assert "no such size" in caplog.text and "no such size" not in str(works[0].error)


def test_a_defect_in_writing_one_answer_spoils_no_other(caplog: pytest.LogCaptureFixture) -> None:
    opened, done = Opened(batch=4), []
    works = [make_work(opened.model, done, **picture(value)) for value in (1, 2, 3)]

    def fail(facts: ServedFacts, inferred: Inferred) -> list[float]:
        raise ZeroDivisionError("a size of 0")

    works[1].payload = msgspec.structs.replace(works[1].payload, write_answer=fail)
    opened.model.execute(works, alone=False)
    assert [work.result for work in works] == [[1.0], None, [3.0]]
    assert isinstance(works[1].error, RuntimeError) and "a size of 0" in caplog.text
    assert done == works  # each was told once


@pytest.mark.parametrize(("value", "error"), [(13, InvalidInput), (99, RuntimeError)])
def test_what_cannot_be_inferred_fails_alone_whoever_it_was_gathered_with(value: int, error: type[Exception]) -> None:
    opened, done = Opened(batch=4), []
    pictures = [make_work(opened.model, done, **picture(one)) for one in (value, 5, value)]
    tensors = make_work(opened.model, done, tensors={"images": np.full((1, 3, 4, 4), 7, np.float32)})
    opened.model.execute([*pictures, tensors], alone=False)
    assert isinstance(pictures[0].error, error) and isinstance(pictures[2].error, error)
    assert pictures[0].error is not pictures[2].error
    assert (pictures[1].result, tensors.result) == ([5.0], [7.0])
    assert [work.execution is None for work in pictures] == [True, False, True]


def test_pictures_and_tensors_of_one_batch_are_inferred_apart() -> None:
    opened = Opened(batch=4)
    tensor = np.full((1, 3, 4, 4), 2.5, np.float32)
    works = [make_work(opened.model, [], **picture(9)), make_work(opened.model, [], tensors={"images": tensor})]
    opened.model.execute(works, alone=False)
    assert [work.result for work in works] == [[9.0], [2.5]]


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"other": np.zeros((1, 3, 4, 4), np.float32)},
        {"images": np.zeros((1, 3, 4, 4), np.float64)},
        {"images": np.zeros((1, 3, 5, 4), np.float32)},
        {"images": np.zeros((3, 4, 4), np.float32)},
        {"images": np.zeros((0, 3, 4, 4), np.float32)},
        {"images": np.zeros((65, 3, 4, 4), np.float32)},
    ],
)
def test_tensors_that_do_not_fit_are_refused_before_they_wait(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(InvalidInput):
        make_work(Opened().model, [], tensors=tensors)


def test_a_picture_above_the_limit_is_refused_before_it_is_decoded() -> None:
    opened = Opened()
    work = make_work(opened.model, [], pictures=(Upload("large", make_png(1, side=40)),))
    opened.model.execute([work], alone=False)
    assert isinstance(work.error, SightlineError) and "1,000 pixels" in str(work.error)


def test_a_cancelled_work_is_not_prepared() -> None:
    opened, done = Opened(), []
    work = make_work(opened.model, done, **picture(1))
    work.is_cancelled = True
    opened.model.execute([work], alone=False)
    assert (done, opened.many.inferred) == ([], [])


@pytest.mark.parametrize("graph_batch", [-1, 3])
def test_outputs_that_cannot_be_decoded_are_found_out_before_a_request_comes(graph_batch: int) -> None:
    softmax = DecodeSpec(head="softmax", outputs=("mean",))
    for decode, categories in ((softmax, ("a", "b")), (msgspec.structs.replace(softmax, head="yolo"), ("a",))):
        opened = Opened(batch=4, graph_batch=graph_batch, decode=decode, categories=categories, task="classification")
        with pytest.raises(InvalidInput, match=f"the head {decode.head} does not fit the graph"):
            opened.model.warm_up()
    opened = Opened(batch=4, graph_batch=graph_batch, decode=softmax, categories=("a",), task="classification")
    opened.model.warm_up()


def test_warming_up_meets_every_number_of_rows_that_requests_will() -> None:
    opened = Opened(batch=4)
    opened.model.warm_up()
    assert (opened.rows, opened.lone.inferred) == ([1, 4, 4], [1])  # the last with noise


def test_each_session_begins_its_warm_up_with_another_number_of_rows() -> None:
    opened = Opened(batch=8, streams=2)
    opened.model.warm_up()
    first, second = (session.inferred for session in opened.sessions if session.options.threads == 1)
    assert first == [1, 4, 8, 4]  # the last with noise
    assert second == [4, 8, 1]


def test_paging_out_waits_for_what_runs_and_opening_brings_it_back() -> None:
    opened = Opened()
    running, many = make_work(opened.model, [], **picture(3)), opened.many
    many.gate.clear()
    execution = threading.Thread(target=opened.model.execute, args=([running], False))
    execution.start()
    assert many.entered.wait(20)
    assert opened.model.plan_count == 2
    opened.model.suspend()
    assert not opened.model.is_resident
    paging = threading.Thread(target=opened.model.page_out)
    paging.start()
    assert not many.is_closed
    many.gate.set()
    execution.join(20)
    paging.join(20)
    assert running.result == [3.0]
    assert many.is_closed and opened.model.memory_bytes == opened.model.plan_count == 0
    late = make_work(opened.model, [], **picture(4))
    opened.model.execute([late], alone=False)
    assert isinstance(late.error, Exhausted)
    opened.model.open()
    again = make_work(opened.model, [], **picture(4))
    opened.model.execute([again], alone=False)
    assert opened.model.is_resident and again.result == [4.0]


def test_facts_speak_the_protocols_words() -> None:
    facts = Opened(categories=("a",), largest_request=8).model.facts
    assert facts.inputs[0].datatype == "FP32" and facts.inputs[0].shape == (-1, 3, 4, 4)
    assert facts.max_batch == 8
    with pytest.raises(InvalidInput, match="input spec names 'pictures'"):
        Opened(input=InputSpec(name="pictures", width=4, height=4))


def count_all(*works: Work) -> tuple[Statistics, Metrics]:
    """Both observers, told of works as the service tells them."""
    statistics, metrics = Statistics(), Metrics()
    for work in works:
        work.claim_execution()
        statistics(work, work.executable.facts)  # type: ignore[attr-defined]
        metrics.observe(work, work.executable.facts)  # type: ignore[attr-defined]
    return statistics, metrics


def test_an_execution_counts_its_inferred_rows_once_whoever_failed_or_left() -> None:
    """The first work of the batch has gone and the second is no picture; after the inference the third goes, too."""
    opened, done = Opened(batch=8), []
    bad = {"pictures": (Upload("note.txt", b"no picture"),)}
    works = [make_work(opened.model, done, **call) for call in (picture(1), bad, picture(2, 3), picture(4))]
    works[0].is_cancelled = True
    opened.model.execute(works, alone=False)
    works[2].is_cancelled = True
    statistics, metrics = count_all(*works)
    counted = statistics.read("m", 1)
    assert sum(sum(session.inferred) for session in opened.sessions) == 3
    assert (counted.execution_count, counted.inference_count, counted.inference_stats.success.count) == (1, 3, 1)
    assert [(batch.batch_size, batch.compute_infer.count) for batch in counted.batch_stats] == [(3, 1)]
    text = metrics.take_numbers().write_text().decode()
    assert 'nv_inference_exec_count{model="m",version="1"} 1.0' in text
    assert 'nv_inference_count{model="m",version="1"} 3.0' in text


def test_what_was_never_inferred_is_no_execution() -> None:
    opened, done = Opened(batch=4), []
    unlucky = [make_work(opened.model, done, **picture(13)) for _ in range(2)]
    opened.model.execute(unlucky, alone=False)
    statistics, metrics = count_all(*unlucky)
    counted = statistics.read("m", 1)
    assert (counted.execution_count, counted.inference_count, counted.batch_stats) == (0, 0, [])
    assert 'nv_inference_exec_count{model="m",version="1"} 0.0' in metrics.take_numbers().write_text().decode()


class Clock:
    """Stands still but for what is done: whoever takes time puts it on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def test_a_request_has_its_own_time_of_decoding_and_writing_and_the_inference_it_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Decoding the picture N takes N s, and one that is broken 100 s; inference 4 s a row, writing 0.5 s."""
    clock, opened, done = Clock(), Opened(batch=8), []
    monkeypatch.setattr("sightline.serving.scheduling.work.time", clock)

    def decode(content: bytes, max_pixels: int, name: str) -> np.ndarray:
        clock.now_s += 100 if name == "note.txt" else int(name[1:])
        return decode_image(content, max_pixels, name)

    def infer(inputs: Mapping[str, np.ndarray]) -> Tensors:
        rows = len(inputs["images"])
        clock.now_s += 4 * rows
        return {"mean": np.zeros((rows, 1), np.float32)}

    def write(facts: ServedFacts, inferred: Inferred) -> tuple[float, float]:
        clock.now_s += 0.5
        return inferred.decode_s, inferred.infer_s

    monkeypatch.setattr("sightline.serving.inference.pictures.decode_image", decode)
    for session in opened.sessions:
        monkeypatch.setattr(session, "infer", infer)
    broken = {"pictures": (Upload("note.txt", b"no picture"),)}
    tensors = {"tensors": {"images": np.zeros((1, 3, 4, 4), np.float32)}}
    works = [make_work(opened.model, done, **call) for call in (picture(1), broken, picture(2, 3), tensors)]
    for work in works:
        work.payload = msgspec.structs.replace(work.payload, write_answer=write)
        work.enqueued_s, work.started_s = 99.0, clock.now_s
    opened.model.execute(works, alone=False)
    answered = [works[0], works[2], works[3]]
    assert [work.result for work in answered] == [(1.0, 12.0), (5.0, 12.0), (0.0, 4.0)]
    assert [work.output_s for work in answered] == [0.5, 0.5, 0.5]
    counted = count_all(*works)[0].read("m", 1)
    one, three = counted.batch_stats  # the tensors by themselves, three pictures together
    assert [one.compute_input.ns, one.compute_infer.ns, one.compute_output.ns] == [0, 4 * 10**9, 5 * 10**8]
    assert [three.compute_input.ns, three.compute_infer.ns, three.compute_output.ns] == [6 * 10**9, 12 * 10**9, 10**9]


def test_a_request_whose_caller_goes_while_it_is_decoded_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, done = Opened(batch=4), []
    leaving, staying = (make_work(opened.model, done, **picture(*values)) for values in ((1, 2, 3), (4,)))
    decoded = []

    def decode(content: bytes, max_pixels: int, name: str) -> np.ndarray:
        decoded.append(name)
        leaving.is_cancelled = True
        return decode_image(content, max_pixels, name)

    monkeypatch.setattr("sightline.serving.inference.pictures.decode_image", decode)
    opened.model.execute([leaving, staying], alone=False)
    assert decoded == ["p1", "p4"]
    assert done == [staying] and staying.result == [4.0]


def test_pictures_that_are_too_large_together_spoil_no_other_answer() -> None:
    opened, done = Opened(batch=8), []
    heavy = {"pictures": tuple(Upload("p", make_png(1, side=30)) for _ in range(5))}  # 4500 of 4 x 1000 pixels
    works = [make_work(opened.model, done, **call) for call in (heavy, picture(4))]
    opened.model.execute(works, alone=False)
    assert isinstance(works[0].error, ImageTooLarge) and works[1].result == [4.0]
