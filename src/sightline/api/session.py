"""Who may ask: one person on this machine, by a link that is printed at the start; and what every answer carries.

There are no users yet, so only this machine reaches the server. Even there other programs' pages run in the same browser, and
any page of the Web may send requests to it. Hence, in order: the Host must be a loopback name with our port (else a page could
reach us under a name of its own: DNS rebinding); what changes something must come from our own pages, or from a program; and
whoever asks must have the session's token: programs as `Authorization: Bearer TOKEN` or, as clients of PowerAI Vision do, as
`X-Auth-Token: TOKEN`, browsers as a cookie that the link sets.
The cookie is named after the port, since browsers share cookies between the ports of a host.
"""

import hmac
import secrets
from urllib.parse import parse_qs

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.api.mvi.faults import NO_TOKEN, is_mvi_path, make_fault
from sightline.api.notices import LINK_IS_OLD, SIGN_IN, answer_notice
from sightline.api.people import Person, set_person
from sightline.api.refusals import make_refusal
from sightline.serving.http.guard import SECURITY_HEADERS
from sightline.serving.http.problems import make_problem
from sightline.store.datasets import check_author

TOKEN_BYTES = 32
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
HTTP_PORT = 80
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
SAME_ORIGIN = b"same-origin"
API = "/v1"
MVI_TOKEN = b"x-auth-token"  # as clients of PowerAI Vision say who they are


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The one session of a server.

    Raises: InvalidInput for an author whom the journal cannot name.

    Attributes:
        port: where the server listens.
        author: the name of whoever has the link.
        host: at which address, as its link has it.
        token: what the link and programs show.
        cookie: what browsers show; another secret, so that no page's address ever held it.
    """

    port: int
    author: str
    host: str = LOOPBACK_HOSTS[0]
    token: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES))
    cookie: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES))

    def __post_init__(self) -> None:
        check_author(self.author)

    def __repr__(self) -> str:
        return f"Session(port={self.port})"  # no secrets in logs and tracebacks

    @property
    def cookie_name(self) -> str:
        """Name of the cookie; another port's server has another."""
        return f"sightline-{self.port}"

    @property
    def hosts(self) -> frozenset[bytes]:
        """What the Host header may hold."""
        known = {*LOOPBACK_HOSTS, self.host}
        names = {f"{host}:{self.port}".encode() for host in known}
        return frozenset(names | ({host.encode() for host in known} if self.port == HTTP_PORT else set()))

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any wrong one."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def is_cookie(self, header: str) -> bool:
        """Whether a Cookie header holds the session's."""
        given = cookie_parser(header).get(self.cookie_name, "")
        return hmac.compare_digest(given.encode(), self.cookie.encode())


class SessionGuard:
    """The ASGI layer around the whole application.

    Args:
        app: answers those who come in.
        session: whom it admits.
    """

    def __init__(self, app: ASGIApp, session: Session) -> None:
        self._app = app
        self._session = session
        self._person = Person(session.author, "admin")
        self._hosts = session.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS:
                    headers.setdefault(name.decode(), value.decode())
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await (self._refuse(scope) or self._app)(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to whoever does not come in, or comes in just now by the link; None for those who are in."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").lower()
        if host not in self._hosts:
            told = f"expected a Host of {describe_hosts(self._hosts)}; this server answers to no other, nor on another port"
            return make_refusal(scope["path"], 400, told)
        if scope["method"] not in SAFE_METHODS and not is_own(headers, host):
            told = "a page of another site asked for this; only the pages of this server may change anything"
            return make_refusal(scope["path"], 403, told)
        if scope["path"] == "/" and scope["method"] == "GET" and b"token=" in scope["query_string"]:
            return self._sign_in(scope["query_string"])
        if self._is_known(headers):
            set_person(scope, self._person)
            return None
        if is_mvi_path(scope["path"]):
            return make_fault(401, NO_TOKEN)
        if scope["path"] == API or scope["path"].startswith(f"{API}/"):
            detail = "expected the session's token as a cookie or as Authorization: Bearer TOKEN; `sightline up` prints it"
            return make_problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        return answer_notice(401, SIGN_IN)

    def _sign_in(self, query: bytes) -> Response:
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        if not self._session.is_token(given):
            return answer_notice(401, LINK_IS_OLD)
        response = RedirectResponse("/", 303)
        response.set_cookie(self._session.cookie_name, self._session.cookie, path="/", httponly=True, samesite="strict")
        return response

    def _is_known(self, headers: dict[bytes, bytes]) -> bool:
        if MVI_TOKEN in headers:
            return self._session.is_token(headers[MVI_TOKEN].decode("latin-1").strip())
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            return self._session.is_token(token.strip())
        return self._session.is_cookie(headers.get(b"cookie", b"").decode("latin-1"))


def is_own(headers: dict[bytes, bytes], host: bytes) -> bool:
    """Whether a request that changes something comes from our own pages, or from a program that is no browser."""
    if b"origin" in headers:
        return headers[b"origin"].lower() == b"http://" + host
    if b"sec-fetch-site" in headers:
        return headers[b"sec-fetch-site"] == SAME_ORIGIN
    return b"authorization" in headers or MVI_TOKEN in headers  # a browser's cookie alone does not say whose page asked


def describe_hosts(hosts: frozenset[bytes]) -> str:
    """The hosts in words."""
    return ", ".join(sorted(host.decode() for host in hosts))
