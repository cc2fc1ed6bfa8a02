"""The pages about serving name every word, field and metric that the code has, and its messages name options that there are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from sightline.cli.main import app
from sightline.core.manifests import DecodeSpec, InputSpec
from sightline.serving.http.access_log import encode_record
from sightline.serving.http.keys import KeyRecord
from sightline.serving.http.metrics import FAILURE_COUNTER, REASONS, TRITON_COUNTERS, Metrics
from sightline.serving.http.request_record import RequestRecord
from sightline.serving.repository.configuration import (
    NEUTRAL,
    DynamicBatching,
    InstanceGroup,
    ModelConfiguration,
    OwnWords,
    QueuePolicy,
    VersionPolicy,
)
from sightline.serving.streams.stream import StreamOptions
from sightline.serving.streams.stream_metrics import StreamMetrics
from sightline.serving.streams.stream_requests import SourceField
from sightline.serving.v2.describing import EXTENSIONS

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY_PAGE = (ROOT / "docs/reference/model-repository.md").read_text()
PROTOCOLS_PAGE = (ROOT / "docs/reference/serving-protocols.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
FOREIGN_OPTIONS = {"--data-binary", "--descriptor"}  # curl's, and the decoder process's own


def find_missing(names: Any, page: str) -> list[str]:
    return [name for name in names if not re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", page)]


@pytest.mark.parametrize(
    "record",
    [ModelConfiguration, VersionPolicy, DynamicBatching, QueuePolicy, InstanceGroup, OwnWords, InputSpec, DecodeSpec],
    ids=lambda record: record.__name__,
)
def test_every_word_of_a_configuration_is_documented(record: type[msgspec.Struct]) -> None:
    not_told = {"host_policy"}  # may only stand there empty
    assert find_missing(set(record.__struct_fields__) - not_told, REPOSITORY_PAGE) == []


def test_every_refused_word_is_documented() -> None:
    assert find_missing(NEUTRAL, REPOSITORY_PAGE) == []


@pytest.mark.parametrize("record", [KeyRecord, StreamOptions, SourceField], ids=lambda record: record.__name__)
def test_every_field_of_keys_and_streams_is_documented(record: type[msgspec.Struct]) -> None:
    assert find_missing(record.__struct_fields__, PROTOCOLS_PAGE) == []


def test_every_extension_of_the_protocol_is_documented() -> None:
    assert [name for name in EXTENSIONS if f"`{name}`" not in PROTOCOLS_PAGE] == []


def test_every_field_of_the_access_log_is_documented() -> None:
    record = RequestRecord({"path": "/", "method": "GET"})
    record.model = "parts:1"
    assert find_missing(msgspec.json.decode(encode_record(record, 0.0)), PROTOCOLS_PAGE) == []


def test_every_metric_is_documented() -> None:
    names = {family.name for family in Metrics().take_numbers().collect()} | set(TRITON_COUNTERS) | {FAILURE_COUNTER, *REASONS}
    shortened = {"nv_inference_compute_infer_duration_us", "nv_inference_compute_output_duration_us"}  # as `..._infer_...`
    assert find_missing(names - shortened - {"sightline_http_requests"}, PROTOCOLS_PAGE) == []
    assert "sightline_http_requests_total" in PROTOCOLS_PAGE
    streams = StreamMetrics()
    names = {*streams.gauges(), *(f"{name}_total" for name in streams.counters())}
    assert find_missing(names, PROTOCOLS_PAGE) == []


def walk_options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from (name for name in parameter.opts if name.startswith("--"))
    for inner in getattr(command, "commands", {}).values():
        yield from walk_options(inner)


def walk_texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_messages_of_the_server_name_options_that_there_are() -> None:
    named = {
        option: path.name
        for path in (ROOT / "src/sightline/serving").rglob("*.py")
        for text in walk_texts(path)
        for option in OPTION.findall(text)
    }
    options = set(walk_options(typer.main.get_command(app))) | FOREIGN_OPTIONS
    assert "--model-control" in named  # the search finds something
    assert {option: file for option, file in named.items() if option not in options} == {}
