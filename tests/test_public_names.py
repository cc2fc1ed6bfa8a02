"""What `import sightline` offers to people and to type checkers."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sightline

FACE = Path(sightline.__file__)
SNIPPET = """
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import sightline

with sightline.load("parts") as predictor:
    reveal_type(predictor.predict("a.jpg"))
    reveal_type(predictor.predict([Path("a.jpg"), b"encoded"]))
    reveal_type(predictor.predict_stream(["a.jpg"]))
reveal_type(sightline.Client("http://127.0.0.1:8000").predict("parts", b"encoded"))
reveal_type(sightline.train_model)
sightline.train_modle


class Mine:
    task = "detection"
    categories = ["red"]
    precision = "fp32"

    def predict(
        self, images: Sequence[np.ndarray], confidence_threshold: float | None = None
    ) -> list[list[sightline.Annotation]]:
        return [[] for _ in images]


def tell(event: sightline.ProgressEvent) -> None: ...


def use(workspace: sightline.Workspace, item: sightline.Item, box: sightline.Annotation) -> None:
    own = [sightline.SourceItem(file_name="a", path="a.jpg", annotations=[box]) for _ in range(3)]
    version, _ = sightline.import_dataset(own, workspace, "a", categories=["red"], on_progress=tell, blobs="blobs")
    sightline.measure_predictor(Mine(), version, out=workspace)
    sightline.annotate_version(version, Mine(), out="folder")
    sightline.deploy_artifact(sightline.compile_model("a", workspace, version).folder, "a", workspace)
    metric: float = sightline.read_manifest("a", sightline.ModelManifest).metrics["map"]
    sightline.Meaning(categories=["a"]), sightline.ImportOptions(weights="a"), sightline.read_report("a").content
"""


def read_typed_names() -> dict[str, str]:
    """Name to module of the imports that only type checkers see, each of which must keep its name."""
    found = {}
    for node in ast.walk(ast.parse(FACE.read_text())):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom) and line.module is not None
                for name in line.names:
                    assert name.name == name.asname, f"{name.name}: a type checker exports only `x as x`"
                    found[name.name] = line.module
    return found


def test_type_checkers_see_the_names_that_there_are() -> None:
    assert read_typed_names() == sightline._LAZY


@pytest.mark.parametrize("name", sightline._LAZY)
def test_every_name_is_there_when_it_is_asked_for(name: str) -> None:
    assert getattr(sightline, name).__name__ == name


def test_only_what_is_public_is_listed() -> None:
    assert dir(sightline) == sorted(["__version__", *sightline._LAZY])
    assert {name for name in vars(sightline) if not name.startswith("_")} - {"TYPE_CHECKING"} <= {
        path.stem for path in FACE.parent.iterdir()
    }, "packages that others imported, and nothing else"


@pytest.mark.parametrize(
    "ask",
    [
        lambda given, out: sightline.train_model(given, sightline.make_recipe("classification"), out),
        lambda given, out: sightline.compile_model(out, out, given),
        lambda given, out: sightline.compile_model(out, out, calibrate_on=given),
        lambda given, out: sightline.annotate_version(given, None, out=out),
        lambda given, out: sightline.measure_predictor(None, given, out=out),
        lambda given, out: sightline.export_version(given, out, "coco"),
    ],
)
@pytest.mark.parametrize("given", ["pets", Path("pets")])
def test_a_verb_that_is_given_the_name_or_path_of_a_version_says_how_to_open_it(
    ask: Callable[[Any, Path], object], given: Any, tmp_path: Path
) -> None:
    words = f"expected a DatasetVersion, got {given!r}; open its folder with sightline.open_version(folder)"
    with pytest.raises(sightline.InvalidInput, match=re.escape(words)):
        ask(given, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_none_is_refused_with_what_makes_one(tmp_path: Path) -> None:
    version = sightline.generate_samples(tmp_path / "v", 0, blobs=tmp_path / "blobs")
    with pytest.raises(
        sightline.InvalidInput, match=r"expected a Recipe, got \{'task': .*; make one with sightline.make_recipe"
    ):
        sightline.train_model(version, {"task": "detection"}, tmp_path / "m")  # type: ignore[arg-type]


def test_a_model_is_found_by_its_name_where_a_workspace_is_given(tmp_path: Path) -> None:
    with pytest.raises(sightline.NotFound, match=r"no model 'parts' in .*; there is none yet"):
        sightline.compile_model("parts", sightline.Workspace(tmp_path), precision="fp32")


def test_every_error_has_a_public_name() -> None:
    from sightline.core import errors

    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert raised <= set(sightline.__all__)


def test_what_verbs_give_is_shown_in_a_short_line(tmp_path: Path) -> None:
    item = sightline.SourceItem(file_name="a.png", content=np.zeros((4, 4, 3), np.uint8))
    version, report = sightline.import_dataset([item], sightline.Workspace(tmp_path), "dots")
    assert repr(report) == "ConversionReport(kept={'image': 1, 'annotation': 0}, changed={}, dropped={})"
    assert repr(version.load_items()) == "ItemTable(1 items)"


def test_another_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"'train_modle'.*train_model"):
        sightline.train_modle  # noqa: B018


def test_the_face_loads_nothing_heavy() -> None:
    code = "import sys; import sightline; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=make_environment())
    assert set(ast.literal_eval(ran.stdout)) & {"numpy", "torch", "cv2", "msgspec", "httpx", "openvino", "onnxruntime"} == set()


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("train_model", "torch", "train"), ("compile_model", "onnx", "compile")]
)
def test_a_name_whose_packages_are_missing_names_the_extra(name: str, package: str, extra: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from sightline import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    wanted = f"ModuleNotFoundError: sightline.{name} needs {package}; pip install 'sightline[{extra}]'"
    assert done.stderr.splitlines()[-1] == wanted


@pytest.mark.slow
def test_what_a_user_writes_is_checked_in_full(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(SNIPPET)
    options = ["--strict", "--config-file=", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}"]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "user.py"],
        cwd=tmp_path,
        env=make_environment() | {"MYPYPATH": str(FACE.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line.partition(": ")[2] for line in ran.stdout.splitlines()]
    annotations = "list[sightline.core.annotations.Annotation]"
    assert told[:2] == [f'note: Revealed type is "{kind}"' for kind in (annotations, f"list[{annotations}]")]
    assert annotations in told[2] and "Generator" in told[2]
    assert told[3] == f'note: Revealed type is "{annotations}"'
    assert "def (version: sightline.data.versions.DatasetVersion, recipe: sightline.training.recipe.Recipe" in told[4]
    assert told[5] == 'error: Module has no attribute "train_modle"  [attr-defined]'
    assert len(told) == 7  # the last line counts the errors


def make_environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(FACE.parents[1])}
