import pytest
from http_server import ask_raw, check_refusal, serve_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sightline.serving.http.refusals import EXCEPTION_HANDLERS


def test_a_defect_of_a_handler_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def break_down(request: Request) -> Response:
        raise ZeroDivisionError

    with serve_app(Starlette(routes=[Route("/", break_down)], exception_handlers=EXCEPTION_HANDLERS)) as port:
        check_refusal(ask_raw(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 500)
    (logged,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert "ZeroDivisionError" in caplog.text and logged.getMessage() == "internal error at GET /"
