import resource

import pytest

from sightline.core.open_files import FEW_FILES, OPEN_FILES, allow_more_files, are_files_short


def test_the_soft_limit_becomes_the_hard_one():
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(256, soft // 2), hard))
    try:
        assert allow_more_files() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_files_are_short_when_few_may_still_be_opened():
    before = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(list(OPEN_FILES.iterdir()))
    try:
        for more, is_short in (
            (FEW_FILES + 8, False),
            (FEW_FILES - 8, True),
            (-1, True),
        ):  # at last not even that can be counted
            resource.setrlimit(resource.RLIMIT_NOFILE, (opened + more, hard))
            assert are_files_short() is is_short
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_files_are_never_short_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: unlimited)
    assert not are_files_short()
