from pathlib import Path

import pytest

from sightline.core.errors import InvalidInput
from sightline.core.settings import Settings, read_settings


def test_defaults_stay_on_this_machine() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert settings.host == "127.0.0.1"
    assert settings.max_image_pixels == 50_000_000
    assert settings.threads >= 1


def test_the_environment_overrides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_WORKSPACE", "/srv/sightline")
    monkeypatch.setenv("SIGHTLINE_PORT", "0")
    monkeypatch.setenv("SIGHTLINE_UNKNOWN", "ignored")
    settings = read_settings()
    assert settings.workspace == Path("/srv/sightline")
    assert settings.port == 0


def test_an_empty_value_names_nothing() -> None:
    assert read_settings({"SIGHTLINE_PORT": "", "SIGHTLINE_WORKSPACE": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "70000", "^SIGHTLINE_PORT: expected int <= 65535, got '70000'; set another value, or unset it$"),
        ("THREADS", "0", "^SIGHTLINE_THREADS: expected int >= 1, got '0'"),
        ("MAX_IMAGE_PIXELS", "many", "^SIGHTLINE_MAX_IMAGE_PIXELS: expected int, got 'many'"),
    ],
)
def test_values_out_of_range_are_refused_in_one_line(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_settings({f"SIGHTLINE_{name}": value})


def test_settings_do_not_change_and_keep_keys_to_themselves() -> None:
    settings = Settings(api_keys="team=sha256:salt:hash")
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc]
    assert "salt" not in repr(settings)
    assert "port=8000" in str(settings)
