"""Who may ask, what every answer carries, and how people come in: by the link of the start, or by their password.

Programs' pages run in the same browser as ours, and any page of the Web may send requests here. Hence, in order: the Host must
be a name of ours (else a page could reach us under a name of its own: DNS rebinding); what changes something must come from
our own pages, or from a program; and whoever asks must show who they are. Programs show a key as `Authorization: Bearer KEY`,
or as clients of PowerAI Vision do, as `X-Auth-Token: KEY`: the link's token, or the API key of a user. Browsers show a cookie,
which the link or a password has set. The cookie is named after the port, since browsers share cookies between the ports of a
host.
"""

import hashlib
import hmac
import secrets
from urllib.parse import parse_qs

import anyio
import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.api.accounts import Accounts
from sightline.api.hosts import LOOPBACK_NAMES, MVI_TOKEN, Hosts, is_own
from sightline.api.mvi.faults import NO_TOKEN, is_mvi_path, make_fault
from sightline.api.mvi.tokens import PATH as TOKENS_PATH
from sightline.api.mvi.tokens import give_token
from sightline.api.notices import LINK_IS_OLD, SIGN_IN, answer_again, answer_form, answer_notice
from sightline.api.people import Person, set_person
from sightline.api.refusals import make_refusal
from sightline.api.sign_in_form import PATH as SIGN_IN_PATH
from sightline.api.sign_in_form import name_page, receive_form
from sightline.core.errors import SightlineError
from sightline.serving.http.guard import SECURITY_HEADERS
from sightline.serving.http.problems import describe_error, make_problem
from sightline.serving.http.refusals import Refusal, answer_refusal
from sightline.store.datasets import check_author
from sightline.store.sign_ins import LONGEST_S

TOKEN_BYTES = 32
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
SIGN_OUT_PATH = "/sign-out"
API = "/v1"
LOOKED_AGAIN_S = 1.0  # whether somebody whose answer goes on for long is still let in


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One server as browsers reach it, and whoever has its link.

    Attributes:
        port: where the server listens.
        author: the name of whoever has the link.
        scheme: that browsers use, http or https.
        hosts: what the Host header may hold; None: the names of loopback, with the port.
        behind_proxy: all clients have the proxy's address.
        token: what the link and programs show.

    Raises: InvalidInput for an author whom the journal cannot name.
    """

    port: int
    author: str
    scheme: str = "http"
    hosts: Hosts | None = None
    behind_proxy: bool = False
    token: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES))
    _opened: set[str] = msgspec.field(default_factory=set)  # hashes of the cookies that the link set

    def __post_init__(self) -> None:
        check_author(self.author)

    def __repr__(self) -> str:
        return f"Session(port={self.port})"  # no secrets in logs and tracebacks

    @property
    def cookie_name(self) -> str:
        """Name of the cookie; another port's server has another. Under TLS no other host and no plain page can set it."""
        return f"{'__Host-' if self.scheme == 'https' else ''}sightline-{self.port}"

    @property
    def person(self) -> Person:
        """Whoever has the link: they read the terminal, so the workspace is theirs."""
        return Person(self.author, "admin")

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any wrong one."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def open(self) -> str:
        """The link was opened. Returns: a new secret for that browser's cookie, so that no page's address ever held it."""
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        self._opened.add(hash_cookie(secret))
        return secret

    def close(self, secret: str) -> None:
        """That browser has signed out."""
        self._opened.discard(hash_cookie(secret))

    def is_open(self, secret: str) -> bool:
        """Whether the link set this cookie."""
        return hash_cookie(secret) in self._opened

    def set_cookie(self, response: Response, secret: str, max_age_s: int | None = None) -> None:
        """Have a browser show a secret from now on. Args: max_age_s: None: as long as the browser runs."""
        is_secure = self.scheme == "https"
        response.set_cookie(self.cookie_name, secret, max_age_s, path="/", secure=is_secure, httponly=True, samesite="strict")


class SessionGuard:
    """The ASGI layer around the whole application.

    Args:
        app: answers those who come in.
        session: whom its link admits.
        accounts: the users; None: there can be none.
    """

    def __init__(self, app: ASGIApp, session: Session, accounts: Accounts | None = None) -> None:
        self._app = app
        self._session = session
        self._hosts = session.hosts or Hosts(names=LOOPBACK_NAMES, port=session.port, scheme=session.scheme)
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["scheme"] = self._session.scheme

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS:
                    headers.setdefault(name.decode(), value.decode())
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            answer = self._refuse(scope, headers) or await self._let_by(scope, headers, receive)
            if answer is None:
                answer = await self._admit(scope, headers)
        except SightlineError as error:  # the database cannot be asked now
            answer = describe_error(error)
        if answer is not None:
            await answer(scope, receive, send_guarded)
        else:
            await self._answer_while_known(scope, headers, receive, send_guarded)

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        """The answer to what nobody may ask, whoever they are."""
        if not self._hosts.allow(headers.get(b"host", b"").decode("latin-1")):
            known = self._hosts.describe()
            told = f"expected a Host of {known}; this server answers to no other, nor on another port"
            return make_refusal(scope["path"], 400, told)
        if scope["method"] not in SAFE_METHODS and not is_own(headers, self._session.scheme):
            told = "a page of another site asked for this; only the pages of this server may change anything"
            return make_refusal(scope["path"], 403, told)
        return None

    async def _let_by(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response | None:
        """The answer to those who come in just now, or leave."""
        asked = scope["method"], scope["path"]
        if asked == ("GET", "/") and b"token=" in scope["query_string"]:
            return self._open_link(scope["query_string"])
        if asked == ("POST", SIGN_IN_PATH):
            return await self._sign_in(scope, headers, receive)
        if asked == ("POST", TOKENS_PATH):
            return await give_token(receive, self._accounts, self._find_address(scope))
        if asked == ("POST", SIGN_OUT_PATH):
            return await self._sign_out(headers)
        if asked == ("GET", SIGN_IN_PATH) and await self._has_users():
            return answer_form(200, SIGN_IN_PATH, "/")
        return None

    def _open_link(self, query: bytes) -> Response:
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        if not self._session.is_token(given):
            return answer_notice(401, LINK_IS_OLD)
        response = RedirectResponse("/", 303)
        self._session.set_cookie(response, self._session.open())
        return response

    async def _sign_in(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response:
        if self._accounts is None:
            return answer_notice(401, SIGN_IN)
        try:
            form = await receive_form(headers, receive)
            secret = await self._accounts.sign_in(form.name, form.password, self._find_address(scope))
        except Refusal as refusal:
            if refusal.status != 429:
                return answer_refusal(refusal)
            told = f"{str(refusal).capitalize()}: {refusal.headers['Retry-After']} s."
            response: Response = answer_form(429, SIGN_IN_PATH, form.page, form.name, told)
            response.headers["Retry-After"] = refusal.headers["Retry-After"]
            return response
        if secret is None:
            return answer_form(401, SIGN_IN_PATH, form.page, form.name, "Name or password is wrong.")
        await self._forget(headers)
        response = RedirectResponse(form.page, 303)
        self._session.set_cookie(response, secret, LONGEST_S)
        return response

    def _find_address(self, scope: Scope) -> str | None:
        """The address that a client comes from; None where a proxy has its."""
        return None if self._session.behind_proxy else str((scope.get("client") or ("",))[0])

    async def _sign_out(self, headers: dict[bytes, bytes]) -> Response:
        await self._forget(headers)
        response = RedirectResponse(SIGN_IN_PATH, 303)
        self._session.set_cookie(response, "", 0)
        return response

    async def _forget(self, headers: dict[bytes, bytes]) -> None:
        """End what the browser's cookie opened until now."""
        secret = self._read_cookie(headers)
        self._session.close(secret)
        if secret and self._accounts is not None:
            await self._accounts.sign_out(secret)

    async def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        """Say in the scope who asks, or answer a stranger."""
        person = await self._find_person(headers)
        if person is None:
            return await self._answer_stranger(scope, headers)
        set_person(scope, person)
        return None

    async def _find_person(self, headers: dict[bytes, bytes]) -> Person | None:
        key = read_key(headers)
        if key is not None:
            if self._session.is_token(key):
                return self._session.person
            if self._accounts is None:
                return None
            found = await self._accounts.find_by_key(key)
            return await self._accounts.find_by_cookie(key) if found is None and MVI_TOKEN in headers else found
        secret = self._read_cookie(headers)
        if self._session.is_open(secret):
            return self._session.person
        return None if not secret or self._accounts is None else await self._accounts.find_by_cookie(secret)

    def _read_cookie(self, headers: dict[bytes, bytes]) -> str:
        return cookie_parser(headers.get(b"cookie", b"").decode("latin-1")).get(self._session.cookie_name, "")

    async def _answer_stranger(self, scope: Scope, headers: dict[bytes, bytes]) -> Response:
        if is_mvi_path(scope["path"]):
            return make_fault(401, NO_TOKEN)
        if scope["path"] == API or scope["path"].startswith(f"{API}/"):
            detail = (
                "expected the session's token or an API key as Authorization: Bearer TOKEN, or a browser's cookie; "
                "`sightline up` prints the token, users make keys on the page Settings"
            )
            return make_problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
        if (headers.get(b"sec-fetch-site"), headers.get(b"sec-fetch-mode")) == (b"cross-site", b"navigate"):
            return answer_again()
        if await self._has_users():
            return answer_form(401, SIGN_IN_PATH, name_page(scope))
        return answer_notice(401, SIGN_IN)

    async def _has_users(self) -> bool:
        return self._accounts is not None and await self._accounts.has_users()

    async def _answer_while_known(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """Let the application answer; a stream ends when whoever reads it is let in no more.

        What has a length ends by itself. A stream is looked after before anything more of it is sent, at most once a second.
        """
        looked_at: float | None = None

        async def send_while_known(message: Message) -> None:
            nonlocal looked_at
            if message["type"] == "http.response.start":
                has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                looked_at = None if has_length else anyio.current_time()
            elif looked_at is not None and anyio.current_time() >= looked_at + LOOKED_AGAIN_S:
                if await self._find_person(headers) is None:
                    await send({"type": "http.response.body", "body": b""})
                    answering.cancel()
                    return
                looked_at = anyio.current_time()
            await send(message)

        with anyio.CancelScope() as answering:
            await self._app(scope, receive, send_while_known)


def read_key(headers: dict[bytes, bytes]) -> str | None:
    """The key that a program shows; None without one."""
    if MVI_TOKEN in headers:
        return headers[MVI_TOKEN].decode("latin-1").strip()
    scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def hash_cookie(secret: str) -> str:
    """How a cookie's secret is kept: looking for it takes no time that tells of it."""
    return hashlib.sha256(secret.encode()).hexdigest()
