import msgspec

from sightline.core.progress import ProgressEvent, ignore_progress


def test_an_event_survives_json():
    event = ProgressEvent(stage="training", progress=0.5, remaining_s=3.0, metrics={"loss": 0.1}, message="half way")
    assert msgspec.json.decode(msgspec.json.encode(event), type=ProgressEvent) == event


def test_the_default_listener_does_nothing():
    assert ignore_progress(ProgressEvent(stage="x")) is None
