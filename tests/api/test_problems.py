from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from platform_server import Running, let_in_as, run_app
from starlette.testclient import TestClient
from waiting import wait_until

from sightline.api.application import make_application
from sightline.core.errors import AccessDenied, Exhausted, LossyExport, MissingPackage, NotFound, SightlineError

ERRORS: dict[str, tuple[SightlineError, int]] = {
    "denied": (AccessDenied("expected a key, got none"), 422),
    "absent": (NotFound("no such thing"), 404),
    "lossy": (LossyExport("would lose polygons"), 409),
    "missing": (MissingPackage("install sightline[train]"), 501),
    "full": (Exhausted("no room", retry_after_s=2.4), 503),
}
SECRET = "what a traceback would show"


@pytest.fixture
def app() -> FastAPI:
    app = make_application(None)

    @app.get("/v1/raise/{name}")
    def raise_error(name: str) -> None:
        if name in ERRORS:
            raise ERRORS[name][0]
        raise ZeroDivisionError(SECRET)

    return app


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_on_purpose_is_a_problem_with_its_heads_status(app: FastAPI, name: str) -> None:
    error, status = ERRORS[name]
    answer = TestClient(let_in_as(app, "admin")).get(f"/v1/raise/{name}")
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert (problem["status"], problem["detail"]) == (status, str(error))
    assert answer.headers.get("retry-after") == ("3" if name == "full" else None)


@pytest.fixture
def running(app: FastAPI) -> Iterator[Running]:
    with run_app(lambda _: let_in_as(app, "admin")) as running:
        yield running


def test_what_nobody_raised_on_purpose_goes_into_the_log_once_and_not_to_the_client(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    answer = httpx.get(f"{running.url}/v1/raise/other", trust_env=False, timeout=60)
    assert answer.status_code == 500 and answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text and "log" in answer.json()["detail"]
    wait_until(lambda: SECRET in caplog.text)
    assert caplog.text.count(f"ZeroDivisionError: {SECRET}") == 1


def test_no_error_is_left_out_of_the_schema() -> None:
    schema = make_application(None).openapi()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            refusals = {status: answer for status, answer in operation["responses"].items() if not status.startswith("2")}
            assert "default" in refusals, (method, path)
            assert all(list(answer["content"]) == ["application/problem+json"] for answer in refusals.values()), (method, path)
