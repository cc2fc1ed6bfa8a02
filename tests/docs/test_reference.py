"""The reference pages are what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "docs/reference/generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


@pytest.mark.parametrize("name", generator.PAGES)
def test_the_reference_page_is_up_to_date(name: str) -> None:
    page = ROOT / "docs/reference" / name
    assert page.is_file(), f"{name} is missing; run make docs"
    assert page.read_text() == generator.render_page(name), f"{name} is out of date; run make docs"


def test_the_schema_that_the_web_app_is_typed_by_is_up_to_date() -> None:
    page = ROOT / "web/src/api/openapi.json"
    assert page.read_text() == generator.render_openapi(), (
        "openapi.json is out of date; run make docs, and npm run schema in web/"
    )


def test_the_reference_of_python_sends_nobody_to_what_is_not_public() -> None:
    layers = "|".join(path.name for path in (ROOT / "src/sightline").iterdir() if path.is_dir())
    told = [line for line in generator.render_page("python.md").splitlines() if re.search(rf"\b({layers})\.[a-z_]+", line)]
    assert told == []


def test_every_setting_has_a_description() -> None:
    from sightline.core.settings import Settings

    hints = get_type_hints(Settings, include_extras=True)
    assert [name for name in Settings.__struct_fields__ if not get_args(hints[name])[1].description] == []
