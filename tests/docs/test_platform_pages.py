"""The pages about the platform name every route that it has."""

from pathlib import Path

from fastapi.routing import APIRoute

from sightline.api.application import make_application

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference/platform-routes.md").read_text()


def test_every_route_is_named() -> None:
    app = make_application(None)
    routes = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    assert len(routes) > 15
    assert [f"{method} {path}" for method, path in sorted(routes) if f"`{method} {path}`" not in PAGE] == []
    hidden = [route.path for route in app.routes if isinstance(route, APIRoute) and not route.include_in_schema]
    assert hidden == []  # what a running server says of itself is all there is
