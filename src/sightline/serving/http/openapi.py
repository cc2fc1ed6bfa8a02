"""The interface described for programs (OpenAPI 3.1 at /openapi.json) and for people (a page at /docs), from one table.

The page is plain HTML of our own, with no script and nothing from elsewhere, so the strict policy of all pages holds for it.
"""

import re
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.metadata import version as find_package_version
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sightline.serving.http.operations import JSON, OPERATIONS, PROBLEM, SCHEMAS, Operation, refer
from sightline.serving.http.refusals import speaks_v2

TITLE = "Sightline inference server"
NAME_IN_PATH = {"type": "string", "pattern": r"^[^/\\\x00-\x1f\x7f]+$"}
PARAMETER = re.compile(r"\{(\w+)\}")
STYLE = Path(__file__).parent / "docs.css"
STATUS_TEXTS = {
    101: "the connection becomes a WebSocket",
    200: "all is well",
    201: "made",
    204: "done; there is nothing to say",
    400: "the request cannot be read, or does not fit",
    401: "the API key is missing or not known",
    403: "this API key may not do that",
    404: "there is nothing of that name",
    408: "the body came too slowly",
    409: "this server does not do that as it was started",
    413: "the body is too large",
    415: "the body is of another type",
    422: "the body or the query cannot be understood",
    429: "this API key asks too often; Retry-After says when to come again",
    500: "the server failed; its log has the details",
    503: "a limit was reached, or the model does not answer now; Retry-After says when to come again",
}
RIGHT_TEXTS = {"none": "no key", "key": "a key", "admin": "an admin key"}


def describe_interface() -> dict[str, Any]:
    """The OpenAPI 3.1 document, as JSON has it."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": find_package_version("sightline"), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _describe_operation(operation: Operation) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": NAME_IN_PATH} for name in PARAMETER.findall(operation.path)
    ]
    in_query = [{"name": q.name, "in": "query", "schema": q.schema, "description": q.text} for q in operation.query]
    described: dict[str, Any] = {
        "operationId": name_operation(operation),
        "summary": operation.text,
        "tags": [operation.group],
        "parameters": in_path + in_query,
        "responses": _describe_answers(operation),
        "security": [] if operation.right == "none" else [{"bearer": []}, {"header": []}, {}],
    }
    if operation.body:
        content = {kind: {"schema": schema} for kind, schema in operation.body.items()}
        described["requestBody"] = {"content": content, "required": operation.needs_body}
    return described


def _describe_answers(operation: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {"description": STATUS_TEXTS[operation.status]}
    if operation.answer:
        good["content"] = {kind: {"schema": schema} for kind, schema in operation.answer.items()}
    always = {400, 500, 503} if operation.right == "none" else {400, 401, 403, 429, 500, 503}
    of_bodies = {408, 413} if operation.body else set()
    kind, schema = (JSON, refer("V2Error")) if speaks_v2(operation.path) else (PROBLEM, refer("Problem"))
    refusals = {
        str(status): {"description": STATUS_TEXTS[status], "content": {kind: {"schema": schema}}}
        for status in sorted({*operation.refusals, *always, *of_bodies})
    }
    empty = {str(status): {"description": STATUS_TEXTS[status]} for status in operation.empty}
    return {str(operation.status): good, **empty, **refusals}


def name_operation(operation: Operation) -> str:
    """A name that programs made from the document give to the operation: `post_v2_models_name_infer`."""
    words = re.sub(r"\W+", "_", operation.path).strip("_") or "page"
    return f"{operation.method.lower()}_{words}"


def write_page(operations: Iterable[Operation]) -> str:
    """The page as HTML."""
    groups: dict[str, str] = {}  # heading -> rows, in the table's order
    for operation in operations:
        groups[operation.group] = groups.get(operation.group, "") + _write_row(operation)
    sections = [f"<h2>{escape(group)}</h2><table><tbody>{rows}</tbody></table>" for group, rows in groups.items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(TITLE)}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/docs.css"></head><body>'
        f"<header><h1>{escape(TITLE)}</h1><p>version {escape(find_package_version('sightline'))}</p></header>"
        '<p>For programs: <a href="/openapi.json">OpenAPI 3.1</a>. To try a picture: <a href="/">the page</a>. Where the '
        "server has API keys, send one as <code>Authorization: Bearer KEY</code>.</p>"
        f"{''.join(sections)}</body></html>"
    )


def _write_row(operation: Operation) -> str:
    query = "".join(f"<li><code>?{escape(q.name)}=</code> {escape(q.text)}</li>" for q in operation.query)
    kinds = [("takes", operation.body), ("answers", operation.answer)]
    media = "".join(f"<li>{word} <code>{escape(', '.join(types))}</code></li>" for word, types in kinds if types)
    return (
        f"<tr><th>{operation.method}</th><td><code>{escape(operation.path)}</code></td>"
        f"<td>{escape(operation.text)}<ul>{query}{media}</ul></td><td>{RIGHT_TEXTS[operation.right]}</td></tr>"
    )


@cache
def _write_document() -> bytes:
    return msgspec.json.encode(describe_interface())


async def read_document(request: Request) -> Response:
    """GET /openapi.json."""
    return Response(_write_document(), media_type=JSON)


async def read_docs(request: Request) -> Response:
    """GET /docs."""
    return Response(write_page(OPERATIONS), media_type="text/html")


async def read_style(request: Request) -> Response:
    """GET /docs.css."""
    return Response(STYLE.read_bytes(), media_type="text/css")


def make_routes() -> list[Route]:
    """The document, the page and its style."""
    return [Route("/openapi.json", read_document), Route("/docs", read_docs), Route("/docs.css", read_style)]
