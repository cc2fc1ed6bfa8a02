"""Every call of IBM's client: what it gets here, held against the methods that the library has.

`WORKS` are answered as the client expects; `REFUSED` with status 501 and what to do instead, since Sightline lacks the noun;
`OTHERS` with another refusal; `BROKEN` are defects of the client that no server can mend.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mvi_models import shelve_model
from platform_data import paint
from small_artifacts import write_halves
from vapi.base import Base

from sightline.api.parts import Parts
from sightline.core.workspace import Workspace
from sightline.imaging.files.reading import encode_image
from sightline.serving.deployments import deploy_artifact

pytestmark = pytest.mark.usefixtures("idle")
BOX = {"bnd_box": {"xmin": 30, "ymin": 10, "xmax": 50, "ymax": 40}}
PASSWORD = "correct horse battery"


class Ids:
    """Ids of what is there, and a picture on the disk."""

    def __init__(self, mvi: Base, folder: Path) -> None:
        self.mvi, self.folder = mvi, folder
        self.dataset = next(row["_id"] for row in mvi.datasets.report() if row["name"] == "parts")
        self.file, self.other, *_ = [file["_id"] for file in mvi.files.report(self.dataset)]
        self.tag = mvi.object_tags.report(self.dataset)[0]["_id"]
        self.category = mvi.categories.report(self.dataset)[0]["_id"]
        self.label = mvi.object_labels.report(self.dataset, self.file)[0]["_id"]
        self.model, self.old_model = [model["_id"] for model in mvi.trained_models.report()]
        self.webapi = mvi.deployed_models.report()[0]["_id"]
        self.picture = str(folder / "picture.png")

    @property
    def new_dataset(self) -> str:
        return str(self.mvi.datasets.create(f"new-{len(self.mvi.datasets.report())}")["dataset_id"])

    @property
    def new_tag(self) -> str:
        return str(self.mvi.object_tags.create(self.dataset, "temporary")["dataset_tag_id"])

    @property
    def new_task(self) -> str:
        return str(self.mvi.dl_tasks.create("m", self.dataset, "cod")["task_id"])

    @property
    def archive(self) -> str:
        return str(self.mvi.datasets.export(self.dataset, str(self.folder / "archive.zip")))

    def place(self, name: str) -> str:
        return str(self.folder / name)


Call = Callable[[Base, Ids], Any]
WORKS: dict[str, Call] = {
    "datasets.create": lambda mvi, ids: mvi.datasets.create("made"),
    "datasets.report": lambda mvi, ids: mvi.datasets.report(sortby="name"),
    "datasets.update": lambda mvi, ids: mvi.datasets.update(ids.dataset, project_group_id=""),
    "datasets.show": lambda mvi, ids: mvi.datasets.show(ids.dataset),
    "datasets.import_dataset": lambda mvi, ids: mvi.datasets.import_dataset(ids.archive),
    "datasets.export": lambda mvi, ids: mvi.datasets.export(ids.dataset, ids.place("out.zip")),
    "datasets.clone": lambda mvi, ids: mvi.datasets.clone(ids.dataset, "cloned"),
    "datasets.delete": lambda mvi, ids: mvi.datasets.delete(ids.new_dataset),
    "files.report": lambda mvi, ids: mvi.files.report(ids.dataset),
    "files.upload": lambda mvi, ids: mvi.files.upload(ids.dataset, [ids.picture]),
    "files.action": lambda mvi, ids: mvi.files.action(
        ids.dataset, ids.file, action="change_category", target_category_id=ids.category
    ),
    "files.show": lambda mvi, ids: mvi.files.show(ids.dataset, ids.file),
    "files.copymove": lambda mvi, ids: mvi.files.copymove("copy", ids.dataset, ids.new_dataset, [ids.file]),
    "files.delete": lambda mvi, ids: mvi.files.delete(ids.dataset, ids.other),
    "categories.create": lambda mvi, ids: mvi.categories.create(ids.dataset, "good"),
    "categories.report": lambda mvi, ids: mvi.categories.report(ids.dataset),
    "categories.show": lambda mvi, ids: mvi.categories.show(ids.dataset, ids.category),
    "categories.action": lambda mvi, ids: mvi.categories.action(ids.dataset, ids.category, action="calculate"),
    "categories.delete": lambda mvi, ids: mvi.categories.delete(
        ids.dataset, mvi.categories.create(ids.dataset, "bad")["dataset_category_id"]
    ),
    "object_tags.create": lambda mvi, ids: mvi.object_tags.create(ids.dataset, "hole"),
    "object_tags.report": lambda mvi, ids: mvi.object_tags.report(ids.dataset),
    "object_tags.show": lambda mvi, ids: mvi.object_tags.show(ids.dataset, ids.tag),
    "object_tags.update": lambda mvi, ids: mvi.object_tags.update(ids.dataset, ids.tag, name="dents"),
    "object_tags.delete": lambda mvi, ids: mvi.object_tags.delete(ids.dataset, ids.new_tag),
    "object_labels.create": lambda mvi, ids: mvi.object_labels.create(ids.dataset, ids.file, ids.tag, BOX),
    "object_labels.report": lambda mvi, ids: mvi.object_labels.report(ids.dataset, tag_ids=[ids.tag]),
    "object_labels.update": lambda mvi, ids: mvi.object_labels.update(ids.dataset, ids.label, ids.file, **BOX),
    "object_labels.show": lambda mvi, ids: mvi.object_labels.show(ids.dataset, ids.label),
    "object_labels.getlabels": lambda mvi, ids: mvi.object_labels.getlabels(ids.dataset, ids.file),
    "object_labels.delete": lambda mvi, ids: mvi.object_labels.delete(ids.dataset, ids.label),
    "object_labels.savelabels": lambda mvi, ids: mvi.object_labels.savelabels(
        ids.dataset, ids.file, [{"tag_id": ids.tag, **BOX}]
    ),
    "dl_tasks.create": lambda mvi, ids: mvi.dl_tasks.create("m", ids.dataset, "cod"),
    "dl_tasks.report": lambda mvi, ids: mvi.dl_tasks.report(),
    "dl_tasks.show": lambda mvi, ids: mvi.dl_tasks.show(ids.new_task),
    "dl_tasks.status": lambda mvi, ids: mvi.dl_tasks.status(ids.new_task),
    "dl_tasks.delete": lambda mvi, ids: mvi.dl_tasks.delete(ids.new_task),
    "trained_models.report": lambda mvi, ids: mvi.trained_models.report(usage="cod"),
    "trained_models.show": lambda mvi, ids: mvi.trained_models.show(ids.model),
    "trained_models.update": lambda mvi, ids: mvi.trained_models.update(ids.model, production_status="untested"),
    "trained_models.download_asset": lambda mvi, ids: mvi.trained_models.download_asset(ids.model, "onnx", ids.place("m.onnx")),
    "trained_models.export": lambda mvi, ids: mvi.trained_models.export(ids.model, ids.place("m.zip")),
    "trained_models.delete": lambda mvi, ids: mvi.trained_models.delete(ids.old_model),
    "deployed_models.create": lambda mvi, ids: mvi.deployed_models.create(ids.model, "another"),
    "deployed_models.report": lambda mvi, ids: mvi.deployed_models.report(),
    "deployed_models.show": lambda mvi, ids: mvi.deployed_models.show(ids.webapi),
    "deployed_models.infer": lambda mvi, ids: mvi.deployed_models.infer(ids.webapi, ids.picture, confthre=0.1),
    "deployed_models.delete": lambda mvi, ids: mvi.deployed_models.delete(ids.webapi),
    "projects.report": lambda mvi, ids: mvi.projects.report(),
    "file_keys.create": lambda mvi, ids: mvi.file_keys.create(ids.dataset, "line"),
    "file_metadata.add": lambda mvi, ids: mvi.file_metadata.add(ids.dataset, ids.file, {"line": "3", "day": 28}),
    "file_metadata.report": lambda mvi, ids: mvi.file_metadata.report(ids.dataset, ids.file),
    "file_metadata.show": lambda mvi, ids: mvi.file_metadata.show(ids.dataset, ids.file, "line"),
    "file_metadata.export": lambda mvi, ids: mvi.file_metadata.export(ids.dataset),
    "file_metadata.delete": lambda mvi, ids: mvi.file_metadata.delete(ids.dataset, ids.file, ["day"]),
    "file_keys.report": lambda mvi, ids: mvi.file_keys.report(ids.dataset),
    "file_keys.update": lambda mvi, ids: mvi.file_keys.update(ids.dataset, "line", name="belt"),
    "file_keys.show": lambda mvi, ids: mvi.file_keys.show(ids.dataset, "belt"),
    "file_keys.delete": lambda mvi, ids: mvi.file_keys.delete(ids.dataset, "belt"),
    "action_tags.report": lambda mvi, ids: mvi.action_tags.report(ids.dataset),
    "action_labels.report": lambda mvi, ids: mvi.action_labels.report(ids.dataset),
    "inference_results.report": lambda mvi, ids: mvi.inference_results.report(),
    "connection_devices.report": lambda mvi, ids: mvi.connection_devices.report(),
    "dnnscripts.report": lambda mvi, ids: mvi.dnnscripts.report(),
    "users.get_token": lambda mvi, ids: mvi.users.get_token("eve", PASSWORD),
}
REFUSED: dict[str, Call] = {
    "projects.create": lambda mvi, ids: mvi.projects.create("p"),
    "projects.update": lambda mvi, ids: mvi.projects.update("p", description="x"),
    "projects.delete": lambda mvi, ids: mvi.projects.delete("p"),
    "projects.show": lambda mvi, ids: mvi.projects.show("p"),
    "projects.set_pwf_policy": lambda mvi, ids: mvi.projects.set_pwf_policy("p", "true"),
    "projects.deploy": lambda mvi, ids: mvi.projects.deploy("p"),
    "projects.predict": lambda mvi, ids: mvi.projects.predict("p", files={"files": b"x"}),
    "projects.get_model_info": lambda mvi, ids: mvi.projects.get_model_info("p"),
    "action_tags.create": lambda mvi, ids: mvi.action_tags.create(ids.dataset, "jump"),
    "action_tags.delete": lambda mvi, ids: mvi.action_tags.delete(ids.dataset, "t"),
    "action_tags.show": lambda mvi, ids: mvi.action_tags.show(ids.dataset, "t"),
    "action_labels.create": lambda mvi, ids: mvi.action_labels.create(ids.dataset, ids.file, "t", {}),
    "action_labels.update": lambda mvi, ids: mvi.action_labels.update(ids.dataset, "l", ids.file),
    "action_labels.delete": lambda mvi, ids: mvi.action_labels.delete(ids.dataset, "l", ids.file),
    "action_labels.show": lambda mvi, ids: mvi.action_labels.show(ids.dataset, "l"),
    "inference_results.delete": lambda mvi, ids: mvi.inference_results.delete("i"),
    "inference_results.show": lambda mvi, ids: mvi.inference_results.show("i"),
    "connection_devices.create": lambda mvi, ids: mvi.connection_devices.create({"name": "camera"}),
    "connection_devices.update": lambda mvi, ids: mvi.connection_devices.update("camera", {"name": "x"}),
    "connection_devices.delete": lambda mvi, ids: mvi.connection_devices.delete("camera"),
    "connection_devices.devicestatus": lambda mvi, ids: mvi.connection_devices.devicestatus("camera"),
    "connection_devices.show": lambda mvi, ids: mvi.connection_devices.show("camera"),
    "dnnscripts.create": lambda mvi, ids: mvi.dnnscripts.create("s", b"zip"),
    "dnnscripts.update": lambda mvi, ids: mvi.dnnscripts.update("s", inputfile=b"", description="x", newname=""),
    "dnnscripts.delete": lambda mvi, ids: mvi.dnnscripts.delete("s"),
    "dnnscripts.show": lambda mvi, ids: mvi.dnnscripts.show("s"),
    "trained_models.import_model": lambda mvi, ids: mvi.trained_models.import_model(ids.archive),
}
OTHERS: dict[str, tuple[Call, int, str]] = {
    "dl_tasks.action": (lambda mvi, ids: mvi.dl_tasks.action(ids.new_task, action="stop"), 409, "cancel it"),
}
BROKEN = {
    "files.download": "puts https:// before an address that has http:// already: test_files.py",
    "projects.download_asset": "does nothing",
    "trained_models.action": "asks /trained-models/ID/action by GET, which the original lacks",
}


@pytest.fixture
def ids(mvi: Base, running_parts: Parts, workspace: Workspace, tmp_path: Path) -> Ids:
    for name in ("found", "old"):
        shelve_model(workspace, tmp_path / "models", name)
    deploy_artifact(write_halves(tmp_path / "made" / "halves"), "seen", workspace.deployments)
    running_parts.accounts.users.add("eve", "editor", PASSWORD)
    (tmp_path / "picture.png").write_bytes(encode_image(paint(11), "png"))
    return Ids(mvi, tmp_path)


def list_methods(mvi: Base) -> set[str]:
    nouns = {name: noun for name, noun in vars(mvi).items() if name != "server"}
    return {
        f"{name}.{method}"
        for name, noun in nouns.items()
        for method, _ in inspect.getmembers(noun, inspect.ismethod)
        if not method.startswith("_")
    }


def test_the_table_holds_every_method_of_the_client_once(mvi: Base) -> None:
    tables = (WORKS, REFUSED, OTHERS, BROKEN)
    assert set().union(*tables) == list_methods(mvi)
    assert sum(map(len, tables)) == len(set().union(*tables))


def test_every_call_gets_what_the_table_says(mvi: Base, ids: Ids) -> None:
    for name, call in WORKS.items():
        answer = call(mvi, ids)
        assert mvi.rsp_ok() and answer is not None, f"{name}: {mvi.text()}"
    for name, call in REFUSED.items():
        call(mvi, ids)
        assert mvi.status_code() == 501 and mvi.json()["result"] == "fail", f"{name}: {mvi.text()}"
    for name, (call, status, told) in OTHERS.items():
        assert call(mvi, ids) is None
        assert mvi.status_code() == status and told in mvi.json()["fault"], f"{name}: {mvi.text()}"
