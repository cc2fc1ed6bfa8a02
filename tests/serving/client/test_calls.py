import ssl

import httpx
import pytest

from sightline.core.errors import (
    AccessDenied,
    Conflict,
    Exhausted,
    InvalidInput,
    NotFound,
    QueueFull,
    QueueTimeout,
    SightlineError,
    Unreachable,
    UnreadableImage,
    Unsupported,
)
from sightline.serving.client.calls import explain_failure, make_model_path, read_problem


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, InvalidInput),
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotFound),
        (408, Exhausted),
        (409, Conflict),
        (413, InvalidInput),
        (422, InvalidInput),
        (429, Exhausted),
        (500, Exhausted),
        (501, Unsupported),
        (502, Exhausted),
        (503, Exhausted),
        (504, Exhausted),
    ],
)
def test_a_status_is_the_error_it_stands_for(status: int, head: type[SightlineError]) -> None:
    problem = read_problem(httpx.Response(status, json={"detail": "why"}))
    assert type(problem) is head and str(problem).startswith("why")


def test_the_server_s_words_are_kept_in_both_forms() -> None:
    assert str(read_problem(httpx.Response(404, json={"error": "Request for unknown model"}))) == "Request for unknown model"
    assert "is the URL right" in str(read_problem(httpx.Response(502, text="bad gateway")))
    assert "is the URL right" in str(read_problem(httpx.Response(500, json=["no object"])))
    assert "api_key" in str(read_problem(httpx.Response(401, json={"detail": "no key"})))


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (503, "queue-full", QueueFull),
        (503, "queue-timeout", QueueTimeout),
        (503, "exhausted", Exhausted),
        (503, "service-unavailable", Exhausted),
        (503, "not-found", Exhausted),
        (503, "sightline-error", Exhausted),
        (422, "unreadable-image", UnreadableImage),
        (429, "too-many-requests", Exhausted),
    ],
)
def test_a_type_that_the_server_names_is_raised(status: int, kind: str, expected: type[SightlineError]) -> None:
    problem = read_problem(httpx.Response(status, json={"type": f"urn:sightline:error:{kind}", "detail": "why"}))
    assert type(problem) is expected and str(problem) == "why"


def test_a_refusal_says_when_to_come_again() -> None:
    for status, wait, expected_s in ((503, "7", 7.0), (429, "7", 7.0), (503, "soon", None)):
        for body in ({"type": "urn:sightline:error:queue-full", "detail": "why"}, {"error": "why"}):
            problem = read_problem(httpx.Response(status, json=body, headers={"Retry-After": wait}))
            assert isinstance(problem, Exhausted) and problem.retry_after_s == expected_s


def test_nobody_there_is_told_from_a_server_that_is_busy() -> None:
    assert type(explain_failure(httpx.ConnectError("connection refused"), "http://a")) is Unreachable
    cut_off = httpx.ConnectError("eof")
    cut_off.__cause__ = ssl.SSLEOFError(8, "UNEXPECTED_EOF_WHILE_READING")
    for failure in (cut_off, httpx.ReadTimeout("late"), httpx.ReadError("reset"), httpx.RemoteProtocolError("hung up")):
        assert type(explain_failure(failure, "http://a")) is Exhausted


def test_names_cannot_leave_their_place_in_a_path() -> None:
    assert make_model_path("a/../b?c", "1/2", "/infer") == "/v2/models/a%2F..%2Fb%3Fc/versions/1%2F2/infer"
    with pytest.raises(InvalidInput, match="name of a model"):
        make_model_path("")


def test_a_version_may_be_a_number() -> None:
    assert make_model_path("a", 1, "/infer") == make_model_path("a", "1", "/infer") == "/v2/models/a/versions/1/infer"
    assert make_model_path("a", 0) == "/v2/models/a/versions/0"  # the server's to refuse, not another name of the default
