"""Files that clients send: an archive becomes a dataset, by the import that uploads in the web app go through."""

from fastapi import Request

from sightline.api.importing import UploadRequest
from sightline.api.multipart import receive_form
from sightline.api.mvi.answers import fit_name
from sightline.api.parts import Parts
from sightline.api.uploads import check_room, open_folder, run_import
from sightline.core.errors import InvalidInput
from sightline.data.archives import is_archive


async def import_archive(request: Request, parts: Parts) -> str:
    """Make a dataset of the archive that a request holds. Returns: its name: the archive's, with a number if that is taken."""
    check_room(parts.workspace.root, request.headers.get("content-length", ""))
    async with open_folder(parts.workspace.root) as folder:
        files = folder / "upload"
        files.mkdir()
        form = await receive_form(request, files, lambda fields: None)
        if len(form.paths) != 1 or not is_archive(form.paths[0]):
            raise InvalidInput(f"expected one archive as `files`, got {len(form.paths)} files; send the zip of a dataset")
        name = find_free_name(parts, fit_name(form.paths[0].name.partition(".")[0]))
        with parts.claim(name):
            wanted = UploadRequest(source=str(form.paths[0]), workspace=str(parts.workspace.root), name=name, categories=[])
            (await run_import(wanted, request, folder)).read()
    return name


def find_free_name(parts: Parts, name: str) -> str:
    """The name, or the first of it with a number that no dataset has."""
    taken, number, free = parts.store.names(), 1, name
    while free in taken:
        number += 1
        free = f"{name[:90]}-{number}"
    return free
