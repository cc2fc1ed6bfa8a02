import subprocess
import sys

from starlette.testclient import TestClient


def test_forms_are_told_what_can_be_trained_and_on_what(api: TestClient) -> None:
    options = api.get("/v1/training-options").json()
    tasks = {task["task"]: task for task in options["tasks"]}
    assert set(tasks) == {"classification", "multilabel", "detection", "instance", "semantic"}
    assert tasks["detection"]["networks"][0] == {"name": "fast", "network": "csp_detector", "size": 320}
    assert [one["name"] for one in tasks["instance"]["networks"]] == ["fast", "csp_instances"]
    assert tasks["detection"]["defaults"]["batch_size"] == 8 and "min" in options["budget_units"]
    devices = {device["name"]: device for device in api.get("/v1/devices").json()["devices"]}
    assert devices["cpu"]["is_here"] and "fp32" in devices["cpu"]["precisions"]
    assert all(engine["missing"] for device in devices.values() if not device["is_here"] for engine in device["engines"])


def test_a_server_without_a_gpu_loads_no_pytorch_to_say_so() -> None:
    asked = "describe_device(DEVICES['cuda'], False)['is_here']"
    program = "import sys; from sightline.api.machine import DEVICES, describe_device; print"
    done = subprocess.run([sys.executable, "-c", f"{program}({asked}, 'torch' in sys.modules)"], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr
