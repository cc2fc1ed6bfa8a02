from types import SimpleNamespace

import pytest

from sightline.serving.repository.configuration import InstanceGroup
from sightline.serving.repository.describing import _describe_instances


@pytest.mark.parametrize(("device", "kind"), [("cpu", "KIND_CPU"), ("fpga-emulator", "KIND_CPU"), ("cuda", "KIND_MODEL")])
def test_the_kind_of_the_instances_is_one_that_a_configuration_may_state(device: str, kind: str) -> None:
    described = _describe_instances(SimpleNamespace(name="parts", device=device, streams=2))  # type: ignore[arg-type]
    assert described["kind"] == kind
    assert kind in InstanceGroup.__annotations__["kind"].__args__
