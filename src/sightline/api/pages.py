"""The web app's files, as its build left them in `pages/` beside this module; every path of the app itself is its one page.

Names in `assets/` hold a hash of the content, so browsers keep those for ever.
"""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sightline.api.notices import NOT_BUILT, answer_notice

FOLDER = Path(__file__).parent / "pages"
INDEX = "index.html"
ASSETS = "assets"
API = "/v1/"
FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


class Pages(StaticFiles):
    """Serves the files; a path that is none of them gets the app's page, which shows what the path stands for.

    Args:
        folder: of the built app; it may come later.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._folder = folder

    async def check_config(self) -> None:
        """Nothing to check: the folder may come later."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer a GET or HEAD. Raises: HTTPException for another method, a missing asset, or an unknown path of `/v1`."""
        if f"{scope['path']}/".startswith(API):
            raise HTTPException(404)
        if not (self._folder / INDEX).is_file():
            return answer_notice(503, NOT_BUILT)
        is_asset = path.split("/")[0] == ASSETS
        try:
            response = await super().get_response(INDEX if path == "." else path, scope)
        except HTTPException as error:
            if error.status_code != 404 or is_asset:
                raise
            response = await super().get_response(INDEX, scope)
        response.headers["cache-control"] = FOR_EVER if is_asset else ASK_AGAIN
        return response
