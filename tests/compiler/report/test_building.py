import msgspec

from sightline.compiler.report.building import warn_of_noise
from sightline.compiler.tuning.goals import Timing

QUIET = Timing(
    candidate="openvino int8 nncf",
    streams=2,
    threads=1,
    throughput=91.0,
    latency_ms=None,
    cpu_ms=9.0,
    throughput_range=(88.0, 93.0),
    noise=0.02,
)


def test_rounds_that_differ_by_more_than_the_race_allows_for_are_told() -> None:
    assert warn_of_noise(None) == []  # an emulated device is not timed
    assert warn_of_noise(QUIET) == []
    (warning,) = warn_of_noise(msgspec.structs.replace(QUIET, noise=0.24, throughput_range=(45.0, 104.2)))
    assert "45.0 to 104.2 pictures/s" in warning
    assert "--fresh" in warning
