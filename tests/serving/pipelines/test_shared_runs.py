"""Requests that run through a pipeline together: neither a defect on one nor its time is put on another."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pipeline_fakes import (
    SQUARES,
    ZOO,
    make_breeds,
    make_detector,
    make_work,
    open_pipeline,
    paint,
    read_annotations,
    run_beside_one_that_fails,
)

from sightline.serving.inference.pictures import decode_pictures
from sightline.serving.scheduling.work import Work


def test_a_defect_on_one_picture_spoils_no_other_answer(caplog: pytest.LogCaptureFixture) -> None:
    works = run_beside_one_that_fails(MemoryError("red is too large"))
    assert isinstance(works[1].error, RuntimeError) and "red is too large" in caplog.text
    assert [len(work.result[0]) for work in (works[0], works[2])] == [3, 1]


def test_a_defect_in_decoding_or_writing_spoils_no_other_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(facts: Any, inferred: Any) -> Any:
        raise ZeroDivisionError

    def decode(work: Work, max_pixels: int) -> Iterator[np.ndarray]:
        if work is works[0]:
            raise MemoryError
        yield from decode_pictures(work, max_pixels)

    monkeypatch.setattr("sightline.serving.pipelines.pipeline_model.decode_pictures", decode)
    model = open_pipeline(ZOO, make_detector(), make_breeds())
    works = [make_work(model, write, images=(paint(60, 40, SQUARES),)) for write in (read_annotations, fail, read_annotations)]
    model.execute(works, alone=False)
    assert [type(work.error).__name__ for work in works] == ["RuntimeError", "RuntimeError", "NoneType"]
    assert len(works[2].result[0]) == 3


def test_a_request_has_its_own_time_of_decoding_and_writing_and_the_run_it_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding a request takes 1 s, all steps together 8 s, writing an answer 0.5 s."""
    now_s = [100.0]
    monkeypatch.setattr("sightline.serving.scheduling.work.time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def decode(work: Work, max_pixels: int) -> Iterator[np.ndarray]:
        now_s[0] += 1
        yield from decode_pictures(work, max_pixels)

    def run_slowly(images: Any) -> Any:
        now_s[0] += 8
        return real(images)

    def write(facts: Any, inferred: Any) -> Any:
        now_s[0] += 0.5
        return inferred.decode_s, inferred.infer_s

    monkeypatch.setattr("sightline.serving.pipelines.pipeline_model.decode_pictures", decode)
    detector = make_detector()
    real, detector._run = detector._run, run_slowly
    model = open_pipeline(ZOO, detector, make_breeds())
    works = [make_work(model, write, images=(paint(60, 40, SQUARES),)) for _ in range(3)]
    for work in works:
        work.started_s = now_s[0]
    model.execute(works, alone=False)
    assert [work.result for work in works] == [(1.0, 8.0)] * 3
    assert [work.output_s for work in works] == [0.5] * 3
