import httpx
import pytest

from sightline.core.errors import AccessDenied, Conflict, Exhausted, InvalidInput, NotFound, SightlineError, Unsupported
from sightline.serving.client_calls import make_headers, make_model_path, read_problem


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


def test_names_cannot_leave_their_place_in_a_path() -> None:
    assert make_model_path("a/../b?c", "1/2", "/infer") == "/v2/models/a%2F..%2Fb%3Fc/versions/1%2F2/infer"
    with pytest.raises(InvalidInput, match="name of a model"):
        make_model_path("")


def test_a_version_may_be_a_number() -> None:
    assert make_model_path("a", 1, "/infer") == make_model_path("a", "1", "/infer") == "/v2/models/a/versions/1/infer"
    assert make_model_path("a", 0) == "/v2/models/a/versions/0"  # the server's to refuse, not another name of the default


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it() -> None:
    assert make_headers("k3y") == {"Authorization": "Bearer k3y"}
    for key in ("", "a\r\nX: y", "schlüssel"):
        with pytest.raises(InvalidInput) as refused:
            make_headers(key)
        assert not key or key not in str(refused.value)
