from pathlib import Path

import pytest
from cli_fixtures import Run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model-control", "sometimes"), "none, poll or explicit, got 'sometimes'"),
        (("--load", "parts"), "--load with --model-control explicit, got it with poll"),
        (("--model-control", "none", "--load", "parts"), "got it with none"),
        (("--tls-key", "key.pem"), "--tls-certificate"),
    ],
)
def test_options_that_mean_nothing_together_are_refused_before_anything_opens(
    run: Run, workspace: Path, options: tuple[str, ...], words: str
) -> None:
    ran = run("serve", "--port", "0", *options)
    assert ran.code == 2 and words in ran.err.splitlines()[-1]
