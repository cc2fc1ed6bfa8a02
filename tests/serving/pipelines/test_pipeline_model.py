"""Pipelines run over fake models whose answers can be read off the pictures."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pipeline_fakes import (
    ANIMALS,
    BREEDS,
    SQUARES,
    ZOO,
    FakeHost,
    FakeModel,
    Square,
    floats,
    make_breeds,
    make_detector,
    make_facts,
    make_work,
    open_pipeline,
    paint,
    read_annotations,
    run,
    run_beside_one_that_fails,
    upload,
)

from sightline.core.annotations import Annotation
from sightline.core.errors import Exhausted, ImageTooLarge, InvalidInput, NotFound, UnreadableImage
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.serving.inference.calls import Call, Upload
from sightline.serving.pipelines.declaration import parse_pipeline
from sightline.serving.pipelines.pipeline_model import PipelineModel
from sightline.serving.scheduling.work import QueueSettings


def summarise(annotations: list[Annotation]) -> list[tuple[Any, ...]]:
    return [(one.category, one.box_xyxy, round(one.confidence or 0, 3), one.attributes) for one in annotations]


def test_what_the_classifier_says_of_a_crop_stands_in_the_detections_attributes() -> None:
    (found,) = run(open_pipeline(ZOO, make_detector(), make_breeds()), paint(60, 40, SQUARES))
    assert summarise(found) == [
        ("cat", (20, 5, 40, 15), 0.9, {}),
        ("dog", (5, 5, 15, 20), 0.8, {"breed": "poodle", "breed_confidence": "0.9000"}),
        ("dog", (40, 30, 50, 39), 0.6, {"breed": "terrier", "breed_confidence": "0.9000"}),
    ]


def test_crops_of_all_pictures_are_sorted_in_one_batch_and_find_their_way_back() -> None:
    detector, breeds = make_detector(), make_breeds()
    model = open_pipeline(ZOO, detector, breeds)
    first = paint(60, 40, [((0, 0, 9, 9), "dog", 0.8, "husky"), ((20, 20, 30, 30), "dog", 0.7, "poodle")])
    second = paint(50, 30, [((1, 1, 9, 9), "cat", 0.8, "husky")])
    third = paint(40, 44, [((30, 30, 40, 44), "dog", 0.9, "terrier")])
    answers = run(model, first, second, third)
    assert [[one.attributes.get("breed") for one in found] for found in answers] == [["husky", "poodle"], [None], ["terrier"]]
    assert (detector.batches, breeds.batches) == ([3], [3])


def test_crops_beyond_max_crops_stay_in_the_answer_unsorted() -> None:
    squares: list[Square] = [((10 * n, 0, 10 * n + 8, 8), "dog", 0.9 - n / 10, "poodle") for n in range(4)]
    breeds = make_breeds()
    (found,) = run(open_pipeline(ZOO, make_detector(), breeds), paint(60, 40, squares))
    assert [one.attributes.get("breed") for one in found] == ["poodle", "poodle", None, None]
    assert breeds.batches == [2]


def test_more_crops_than_the_classifier_takes_at_once_are_sorted_in_parts() -> None:
    breeds = make_breeds(max_batch=2)
    images = [paint(30, 30, [((3, 3, 20, 20), "dog", 0.9, breed)]) for breed in (*BREEDS, "husky", "poodle")]
    answers = run(open_pipeline(ZOO, make_detector(), breeds), *images)
    assert [found[0].attributes["breed"] for found in answers] == [*BREEDS, "husky", "poodle"]
    assert breeds.batches == [2, 2, 1]


def test_without_detections_the_classifier_does_not_run() -> None:
    breeds = make_breeds()
    assert run(open_pipeline(ZOO, make_detector(), breeds), paint(60, 40, [])) == [[]]
    assert breeds.batches == []


def test_a_margin_widens_what_the_classifier_sees() -> None:
    declaration = ZOO.replace(b'"max_crops": 2', b'"margin": 0.5')
    breeds = make_breeds()
    run(open_pipeline(declaration, make_detector(), breeds), paint(60, 40, [((10, 10, 20, 30), "dog", 0.8, "husky")]))
    assert breeds.shapes == [(40, 20, 3)]  # 20 + 2 * 10 high, 10 + 2 * 5 wide


def test_a_confidence_of_the_classifiers_step_leaves_uncertain_crops_unsorted() -> None:
    declaration = ZOO.replace(b'"model": "breeds"', b'"model": "breeds", "confidence": 0.95')
    (found,) = run(open_pipeline(declaration, make_detector(), make_breeds()), paint(60, 40, SQUARES))
    assert [one.attributes for one in found] == [{}, {}, {}]


def test_a_multilabel_classifier_tells_every_category_that_reaches_its_threshold() -> None:
    model = open_pipeline(ZOO, make_detector(), make_breeds(task="multilabel"))
    (found,) = run(model, paint(60, 40, [((10, 10, 20, 30), "dog", 0.8, "poodle")]))
    assert found[0].attributes == {"breed": "poodle, husky, terrier", "breed_confidence": "0.9000, 0.0500, 0.0500"}


def test_several_classifiers_and_several_detectors_join_in_one_answer() -> None:
    declaration = b"""{"steps": [{"name": "a", "model": "detector", "confidence": 0.7}, {"name": "b", "model": "other"},
        {"name": "crop", "of": "b", "crop": {}}, {"name": "one", "of": "crop", "model": "breeds"},
        {"name": "two", "of": "crop", "model": "breeds"}], "answer": ["a", "b"]}"""
    model = open_pipeline(declaration, make_detector(), make_detector("other", ("wolf", "fox")), make_breeds())
    (found,) = run(model, paint(60, 40, SQUARES[:2]))
    assert [(one.category, sorted(one.attributes)) for one in found] == [
        ("cat", []),
        ("wolf", ["one", "one_confidence", "two", "two_confidence"]),
        ("dog", []),
        ("fox", ["one", "one_confidence", "two", "two_confidence"]),
    ]
    assert model.facts.categories == ("cat", "dog", "wolf", "fox")
    assert model.facts.decode is not None
    assert model.facts.decode.confidence_threshold == make_detector().facts.decode.confidence_threshold < 0.7  # the least


def test_a_pipeline_tells_what_it_is() -> None:
    facts = open_pipeline(ZOO, make_detector(), make_breeds()).facts
    assert (facts.name, facts.version, facts.task, facts.categories) == ("zoo", 1, "detection", ANIMALS)
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in facts.inputs] == [("images", "BYTES", (-1, 1))]
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in facts.outputs] == [("annotations", "BYTES", (-1,))]
    assert facts.input == InputSpec(width=64, height=64)
    assert facts.decode is not None and facts.decode.confidence_threshold == 0.5  # of the step that finds


def test_a_request_may_ask_for_more_confidence_than_the_steps() -> None:
    from sightline.core.categories import Categories
    from sightline.imaging.heads.decoding import decode_outputs

    def write(facts: Any, inferred: Any) -> Any:
        return decode_outputs(facts.decode, inferred.outputs, inferred.placements, Categories(facts.categories), 0.75)

    (found,) = run(open_pipeline(ZOO, make_detector(), make_breeds()), paint(60, 40, SQUARES), write_answer=write)
    assert [round(one.confidence, 2) for one in found] == [0.9, 0.8]


def test_a_picture_that_cannot_be_read_fails_alone() -> None:
    model = open_pipeline(ZOO, make_detector(), make_breeds())
    good = paint(60, 40, SQUARES)
    works = [
        make_work(model, pictures=(upload(good),)),
        make_work(model, pictures=(Upload("torn.jpg", b"\xff\xd8torn"),)),
        make_work(model, pictures=(Upload("empty.png", b""),)),
        make_work(model, pictures=(upload(paint(3000, 3000, []), "huge.png"),)),
        make_work(model, images=(good,)),
    ]
    model.execute(works, alone=False)
    assert [type(work.error).__name__ for work in works] == [
        "NoneType", "UnreadableImage", "UnreadableImage", "ImageTooLarge", "NoneType",
    ]  # fmt: skip
    assert "torn.jpg" in str(works[1].error)
    assert works[0].result == works[4].result
    assert isinstance(works[2].error, UnreadableImage)


def test_a_picture_on_which_a_step_fails_spoils_no_other_answer_and_names_the_step() -> None:
    works = run_beside_one_that_fails(InvalidInput("the network cannot take red"))
    assert str(works[1].error) == "step 'find': the network cannot take red"
    assert [len(work.result[0]) for work in (works[0], works[2])] == [3, 1]


def test_cancelled_work_is_not_run() -> None:
    detector = make_detector()
    model = open_pipeline(ZOO, detector, make_breeds())
    work = make_work(model, images=(paint(60, 40, SQUARES),))
    work.is_cancelled = True
    model.execute([work], alone=True)
    assert (work.finished_s, detector.batches) == (0.0, [])


def test_an_answer_that_cannot_be_written_is_that_works_error() -> None:
    def refuse(facts: Any, inferred: Any) -> Any:
        raise InvalidInput("no such form")

    model = open_pipeline(ZOO, make_detector(), make_breeds())
    works = [make_work(model, write, images=(paint(60, 40, SQUARES),)) for write in (refuse, read_annotations)]
    model.execute(works, alone=False)
    assert str(works[0].error) == "no such form"
    assert len(works[1].result[0]) == 3


def test_decoded_pictures_are_handed_over_only_when_asked_for() -> None:
    model = open_pipeline(ZOO, make_detector(), make_breeds())
    image = paint(60, 40, SQUARES)
    for keep, expected in ((True, 1), (False, 0)):
        work = make_work(model, lambda facts, inferred: inferred, pictures=(upload(image),), keep_images=keep)
        model.execute([work], alone=True)
        assert len(work.result.images) == expected
        assert (work.result.placements[0].source_width, work.result.placements[0].source_height) == (60, 40)


def test_a_swapped_model_is_used_from_the_next_execution_on_with_its_own_categories() -> None:
    host = FakeHost(make_detector(), make_breeds())
    model = open_pipeline(ZOO, host=host)
    image = paint(60, 40, SQUARES[:1])
    assert run(model, image)[0][0].category == "dog"
    host.models["detector"] = make_detector(categories=("lynx", "dog", "emu")[:2])
    assert run(model, paint(60, 40, SQUARES[1:2]))[0][0].category == "lynx"
    assert model.facts.categories == ("lynx", "dog")


def test_a_swap_to_a_model_that_does_not_fit_is_told_by_the_step() -> None:
    host = FakeHost(make_detector(), make_breeds())
    model = open_pipeline(ZOO, host=host)
    host.models["detector"] = make_detector(categories=("lynx", "emu"))
    with pytest.raises(NotFound, match="step 'dogs': category 'dog' is not one that 'find' finds: lynx, emu"):
        run(model, paint(60, 40, SQUARES))


def test_models_are_let_go_after_every_use() -> None:
    host = FakeHost(make_detector(), make_breeds())
    model = open_pipeline(ZOO.replace(b'"detector"', b'"detector", "version": 3'), host=host)
    run(model, paint(60, 40, SQUARES))
    assert host.held == []
    assert ("detector", "3") in host.asked and ("breeds", "") in host.asked
    del host.models["breeds"]
    with pytest.raises(NotFound, match="step 'breed': no model 'breeds'"):
        model.check(Call(model="zoo", write_answer=read_annotations, images=(paint(9, 9, []),)))
    assert host.held == []


def test_a_model_that_went_while_work_waited_is_that_works_error() -> None:
    host = FakeHost(make_detector(), make_breeds())
    model = open_pipeline(ZOO, host=host)
    work = make_work(model, images=(paint(60, 40, SQUARES),))
    del host.models["breeds"]
    assert model.is_resident  # so that the work is not kept waiting for ever
    model.execute([work], alone=True)
    assert str(work.error) == "step 'breed': no model 'breeds'"


def test_a_pipeline_waits_for_models_that_are_paged_out() -> None:
    detector, breeds = make_detector(), make_breeds()
    host = FakeHost(detector, breeds)
    model = open_pipeline(ZOO, host=host)
    assert model.is_resident
    breeds.is_resident = False
    host.asked.clear()
    assert not model.is_resident
    assert ("breeds", "") in host.asked  # which begins to page it in
    breeds.is_resident = True
    assert model.is_resident


def test_facts_are_known_only_when_it_was_opened() -> None:
    from sightline.serving.pipelines.declaration import parse_pipeline
    from sightline.serving.pipelines.pipeline_model import PipelineModel
    from sightline.serving.scheduling.work import QueueSettings

    model = PipelineModel("zoo", 1, parse_pipeline(ZOO), FakeHost(), QueueSettings(), 1000)
    with pytest.raises(Exhausted):
        _ = model.facts
    with pytest.raises(NotFound, match="step 'find': no model 'detector'"):
        model.open()


def test_tensors_and_empty_calls_are_refused_before_they_are_queued() -> None:
    model = open_pipeline(ZOO, make_detector(), make_breeds())
    with pytest.raises(InvalidInput, match="takes pictures, got tensors"):
        model.check(Call(model="zoo", write_answer=read_annotations, tensors={"images": np.zeros((1, 3, 64, 64), np.float32)}))
    with pytest.raises(InvalidInput, match="1 to 64 rows"):
        model.check(Call(model="zoo", write_answer=read_annotations))
    with pytest.raises(InvalidInput, match="1 to 64 rows"):
        model.check(Call(model="zoo", write_answer=read_annotations, images=(paint(4, 4, []),) * 65))


def test_sixteen_threads_get_the_answers_that_one_gets() -> None:
    model = open_pipeline(ZOO, make_detector(), make_breeds())
    rng = np.random.default_rng(7)
    pictures, expected = [], []
    for _ in range(64):
        squares: list[Square] = [
            ((20 * n, 0, 20 * n + 12, 12), ANIMALS[int(rng.integers(2))], 0.95 - 0.1 * n, BREEDS[int(rng.integers(3))])
            for n in range(int(rng.integers(4)))
        ]
        pictures.append(paint(60, 40, squares))
        dogs = [place for place, square in enumerate(squares) if square[1] == "dog"][:2]
        expected.append([(square[1], square[3] if place in dogs else None) for place, square in enumerate(squares)])
    barrier = threading.Barrier(16)

    def work(first: int) -> list[Any]:
        barrier.wait(30)
        batches = [range(place, place + 2) for place in range(first, 64, 32)]
        answers = []
        for batch in batches:
            works = [make_work(model, images=(pictures[place],)) for place in batch]
            model.execute(works, alone=False)
            answers += [(place, one.result[0]) for place, one in zip(batch, works, strict=True)]
        return answers

    with ThreadPoolExecutor(16) as pool:
        answers = dict(pair for pairs in pool.map(work, range(0, 32, 2)) for pair in pairs)
    assert len(answers) == 64
    for place, found in answers.items():
        assert [(one.category, one.attributes.get("breed")) for one in found] == expected[place]


def make_backbone() -> FakeModel:
    """Raw tensors: the mean of each channel."""
    facts = make_facts("backbone", inputs=[floats("x", 3, 8, 8)], outputs=[floats("features", 3)])
    return FakeModel(facts, lambda tensors: {"features": tensors["x"].mean(axis=(2, 3))})


def make_doubler(**changes: Any) -> FakeModel:
    facts = make_facts("doubler", **{"inputs": [floats("y", 3)], "outputs": [floats("logits", 3)], **changes})
    return FakeModel(facts, lambda tensors: {"logits": tensors["y"] * 2})


SPEC = b'{"name": "x", "width": 8, "height": 8, "resize": "stretch", "mean": [0, 0, 0], "std": [1, 1, 1]}'
HEAD = b'{"head": "softmax", "outputs": ["logits"], "confidence_threshold": 0.0}'
CHAIN = (
    b'{"steps": [{"name": "see", "model": "backbone", "input": '
    + SPEC
    + b'}, {"name": "read", "of": "see", "model": "doubler", '
    b'"decode": ' + HEAD + b', "categories": ["red", "green", "blue"]}]}'
)


def test_decoding_two_networks_and_a_head_are_served_as_one_classifier() -> None:
    model = open_pipeline(CHAIN, make_backbone(), make_doubler())
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :, 1] = 3
    image[:, :, 2] = 2
    (found,) = run(model, image)
    # Logits 0, 6, 4: softmax by hand is 1 / (1 + exp(-2) + exp(-6)) for green.
    assert [one.category for one in found] == ["green", "blue", "red"]
    assert found[0].confidence == pytest.approx(1 / (1 + np.exp(-2) + np.exp(-6)), rel=1e-5)
    assert (model.facts.task, model.facts.categories) == ("classification", ("red", "green", "blue"))
    assert [tensor.name for tensor in model.facts.outputs] == ["logits"]


def test_two_networks_in_sequence_take_and_give_tensors_and_share_executions() -> None:
    backbone, doubler = make_backbone(), make_doubler()
    model = open_pipeline(
        b'{"steps": [{"name": "see", "model": "backbone"}, {"name": "read", "of": "see", "model": "doubler"}]}',
        backbone,
        doubler,
    )
    rng = np.random.default_rng(3)
    given = [rng.random((rows, 3, 8, 8), np.float32) for rows in (1, 2, 1)]
    works = [make_work(model, lambda facts, inferred: inferred.outputs["logits"], tensors={"x": one}) for one in given]
    model.execute(works, alone=False)
    for work, tensor in zip(works, given, strict=True):
        np.testing.assert_allclose(work.result, 2 * tensor.mean(axis=(2, 3)), rtol=1e-6)
    assert backbone.batches == doubler.batches == [4]
    with pytest.raises(InvalidInput, match="takes tensors, got pictures"):
        model.check(Call(model="zoo", write_answer=read_annotations, images=(paint(8, 8, []),)))
    with pytest.raises(InvalidInput, match="shape"):
        model.check(Call(model="zoo", write_answer=read_annotations, tensors={"x": np.zeros((1, 3, 8, 9), np.float32)}))


def test_a_network_that_takes_few_rows_is_run_in_parts() -> None:
    doubler = make_doubler(max_batch=2)
    model = open_pipeline(CHAIN, make_backbone(), doubler)
    answers = run(model, *(np.full((8, 8, 3), value, np.uint8) for value in range(5)))
    assert len(answers) == 5
    assert doubler.batches == [2, 2, 1]


def make_enlarger() -> FakeModel:
    """Draws every picture twice as large."""

    def enlarge(images: Any) -> dict[str, np.ndarray]:
        large = np.stack([image.repeat(2, axis=0).repeat(2, axis=1) for image in images])
        return {"drawn": large.transpose(0, 3, 1, 2).astype(np.float32)}  # (N, H, W, C) -> (N, C, H, W)

    decode = DecodeSpec(head="picture", outputs=("drawn",), parameters={"range": [0, 255]})
    spec = InputSpec(width=1, height=1, resize="pad")
    facts = make_facts("enlarger", "image", (), spec, decode, [floats("x", 3, -1, -1)], [floats("drawn", 3, -1, -1)])
    return FakeModel(facts, enlarge)


def test_what_is_found_in_a_drawn_picture_comes_out_in_the_pixels_of_the_request() -> None:
    declaration = b"""{"steps": [{"name": "large", "model": "enlarger"}, {"name": "find", "of": "large", "model": "detector"},
        {"name": "crop", "of": "find", "crop": {}}, {"name": "breed", "of": "crop", "model": "breeds"}]}"""
    breeds = make_breeds()
    model = open_pipeline(declaration, make_enlarger(), make_detector(), breeds)
    (found,) = run(model, paint(60, 40, SQUARES[:2]))
    assert [(one.category, one.box_xyxy) for one in found] == [("cat", (20, 5, 40, 15)), ("dog", (5, 5, 15, 20))]
    assert breeds.shapes == [(20, 40, 3), (30, 20, 3)]  # crops of the large picture
    works = [make_work(model, images=(paint(width, 40, SQUARES[:1]),)) for width in (30, 50)]
    model.execute(works, alone=False)  # pictures of two sizes do not share a run
    assert [work.result[0][0].box_xyxy for work in works] == [(5, 5, 15, 20)] * 2


def test_outputs_that_are_answered_as_they_are_lie_in_the_pixels_of_the_request_too() -> None:
    declaration = b'{"steps": [{"name": "large", "model": "enlarger"}, {"name": "find", "of": "large", "model": "detector"}]}'
    model = open_pipeline(declaration, make_enlarger(), make_detector())
    assert [tensor.name for tensor in model.facts.outputs] == ["scores", "boxes"]
    (found,) = run(model, paint(60, 40, SQUARES[:2]))
    assert [(one.category, one.box_xyxy) for one in found] == [("cat", (20, 5, 40, 15)), ("dog", (5, 5, 15, 20))]


def test_a_chain_that_ends_in_a_picture_answers_with_the_picture() -> None:
    from sightline.imaging.heads.pictures import write_pictures

    declaration = b'{"steps": [{"name": "a", "model": "enlarger"}, {"name": "b", "of": "a", "model": "enlarger"}]}'
    model = open_pipeline(declaration, make_enlarger())
    image = paint(12, 10, [((2, 2, 6, 6), "dog", 0.8, "husky")])
    assert model.facts.task == "image"
    (drawn,) = run(
        model, image, write_answer=lambda facts, inferred: write_pictures(facts.decode, inferred.outputs, inferred.placements)
    )
    np.testing.assert_array_equal(drawn, image.repeat(4, axis=0).repeat(4, axis=1))


def test_whole_pictures_are_kept_only_as_many_as_one_request_may_have() -> None:
    detector = make_detector()
    model = PipelineModel("zoo", 1, parse_pipeline(ZOO), FakeHost(detector, make_breeds()), QueueSettings(max_batch=8), 1000)
    model.open()
    image = paint(30, 30, [((3, 3, 20, 20), "dog", 0.9, "husky")])  # 900 pixels
    works = [make_work(model, pictures=(upload(image),)) for _ in range(7)]
    heavy = make_work(model, pictures=(upload(image),) * 5)
    model.execute([*works[:4], heavy, *works[4:]], alone=False)
    assert detector.batches == [5, 2]  # 4500 pixels are the first above 4 x 1000
    assert all(len(work.result[0]) == 1 for work in works)
    assert isinstance(heavy.error, ImageTooLarge)


def test_a_request_whose_caller_goes_while_it_is_decoded_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = make_detector()
    model = open_pipeline(ZOO, detector, make_breeds())
    image = paint(30, 30, [])
    work = make_work(model, pictures=(upload(image),) * 3)
    decoded = []

    def decode(content: bytes, max_pixels: int, name: str) -> np.ndarray:
        decoded.append(name)
        work.is_cancelled = True
        return image

    monkeypatch.setattr("sightline.serving.inference.pictures.decode_image", decode)
    model.execute([work], alone=True)
    assert len(decoded) == 1 and detector.batches == []
