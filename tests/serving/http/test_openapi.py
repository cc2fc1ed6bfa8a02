import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from sightline.core.settings import Settings
from sightline.serving.http.connections.request_head import read_head
from sightline.serving.http.guard import OPEN_PATHS, find_need
from sightline.serving.http.openapi import (
    NAME_IN_PATH,
    describe_interface,
    name_operation,
    read_docs,
    read_document,
    read_style,
    write_page,
)
from sightline.serving.http.operations import OPERATIONS, SCHEMAS, Operation
from sightline.serving.http.predict.requests import PredictOptions
from sightline.serving.http.refusals import Refusal
from sightline.serving.streams.stream import StreamOptions
from sightline.serving.streams.stream_requests import StreamRequest


def test_the_routes_of_the_server_and_no_others_stand_in_the_document(tmp_path: Path) -> None:
    from sightline.serving.server import InferenceServer

    paths = {route.path for route in InferenceServer(tmp_path, Settings()).app.app.routes}  # type: ignore[attr-defined]
    served = {path for path in paths if not path.endswith(":path}")}  # catch-alls only refuse
    assert served == {operation.path for operation in OPERATIONS}


def test_every_query_parameter_of_predict_is_described() -> None:
    operation = next(one for one in OPERATIONS if one.path == "/predict/{name}")
    assert {query.name for query in operation.query} == set(PredictOptions.__struct_fields__)


def find_operation(method: str, path: str) -> Operation:
    return next(one for one in OPERATIONS if (one.method, one.path) == (method, path))


def test_every_option_of_a_stream_is_described_as_it_is_checked() -> None:
    checked = msgspec.json.schema(StreamOptions)["$defs"]["StreamOptions"]["properties"]
    schemas = {name: schema.get("anyOf", [schema])[0] for name, schema in checked.items()}  # the other one is null: left out
    schemas["drop"]["enum"].sort()
    described = {query.name: dict(query.schema) for query in find_operation("POST", "/v2/streams").query}
    described["drop"]["enum"] = sorted(described["drop"]["enum"])
    assert described == {name: {k: v for k, v in schema.items() if k != "default"} for name, schema in schemas.items()}
    in_json = SCHEMAS["StreamRequest"]
    assert set(in_json["properties"]) == set(StreamRequest.__struct_fields__) and in_json["required"] == ["model", "source"]


def test_bodies_and_statuses_of_streams_are_described() -> None:
    paths = describe_interface()["paths"]
    post = paths["/v2/streams"]["post"]
    assert set(post["requestBody"]["content"]) == {
        "application/json",
        "video/*",
        "application/octet-stream",
        "multipart/form-data",
    }
    assert {"201", "400", "404", "413", "415", "422", "503"} <= set(post["responses"])
    events = paths["/v2/streams/{id}/events"]["get"]["responses"]
    assert {"200", "204", "404", "422", "503"} <= set(events) and "content" not in events["204"]
    assert {"101", "403", "404", "422", "503"} <= set(paths["/v2/streams/{id}/ws"]["get"]["responses"])


def test_the_document_says_of_keys_what_the_guard_does() -> None:
    for operation in OPERATIONS:
        path = operation.path.replace("{name}", "parts").replace("{version}", "1").replace("{id}", "7")
        need = find_need(operation.method, path)
        right = "none" if need.is_open else "admin" if need.is_admin else "key"
        assert right == operation.right, (operation.method, operation.path)
    assert {operation.path for operation in OPERATIONS if operation.right == "none"} == OPEN_PATHS


def test_the_document_is_sound() -> None:
    document = json.loads(asyncio.run(read_document(None)).body)  # type: ignore[arg-type]
    assert document == json.loads(json.dumps(describe_interface()))
    assert document["openapi"] == "3.1.0"
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(OPERATIONS)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            in_path = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation["responses"])
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == set(SCHEMAS)


def test_operations_are_named_by_their_paths() -> None:
    infer = Operation(method="POST", path="/v2/models/{name}/infer", text="", group="")
    assert name_operation(infer) == "post_v2_models_name_infer"


class Tags(HTMLParser):
    """Checks that tags close in order, and notes those that a strict policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.refused: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link"):
            self.open.append(tag)
        self.refused += [name for name, _ in attributes if name == "style" or name.startswith("on")]
        self.refused += [tag] * (tag in ("script", "style", "iframe", "img"))
        self.links += [value or "" for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_fits_a_strict_policy_and_needs_nothing_from_elsewhere() -> None:
    page = bytes(asyncio.run(read_docs(None)).body).decode()  # type: ignore[arg-type]
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and tags.refused == []
    assert tags.links == ["data:,", "/docs.css", "/openapi.json", "/"]  # "data:,": no icon, or the browser asks for one
    for operation in OPERATIONS:
        assert operation.path in page
    style = bytes(asyncio.run(read_style(None)).body)  # type: ignore[arg-type]
    assert b"url(" not in style and b"@import" not in style


def test_texts_of_the_page_are_escaped() -> None:
    page = write_page([Operation(method="GET", path="/<x>", text="a & b", group="<script>")])
    assert "<script>" not in page and "&lt;x&gt;" in page and "a &amp; b" in page


@pytest.mark.parametrize("character", ["%00", "%1F", "%7F", "%2F", "%5C"])
def test_names_in_paths_hold_nothing_that_is_refused_there(character: str) -> None:
    with pytest.raises(Refusal):
        read_head(b"GET", "1.1", f"/deployments/a{character}".encode(), [(b"host", b"a")], None)
    assert re.search(NAME_IN_PATH["pattern"], "a" + unquote(character)) is None
    assert re.search(NAME_IN_PATH["pattern"], "Straße 2.1")


def test_only_the_repository_is_asked_without_a_body() -> None:
    bodies = {
        path: described["requestBody"]["required"]
        for path, methods in describe_interface()["paths"].items()
        for described in methods.values()
        if "requestBody" in described
    }
    assert {path for path, required in bodies.items() if not required} == {
        "/v2/repository/index",
        "/v2/repository/models/{name}/load",
        "/v2/repository/models/{name}/unload",
    }
