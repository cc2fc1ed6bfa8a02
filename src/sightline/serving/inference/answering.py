"""The end of a request's way on a slot thread: its answer is written from its rows of an execution, and its caller told."""

from collections.abc import Mapping, Sequence

import numpy as np

from sightline.imaging.resizing import Placement
from sightline.serving.inference.calls import Call, Inferred, ServedFacts
from sightline.serving.scheduling.work import Laps, Work, fail_works


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
