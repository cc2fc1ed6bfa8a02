"""Plain pages for people whom the web app cannot answer: without a session, or where the app was not built.

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
)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sightline: {title}</title>\
<style>{style}</style></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body>
</html>
"""
STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def answer_notice(status: int, notice: tuple[str, str]) -> HTMLResponse:
    """One of the pages. Text in backticks is shown as code."""
    title, text = map(escape, notice)
    parts = text.split("`")
    marked = "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
    page = PAGE.format(title=title, text=marked, style=STYLE)
    return HTMLResponse(page, status, {"Content-Security-Policy": POLICY})
