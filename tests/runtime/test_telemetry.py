"""No outbound call: the engines' usage reporting must not open a socket, in a process of its own as users have it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

GUARD = """
    import os, select, socket, sys

    asked, asking = os.pipe()  # the sender may be a fork

    def refuse(*arguments, **options):
        print("CONNECTED", arguments[1:2], flush=True)
        os.write(asking, b"!")
        raise OSError("no network in this test")

    socket.socket.connect = refuse
    socket.getaddrinfo = refuse
"""


def run_guarded(body: str) -> str:
    code = textwrap.dedent(GUARD) + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def list_sender_files(before: str, folder: Path) -> list[str]:
    """What ONNX Runtime's sender, which opens its sockets in C++, leaves of itself in the folder of temporary files."""
    folder.mkdir()
    quiet = {"ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS", "TF_BUILD"}  # each turns it off
    inherited = {name: value for name, value in os.environ.items() if name not in quiet}
    environment = inherited | {"TMPDIR": str(folder), "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    code = f"""
        {before}
        import onnx, onnxruntime
        from onnx import helper
        ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnxruntime.InferenceSession(model.SerializeToString())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, check=True, timeout=300)
    return sorted(path.name for path in folder.iterdir())


def test_onnxruntime_does_not_even_start_its_sender(tmp_path: Path) -> None:
    assert list_sender_files("import onnxruntime", tmp_path / "alone") == [".ses"]  # the test can fail
    assert list_sender_files("import sightline", tmp_path / "with-us") == []


def test_the_guard_sees_an_unsilenced_report(tmp_path: object) -> None:
    """The test can fail: sending an event without silencing reaches for the network."""
    out = run_guarded(
        """
        import openvino_telemetry
        telemetry = openvino_telemetry.Telemetry("test", "1", tid="none", backend="ga4", enable_opt_in_dialog=False)
        telemetry.consent = True
        telemetry.send_event("a", "b", "c", force_send=True)
        select.select([asked], [], [], 60)
        os._exit(0)  # a shutdown waits 20 seconds for a thread that does not end
        """
    )
    assert "CONNECTED" in out


def test_silenced_packages_open_no_socket() -> None:
    out = run_guarded(
        """
        from sightline.runtime.telemetry import silence_telemetry
        silence_telemetry()
        import numpy as np, openvino as ov
        from openvino import opset13 as op
        from openvino.tools.ovc import convert_model
        import nncf
        x = op.parameter([1, 3, 8, 8], np.float32, name="x")
        weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
        model = ov.Model([op.result(op.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1]))], [x], "m")
        nncf.quantize(model, nncf.Dataset([np.zeros((1, 3, 8, 8), np.float32)]), subset_size=1)
        assert sys.modules["openvino_telemetry"] is None
        print("DONE")
        """
    )
    assert "DONE" in out
    assert "CONNECTED" not in out


def test_a_package_imported_before_us_is_muted() -> None:
    out = run_guarded(
        """
        import openvino_telemetry
        from sightline.runtime.telemetry import silence_telemetry
        silence_telemetry()
        telemetry = openvino_telemetry.Telemetry("test", "1", tid="none", backend="ga4", enable_opt_in_dialog=False)
        telemetry.consent = True
        telemetry.send_event("a", "b", "c", force_send=True)
        telemetry.force_shutdown(20)
        print("DONE")
        """
    )
    assert "DONE" in out
    assert "CONNECTED" not in out
