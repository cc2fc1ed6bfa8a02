"""Plain pages for people whom the web app cannot answer: without a sign-in, or where the app was not built.

Each is whole by itself: its few rules of style stand in it, and its policy lets these in by their hash and nothing else.
"""

import hashlib
from base64 import b64encode
from html import escape

from starlette.responses import HTMLResponse

SIGN_IN = (
    "Open the link of this session",
    "This is Sightline. It opens with the link that `sightline up` printed in the terminal where it was started; copy all of "
    "it, with the token. Once it was opened in this browser, this page opens, too. If that terminal is gone, end the program "
    "and start it again: your work is kept.",
)
LINK_IS_OLD = (
    "This link is of another session",
    "Sightline was started again since this link was printed, or it was not copied whole. Open the link that the terminal "
    "shows now.",
)
NOT_BUILT = (
    "The web app is not built",
    "The server runs, and its interface answers under /v1. To build the pages, you need Node 20.19 or later: run "
    "`npm ci --ignore-scripts && npm run build` in the folder web of Sightline's source, then load this page again.",
)
STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}"
    "code{font:.9em ui-monospace,monospace;background:color-mix(in srgb,currentColor 10%,transparent);padding:.1em .3em;"
    "border-radius:4px}"
    "form{max-width:20rem}"
    "label{display:block;margin:1rem 0 .25rem}"
    "input,button{font:inherit;box-sizing:border-box;width:100%;padding:.5rem .75rem;border:1px solid GrayText;"
    "border-radius:6px}"
    "input{background:Field;color:FieldText}"
    "button{margin-top:1.5rem;background:#1f5fd0;color:#fff;border-color:transparent;font-weight:600;cursor:pointer}"
    ":focus-visible{outline:2px solid #1f5fd0;outline-offset:2px}"
    "[role=alert]{border-left:3px solid #d33;padding-left:.75rem}"
)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">{head}<title>Sightline: {title}</title>\
<style>{style}</style></head>
<body><main><h1>{title}</h1>{body}</main></body>
</html>
"""
FORM = """{told}<form method="post" action="{action}"><input type="hidden" name="page" value="{page}">\
<label for="name">Name</label><input id="name" name="name" value="{name}" autocomplete="username" autocapitalize="none" \
maxlength="100" required{focus_name}><label for="password">Password</label><input id="password" name="password" \
type="password" autocomplete="current-password" required{focus_password}><button>Sign in</button></form>"""
STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action {{forms}}; frame-ancestors 'none'"


def answer_notice(status: int, notice: tuple[str, str]) -> HTMLResponse:
    """One of the pages. Text in backticks is shown as code."""
    title, text = map(escape, notice)
    parts = text.split("`")
    marked = "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
    return _answer(status, title, f"<p>{marked}</p>")


def answer_form(status: int, action: str, page: str, name: str = "", told: str = "") -> HTMLResponse:
    """The page on which users sign in.

    Args:
        action: where the form is sent.
        page: where to go then.
        name: what was given before. told: what was wrong with it.
    """
    form = FORM.format(
        told=f'<p role="alert">{escape(told)}</p>' if told else "",
        action=escape(action),
        page=escape(page),
        name=escape(name),
        focus_name="" if name else " autofocus",
        focus_password=" autofocus" if name else "",
    )
    # Under `no-referrer` a browser would send the form with the Origin `null`.
    return _answer(status, "Sign in", form, forms="'self'", headers={"Referrer-Policy": "same-origin"})


def answer_again() -> HTMLResponse:
    """A page that loads itself anew: cookies come along then that a browser kept back when a page of another site led here."""
    return _answer(401, "One moment", "", head='<meta http-equiv="refresh" content="0">')


def _answer(
    status: int, title: str, body: str, *, head: str = "", forms: str = "'none'", headers: dict[str, str] | None = None
) -> HTMLResponse:
    page = PAGE.format(title=title, body=body, head=head, style=STYLE)
    return HTMLResponse(page, status, {"Content-Security-Policy": POLICY.format(forms=forms), **(headers or {})})
