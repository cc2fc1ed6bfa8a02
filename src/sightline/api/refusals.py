"""Refusals of the layers around the applications, as clients of the path expect them: problems, or faults under `/api`."""

from starlette.responses import Response

from sightline.api.mvi.faults import is_mvi_path, make_fault
from sightline.serving.http.problems import make_problem


def make_refusal(path: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """One refusal of what was asked at a path."""
    make = make_fault if is_mvi_path(path) else make_problem
    return make(status, detail, headers=headers)
