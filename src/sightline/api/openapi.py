"""The schema of `/v1` as FastAPI makes it, with refusals under their own media type."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

PROBLEM = "application/problem+json"


def describe_problems(app: FastAPI) -> None:
    """Have the application's schema say that refusals are problems (RFC 9457), as they are sent."""

    @cache
    def make_schema() -> dict[str, Any]:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, answer in operation["responses"].items():
                    if not status.startswith("2"):
                        answer["content"] = {PROBLEM: next(iter(answer["content"].values()))}
        return schema

    app.openapi = make_schema  # type: ignore[method-assign]
