"""`POST /api/tokens`: a token for a name and a password, as PowerAI Vision had it before its version 8.

The token is a sign-in, as a browser has one: it ends when it is not used for long, or when the password changes.
"""

import msgspec
from starlette.responses import Response
from starlette.types import Receive

from sightline.api.accounts import Accounts
from sightline.api.mvi.answers import SUCCESS, answer
from sightline.api.mvi.faults import PREFIX, make_fault
from sightline.api.sign_in_form import receive_content
from sightline.serving.http.refusals import Refusal

PATH = f"{PREFIX}/tokens"
GRANT = "password"


class TokenRequest(msgspec.Struct, frozen=True):
    """Who asks for a token, and by what."""

    username: str
    password: str
    grant_type: str = GRANT


async def give_token(receive: Receive, accounts: Accounts | None, address: str | None) -> Response:
    """A token for whoever knows a user's password. Args: address: of the client; None where a proxy has it."""
    try:
        wanted = msgspec.json.decode(await receive_content(receive), type=TokenRequest)
        if wanted.grant_type != GRANT:
            return make_fault(400, f"expected the grant_type {GRANT}, got another; send username and password")
        token = None if accounts is None else await accounts.sign_in(wanted.username, wanted.password, address)
    except (msgspec.MsgspecError, RecursionError) as error:  # the latter where brackets lie too deep in each other
        return make_fault(400, f"expected JSON with grant_type, username and password, got another: {error}")
    except Refusal as refusal:
        return make_fault(refusal.status, str(refusal), headers=refusal.headers)
    if token is None:
        return make_fault(401, "name or password is wrong")
    return answer({"token": token, **SUCCESS})
