"""A request's way on a slot thread: it is prepared, inferred with others, its answer is written, and its caller told."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from sightline.core.errors import SightlineError
from sightline.imaging.resizing import Placement
from sightline.serving.inference.calls import Call, Inferred, ServedFacts
from sightline.serving.scheduling.work import Laps, Work, fail_works, share_execution

logger = logging.getLogger("sightline.serving")


class Ready(Protocol):
    """A Work that is prepared to be inferred."""

    @property
    def work(self) -> Work:
        """Whose."""


R = TypeVar("R", bound=Ready)
Inputs = TypeVar("Inputs")
Outputs = TypeVar("Outputs")


def prepare_work(work: Work, prepare: Callable[[Work], Inputs], laps: Laps) -> Inputs | None:
    """What `prepare` makes of one Work; None when that failed, which is no other Work's error, or when its caller has gone.

    Args:
        laps: of the batch; the lap that ends here is the preparing.
    """
    try:
        inputs = prepare(work)
    except Exception as error:  # noqa: BLE001 - the border of one request
        work.input_s = laps.end()
        fail_works([work], error)
        return None
    work.input_s = laps.end()
    return None if work.is_cancelled else inputs


def execute_together(
    group: Sequence[R], run: Callable[[Sequence[R]], Outputs], answer: Callable[[Sequence[R], Outputs], None], laps: Laps
) -> None:
    """Infer several works at once and answer them; when that fails, each by itself: what one sent spoils no other answer.

    Args:
        group: at least one.
        run: infers; what it raises of a single one is the answer of that.
        answer: writes the answers from what `run` returned; raises nothing.
        laps: of the batch; the lap that ends here is the inference.
    """
    works = [ready.work for ready in group]
    try:
        outputs = run(group)
    except Exception as error:
        lap_s = laps.end()
        if len(group) == 1:
            works[0].infer_s = lap_s
            fail_works(works, error)
            return
        if not isinstance(error, SightlineError):
            name = works[0].executable.name
            logger.exception("defect: %s failed on %d requests together; each is run by itself", name, len(group))
        for ready in group:
            execute_together([ready], run, answer, laps)
        return
    share_execution(works, laps.end())
    answer(group, outputs)


def answer_work(
    work: Work,
    facts: ServedFacts,
    outputs: Mapping[str, np.ndarray],
    placements: Sequence[Placement],
    images: Sequence[np.ndarray],
    laps: Laps,
) -> None:
    """Write and give the answer of one Work; what fails is its own error and nobody else's.

    Args:
        outputs: tensor name -> array, batch axis first, only this Work's rows.
        placements, images: as in `Inferred`.
        laps: of its batch; the lap that ends here is the writing.
    """
    call: Call = work.payload
    inferred = Inferred(
        outputs=outputs,
        placements=tuple(placements),
        images=tuple(images),
        decode_s=work.input_s,
        infer_s=work.infer_s,
    )
    try:
        answer = call.write_answer(facts, inferred)
    except Exception as error:  # noqa: BLE001 - the border of one request
        laps.end()
        fail_works([work], error)
    else:
        work.output_s = laps.end()
        work.finish(answer)
