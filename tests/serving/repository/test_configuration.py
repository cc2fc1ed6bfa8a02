from pathlib import Path
from typing import Any

import pytest
from repository_fakes import write_configuration

from sightline.core.errors import InvalidInput
from sightline.serving.inference.calls import TensorFacts
from sightline.serving.repository.configuration import (
    ModelConfiguration,
    check_tensors,
    choose_versions,
    make_queue,
    parse_configuration,
    read_configuration,
)
from sightline.serving.scheduling.work import QueueSettings

PICTURES = {"width": 224, "height": 224}
HEAD = {"head": "softmax", "outputs": ["o"]}


def parse(words: Any) -> ModelConfiguration:
    return parse_configuration(words, "parts", "config.json")


def test_a_file_in_tritons_words_becomes_queue_settings() -> None:
    queue = make_queue(
        parse(
            {
                "name": "parts",
                "max_batch_size": 16,
                "dynamic_batching": {
                    "preferred_batch_size": [4, 16, 8],
                    "max_queue_delay_microseconds": 2500,
                    "priority_levels": 3,
                    "default_priority_level": 2,
                    "default_queue_policy": {
                        "max_queue_size": 40,
                        "default_timeout_microseconds": 1_500_000,
                        "allow_timeout_override": False,
                        "timeout_action": "REJECT",
                    },
                },
                "sightline": {"weight": 2.5},
            }
        ),
        batch=1,
    )
    assert queue == QueueSettings(
        max_batch=16,
        preferred_batches=(16, 8, 4),
        max_queue_delay_s=0.0025,
        max_waiting=40,
        priority_levels=3,
        default_priority=2,
        default_timeout_s=1.5,
        allow_timeout_override=False,
        weight=2.5,
    )


def test_an_empty_file_keeps_the_tuned_batch_and_the_defaults() -> None:
    assert make_queue(parse({}), batch=4) == QueueSettings(max_batch=4)


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ({"max_batch_size": 8}, 1),  # Triton gathers only where there is dynamic_batching
        ({"max_batch_size": 0}, 1),
        ({"max_batch_size": 8, "dynamic_batching": {}}, 8),
        ({"dynamic_batching": {"preferred_batch_size": [6]}}, 6),
        ({"dynamic_batching": {}}, 2),
        ({"max_batch_size": 8, "sightline": {"batch": 3}}, 3),
    ],
)
def test_requests_gather_as_the_file_says(words: dict[str, Any], rows: int) -> None:
    assert make_queue(parse(words), batch=2).max_batch == rows


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        ({}, 1),
        ({"max_batch_size": 8}, 1),
        ({"max_batch_size": 16, "dynamic_batching": {}}, 16),
        ({"max_batch_size": 0, "dynamic_batching": {}}, 1),
        ({"dynamic_batching": {"preferred_batch_size": [2, 6]}}, 6),
        ({"dynamic_batching": {"max_queue_delay_microseconds": 100}}, 8),
        ({"dynamic_batching": {}, "sightline": {"batch": 3}}, 3),
    ],
)
def test_a_plain_file_gathers_as_soon_as_it_has_dynamic_batching(words: dict[str, Any], rows: int) -> None:
    assert make_queue(parse(words)).max_batch == rows


def test_numbers_as_text_and_camel_case_are_read_as_protobuf_json_writes_them() -> None:
    words = {
        "maxBatchSize": "8",
        "dynamicBatching": {"maxQueueDelayMicroseconds": "100"},
        "parameters": {"keepMe": {"stringValue": "x"}},
    }
    configuration = parse(words)
    assert configuration.max_batch_size == 8
    assert configuration.dynamic_batching is not None
    assert configuration.dynamic_batching.max_queue_delay_microseconds == 100
    assert configuration.parameters["keepMe"].string_value == "x"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected an object, got list"),
        (None, "expected an object"),
        ({"max_batch_size": "eight"}, "max_batch_size: "),
        ({"parameters": {"sightline": {"string_value": "{"}}}, "parameters.sightline: expected the object"),
        ({"parameters": {"sightline": "{}"}}, "parameters.sightline: expected the object"),
        (
            {"parameters": {"sightline": {"string_value": "{}"}}, "sightline": {}},
            "or the object sightline, got both",
        ),
        ({"parameters": {"sightline": {"string_value": '{"nonsense": 1}'}}}, "sightline: object contains unknown field"),
        ({"max_batch_size": [8]}, "max_batch_size: expected `int | null`, got `array`"),
        ({"max_batch_size": -1}, "max_batch_size: expected `int` >= 0"),
        ({"max_batch_size": 10**9}, "max_batch_size: expected `int` <= 4096"),
        ({"max_batch_size": 10**40}, "max_batch_size: "),
        ({"max_batch_size": 2.5}, "max_batch_size: "),
        ({"max_batch": 2}, "unknown field `max_batch`"),
        ({"max_batch_size": 1, "maxBatchSize": 1}, "each word once"),
        ({"name": "other"}, "name: expected 'parts'"),
        ({"backend": "tensorrt"}, "backend: expected one of"),
        ({"sightline": {"wieght": 2}}, "sightline: object contains unknown field `wieght`"),
        ({"sightline": {"weight": -1}}, "sightline.weight: "),
        ({"sightline": {"weight": 1e300}}, "sightline.weight: "),
        ({"sightline": {"task": "telepathy"}}, "sightline.task: "),
        ({"sightline": {"streams": 0}}, "sightline.streams: "),
        ({"sightline": {"engine": "warp"}}, "sightline.engine: expected one of"),
        ({"sightline": {"input": {"width": 224}}}, "sightline.input: object missing required field `height`"),
        ({"sightline": {"input": {"width": 0, "height": 224}}}, "sightline.input: expected a width and height of 1"),
        ({"sightline": {"input": {**PICTURES, "std": [1, 0, 1]}}}, "sightline.input: expected 3 means and positive stds"),
        ({"sightline": {"input": {**PICTURES, "colour": "GRAY", "mean": [0, 0, 0]}}}, "expected 1 means"),
        ({"sightline": {"input": {**PICTURES, "crop_fraction": 1.5}}}, "sightline.input.crop_fraction"),
        ({"sightline": {"input": {**PICTURES, "pad_value": 256}}}, "sightline.input.pad_value"),
        ({"sightline": {"decode": {"head": "crystal", "outputs": ["o"]}}}, "sightline.decode.head: expected one of"),
        (
            {"sightline": {"decode": {**HEAD, "confidence_threshold": 7}}},
            "sightline.decode.confidence_threshold: expected 0 to 1",
        ),
        ({"sightline": {"decode": {**HEAD, "parameters": {"bogus": 1}}}}, "sightline.decode.parameters: expected only top"),
        (
            {"sightline": {"task": "detection", "decode": HEAD}},
            "sightline.task: expected 'classification' for the head softmax",
        ),
        ({"sightline": {"categories": ["a", "a"]}}, "sightline.categories: "),
        ({"sightline": {"categories": ["a"], "categories_file": "a.txt"}}, "sightline.categories_file"),
        ({"sightline": {"categories_file": "../../etc/passwd"}}, "sightline.categories_file: expected the name of a file"),
        ({"default_model_filename": "/etc/passwd"}, "default_model_filename: expected the name of a file"),
        ({"version_policy": {}}, "version_policy: expected one of latest, all and specific, got none"),
        ({"version_policy": {"all": {}, "latest": {}}}, "got latest and all"),
        ({"version_policy": {"specific": {"versions": [1, 2, 1]}}}, "expected each once, got [1, 2, 1]"),
        ({"version_policy": {"specific": {"versions": []}}}, "version_policy.specific.versions: "),
        ({"version_policy": {"specific": {"versions": [0]}}}, "version_policy.specific.versions[0]: "),
        ({"version_policy": {"latest": {"num_versions": -2}}}, "version_policy.latest.num_versions: "),
        ({"dynamic_batching": {"max_queue_delay_microseconds": -5}}, "dynamic_batching.max_queue_delay_microseconds: "),
        ({"dynamic_batching": {"default_queue_policy": {"timeout_action": "DELAY"}}}, "timeout_action"),
        ({"dynamic_batching": {"preserve_ordering": True}}, "preserve_ordering"),
        ({"dynamic_batching": {"priority_levels": 2}}, "default_priority_level: expected 1 to 2, got 0"),
        ({"dynamic_batching": {"default_priority_level": 1}}, "default_priority_level: expected none"),
        ({"max_batch_size": 4, "dynamic_batching": {"preferred_batch_size": [8]}}, "expected at most max_batch_size 4, got 8"),
        ({"instance_group": [{"kind": "KIND_GPU"}]}, "instance_group[0].kind: "),
        ({"sequence_batching": {}}, "unknown field `sequence_batching`"),
        ({"response_cache": {"enable": True}}, "response_cache: this server does not do that"),
        ({"model_transaction_policy": {"decoupled": True}}, "model_transaction_policy: "),
        ({"input": [{"name": ""}]}, "input[0].name: "),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_the_field(words: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse(words)
    said = str(refusal.value)
    assert said.startswith("config.json: ")
    assert message in said
    assert "\n" not in said and len(said) < 400


@pytest.mark.parametrize("task", [None, "raw", "classification"])
def test_a_head_decodes_for_its_own_task_and_for_none_that_is_said(task: str | None) -> None:
    assert parse({"sightline": {"task": task, "decode": HEAD}}).sightline.task == task


def test_a_gray_input_has_one_mean_and_std_without_being_told() -> None:
    spec = parse({"sightline": {"input": {**PICTURES, "colour": "GRAY"}}}).sightline.input
    assert spec is not None and (spec.mean, spec.std) == ((0.0,), (255.0,))


def test_a_file_that_is_no_json_or_nested_without_end_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "parts"
    home.mkdir()
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"max_batch_size": NaN}'):
        (home / "config.json").write_bytes(content)
        with pytest.raises(InvalidInput, match=r"^config\.json: "):
            read_configuration(home)


def test_words_that_change_nothing_are_taken() -> None:
    parse({"response_cache": {"enable": False}, "model_warmup": [], "metric_tags": {}, "batch_input": [], "runtime": ""})


@pytest.mark.parametrize(
    ("policy", "named", "chosen"),
    [
        (None, None, [7]),
        (None, 2, [2]),
        ({"latest": {}}, None, [7]),
        ({"latest": {"num_versions": 2}}, 2, [3, 7]),
        ({"latest": {"num_versions": 9}}, None, [2, 3, 7]),
        ({"all": {}}, 2, [2, 3, 7]),
        ({"specific": {"versions": [7, 2]}}, 3, [2, 7]),
        ({"specific": {"versions": [5]}}, None, [5]),
    ],
)
def test_the_version_policy_chooses(policy: dict[str, Any] | None, named: int | None, chosen: list[int]) -> None:
    configuration = parse({} if policy is None else {"version_policy": policy})
    assert choose_versions(configuration.version_policy, {3, 7, 2}, named) == chosen


def test_a_graph_must_have_the_tensors_that_the_file_expects() -> None:
    inputs = [TensorFacts(name="images", datatype="FP32", shape=(-1, 3, 32, 32))]
    outputs = [TensorFacts(name="words", datatype="BYTES", shape=(-1, -1))]
    fitting = {
        "input": [{"name": "images", "data_type": "TYPE_FP32", "dims": [3, 32, -1]}],
        "output": [{"name": "words", "data_type": "TYPE_STRING", "dims": [5]}],
    }
    check_tensors(parse(fitting), inputs, outputs)
    check_tensors(parse({"input": [{"name": "images", "dims": [-1, 3, 32, 32]}]}), inputs, outputs)  # with the batch axis
    for words, message in (
        ({"name": "pixels"}, r"expected one of \['images'\] as the graph, got 'pixels'"),
        ({"name": "images", "data_type": "TYPE_UINT8"}, "expected TYPE_FP32"),
        ({"name": "images", "dims": [3, 32, 33]}, r"expected dims \[3, 32, 32\]"),
        ({"name": "images", "dims": [3, 32]}, "expected dims"),
    ):
        with pytest.raises(InvalidInput, match=message):
            check_tensors(parse({"input": [words]}), inputs, outputs)


def test_a_file_larger_than_any_configuration_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write_configuration(tmp_path, "parts", {"parameters": {"long": {"string_value": "x" * (9 << 20)}}})
    with pytest.raises(InvalidInput, match="bytes"):
        read_configuration(tmp_path / "parts")
