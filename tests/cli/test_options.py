from sightline.cli.commands.measure_load import LoadArguments
from sightline.cli.commands.measure_sweep import SweepArguments
from sightline.cli.options import list_given


def test_what_was_typed_is_given_be_it_nought() -> None:
    given = list_given(SweepArguments(first_calibration_batch=0, quiet=True))
    assert {name for name, is_given in given.items() if is_given} == {"--first-calibration-batch", "--quiet"}
    assert not any(list_given(SweepArguments()).values()) and not any(list_given(LoadArguments()).values())
    assert list_given(LoadArguments(rate=("80%",)))["--rate"]
