import unicodedata
from types import SimpleNamespace

import argon2
import pytest

from sightline.core.errors import InvalidInput
from sightline.store import passwords
from sightline.store.passwords import UNKNOWN, hash_password, is_password


def test_a_password_is_kept_as_rfc_9106_says_and_never_as_itself():
    kept = hash_password("correct horse")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$") and "horse" not in kept  # §4, the second recommended option
    assert kept != hash_password("correct horse")  # a salt of its own
    assert is_password("correct horse", kept)
    assert not is_password("correct horsf", kept)
    assert argon2.extract_parameters(UNKNOWN) == argon2.extract_parameters(kept)  # so neither takes longer than the other


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("7 chars", "at least 8 characters, got 7"),
        ("x" * 1025, "at most 1024 bytes, got 1025"),
        ("é" * 513, "1026"),
        ("\ud800" * 9, "halves"),
    ],
)
def test_what_is_no_password_is_refused_and_never_matches(password, expected):
    with pytest.raises(InvalidInput, match=expected):
        hash_password(password)
    assert not is_password(password, hash_password("correct horse"))
    assert not is_password(password, None)


def test_of_what_is_too_long_for_a_password_only_a_part_is_composed(monkeypatch):
    composed = []

    def normalize(form, text):  # takes the square of a run of marks, in which no other thread runs
        composed.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(passwords, "unicodedata", SimpleNamespace(normalize=normalize))
    with pytest.raises(InvalidInput, match="got 8000"):
        hash_password("\u0300\u0323" * 4000)
    assert composed == [1025]


def test_the_longest_and_the_shortest_password_are_good():
    for password in ("x" * 1024, "8 chars!"):
        assert is_password(password, hash_password(password))


def test_one_text_typed_in_two_ways_is_one_password():
    assert is_password("cafe\u0301 noir", hash_password("caf\u00e9 noir"))


def test_nobody_and_a_wrong_password_cost_one_comparison_each(monkeypatch):
    compared = []

    class Counted:
        def verify(self, kept, given):
            compared.append(argon2.extract_parameters(kept))
            raise argon2.exceptions.VerifyMismatchError

    kept = hash_password("correct horse")
    monkeypatch.setattr(passwords, "HASHER", Counted())
    for given, stored in (("wrong horse", kept), ("wrong horse", None), ("x" * 5000, kept), ("", None)):
        assert not is_password(given, stored)
    assert len(compared) == 4 and len(set(map(str, compared))) == 1
