from pathlib import Path

import pytest
from pydantic import ValidationError

from sightline.core.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SIGHTLINE_{name.upper()}", raising=False)


def test_defaults_stay_on_this_machine():
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.max_image_pixels == 50_000_000
    assert settings.threads >= 1


def test_the_environment_overrides_them(monkeypatch):
    monkeypatch.setenv("SIGHTLINE_WORKSPACE", "/srv/sightline")
    monkeypatch.setenv("SIGHTLINE_PORT", "0")
    monkeypatch.setenv("SIGHTLINE_UNKNOWN", "ignored")
    settings = Settings()
    assert settings.workspace == Path("/srv/sightline")
    assert settings.port == 0


@pytest.mark.parametrize(("name", "value"), [("PORT", "70000"), ("THREADS", "0"), ("MAX_IMAGE_PIXELS", "many")])
def test_values_out_of_range_are_refused(monkeypatch, name, value):
    monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())
