"""Each test draws the same numbers, whichever tests ran before it."""

import pytest
from nodes import start_numbers


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    start_numbers()
