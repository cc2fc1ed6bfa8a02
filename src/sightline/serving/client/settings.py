"""What both clients are made of: their defaults, the URL, and the settings of httpx."""

import ssl
from typing import Any

import httpx

from sightline.core.errors import InvalidInput

DEFAULT_TIMEOUT_S, DEFAULT_RETRIES, DEFAULT_IN_FLIGHT = 60.0, 3, 4
MAX_CONNECTIONS = 64
MAX_PORT = 65_535
CLOSED = "this client is closed; make a new one"


def make_settings(url: str, api_key: str | None, context: ssl.SSLContext) -> dict[str, Any]:
    """Settings of both kinds of client."""
    return {
        "base_url": url,
        "headers": make_headers(api_key),
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
        # A proxy of the environment must not see pictures that were meant for this server.
        "trust_env": False,
        "verify": context,
    }


def make_headers(api_key: str | None) -> dict[str, str]:
    """Headers of every request. Raises: InvalidInput for a key that no header can hold; its text is not shown."""
    if api_key is None:
        return {}
    if not (isinstance(api_key, str) and api_key and api_key.isascii() and api_key.isprintable()):
        raise InvalidInput("expected an API key of printable ASCII characters; check where it comes from")
    return {"Authorization": f"Bearer {api_key}"}


def check_url(url: str) -> str:
    """The URL without a slash at its end.

    Raises: InvalidInput for what is no http or https URL; and for one with a name and password, which would be sent instead of
        the API key, with a query or a fragment: without repeating it, for it may hold what is secret.
    """
    if set("@?#") & set(url):
        raise InvalidInput(
            "expected a URL without user name, password, query and fragment, like http://127.0.0.1:8000; "
            "give an API key as `api_key`"
        )
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidInput(f"expected a URL like http://127.0.0.1:8000, got {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not is_host(parsed.raw_host) or (parsed.port or 0) > MAX_PORT:
        raise InvalidInput(f"expected a URL like http://127.0.0.1:8000, got {url!r}")
    return url.rstrip("/")


def is_host(name: bytes) -> bool:
    """Whether the system can look a name up: its parts have 1 to 63 characters."""
    try:
        return bool(name.decode("ascii").encode("idna"))
    except UnicodeError:
        return False
