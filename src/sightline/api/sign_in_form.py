"""What a browser sends to sign in: a small form, read here without trusting any of it."""

from typing import NamedTuple
from urllib.parse import parse_qs

from starlette.types import Receive, Scope

from sightline.serving.http.refusals import Refusal

PATH = "/sign-in"
FORM_TYPE = b"application/x-www-form-urlencoded"
MAX_BYTES = 16 << 10  # the longest name, password and address of a page, percent-encoded
MAX_FIELDS = 10


class SignInForm(NamedTuple):
    """Who signs in, by what, and which page they wanted."""

    name: str
    password: str
    page: str


async def receive_form(headers: dict[bytes, bytes], receive: Receive) -> SignInForm:
    """The form of a request. Raises: Refusal for another body, or one that is too long."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != FORM_TYPE:
        raise Refusal(415, f"expected a form of type {FORM_TYPE.decode()}; sign in on the page {PATH}")
    content = await receive_content(receive)
    try:
        fields = parse_qs(content.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refusal(400, f"expected a form with `name` and `password`, got another; sign in on the page {PATH}") from None
    first = {name: values[0] for name, values in fields.items()}
    return SignInForm(first.get("name", ""), first.get("password", ""), check_page(first.get("page", "")))


async def receive_content(receive: Receive) -> bytes:
    """What a stranger sends to sign in. Raises: Refusal for more than that can be."""
    content: bytes = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > MAX_BYTES:
            raise Refusal(413, f"expected at most {MAX_BYTES:,} bytes to sign in with, got more")
        if not message.get("more_body", False):
            return content


def name_page(scope: Scope) -> str:
    """The address of the page that was asked for, without the server's."""
    query = scope["query_string"].decode("latin-1")
    return check_page(scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""))


def check_page(page: str) -> str:
    """An address on this server; what could lead to another is the first page."""
    is_own = page.startswith("/") and not page.startswith(("//", "/\\")) and page.isascii() and page.isprintable()
    return page if is_own and len(page) < MAX_BYTES // 4 else "/"
