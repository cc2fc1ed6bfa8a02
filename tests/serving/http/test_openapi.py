import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from http_fakes import Bench
from starlette.routing import Route

from sightline.core.settings import Settings
from sightline.serving.http.guard import OPEN_PATHS, find_need
from sightline.serving.http.openapi import (
    describe_interface,
    find_undocumented,
    make_routes,
    name_operation,
    read_docs,
    read_document,
    read_style,
    write_page,
)
from sightline.serving.http.operations import OPERATIONS, SCHEMAS, Operation
from sightline.serving.http.predict import PredictEndpoint
from sightline.serving.http.predict import make_routes as make_predict_routes
from sightline.serving.http.predict_requests import PredictOptions


def test_every_route_of_the_server_stands_in_the_document(tmp_path: Path) -> None:
    from sightline.serving.server import InferenceServer

    routes = InferenceServer(tmp_path, Settings()).app.app.routes  # type: ignore[attr-defined]
    assert find_undocumented(routes) == []
    served = {re.sub(r":\w+", "", route.path) for route in routes}
    assert {operation.path for operation in OPERATIONS} - served == set()  # and nothing is promised that is not there


def test_an_undocumented_route_is_found() -> None:
    async def nothing(request: object) -> None:
        pass

    routes = [*make_routes(), Route("/hidden/{name}", nothing), Route("/v2/{rest:path}", nothing)]
    assert find_undocumented(routes) == ["/hidden/{name}"]


def test_the_routes_of_predict_stand_in_the_document() -> None:
    bench = Bench()
    assert find_undocumented(make_predict_routes(PredictEndpoint(bench.service, 1))) == []
    bench.close()


def test_every_query_parameter_of_predict_is_described() -> None:
    operation = next(one for one in OPERATIONS if one.path == "/predict/{name}")
    assert {query.name for query in operation.query} == set(PredictOptions.__struct_fields__)


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
