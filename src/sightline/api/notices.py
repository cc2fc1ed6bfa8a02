"""Plain pages for people whom the web app cannot answer: without a session, or where the app was not built."""

from html import escape

from starlette.responses import HTMLResponse

SIGN_IN = (
    "Open the link of this session",
    "This is Sightline. It opens with the link that `sightline up` printed in the terminal where it was started; copy all of "
    "it, with the token. If that terminal is gone, end the program and start it again: your work is kept.",
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
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Sightline: {title}</title></head>
<body><h1>{title}</h1><p>{text}</p></body>
</html>
"""


def answer_notice(status: int, notice: tuple[str, str]) -> HTMLResponse:
    """One of the pages. Text in backticks is shown as code."""
    title, text = map(escape, notice)
    parts = text.split("`")
    marked = "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
    return HTMLResponse(PAGE.format(title=title, text=marked), status)
