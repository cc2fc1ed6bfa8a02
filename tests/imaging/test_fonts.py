"""Which font writes a name: DejaVu Sans, else one of the system, else none, which is told once."""

import logging
import os
from pathlib import Path

import pytest

from sightline.imaging import fonts
from sightline.imaging.fonts import FontFile, ask_fontconfig, find_font, find_usual_font, has_letters

PRIVATE = "\ue000\ue001"  # letters of a font that matplotlib has for formulas, and DejaVu Sans lacks
FORMULAS = find_usual_font().path.with_name("STIXNonUni.ttf")


@pytest.fixture(autouse=True)
def fresh() -> None:
    fonts._find_font.cache_clear()
    fonts._told.clear()


def install_fontconfig(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    program = folder / "fc-match"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("name", ["Öl", "масло", "ελιά", "قطة", "naïve façade"])
def test_alphabets_are_written_with_the_usual_font(name: str) -> None:
    assert find_font(name) == find_usual_font()


def test_a_font_has_letters_or_lacks_them() -> None:
    assert has_letters(find_usual_font(), "abÖж %")
    assert not has_letters(find_usual_font(), "a猫")
    assert not has_letters(find_usual_font(), "हिन्दी")
    assert has_letters(FontFile(FORMULAS), PRIVATE)


def test_fontconfig_s_answer_is_a_file_and_a_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fontconfig(tmp_path, monkeypatch, f"""printf '65538|%s' "{tmp_path}/$(echo "$2" | sed 's/.*=//')" """)
    assert ask_fontconfig("日本") == FontFile(tmp_path / "65e5 672c", 2)  # 65536 is a form of a variable font


@pytest.mark.parametrize("answer", ["exit 1", "true"])
def test_without_an_answer_there_is_no_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    install_fontconfig(tmp_path, monkeypatch, answer)
    assert ask_fontconfig("日") is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))
    assert ask_fontconfig("日") is None


def test_a_font_of_the_system_is_taken_where_it_has_all_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "BESIDE", "")  # the font for formulas has no others
    monkeypatch.setattr(fonts, "ask_fontconfig", lambda letters: FontFile(FORMULAS))
    assert find_font(f"{PRIVATE} 90%") == FontFile(FORMULAS)
    assert find_font(f"{PRIVATE}猫") is None


def test_that_no_font_has_the_letters_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(fonts, "ask_fontconfig", lambda letters: find_usual_font())
    with caplog.at_level(logging.WARNING, "sightline.imaging"):
        assert [find_font(name) for name in ("猫 cat", "犬", "猫")] == [None] * 3
    (line,) = caplog.messages
    assert line.startswith("no font here has the letters 猫: ")
