"""Keeps OpenVINO and NNCF from calling home: Sightline makes no outbound call.

Both send usage events to Google Analytics through the package `openvino_telemetry`, by default and without asking, and both
fall back to a stub of their own when that package is absent. So it is made absent for this process before they are imported.
ONNX Runtime has such a sender too, in its binary; `sightline/__init__.py` turns it off.
"""

import importlib
import sys

TELEMETRY_PACKAGE = "openvino_telemetry"


def silence_telemetry() -> None:
    """Make `openvino_telemetry` impossible to import, and mute it when somebody has imported it already.

    Must run before the first import of openvino or nncf; running it again changes nothing.
    """
    if sys.modules.get(TELEMETRY_PACKAGE) is None:
        sys.modules[TELEMETRY_PACKAGE] = None  # type: ignore[assignment]  # `import` then raises ModuleNotFoundError
        return
    sender = importlib.import_module(f"{TELEMETRY_PACKAGE}.utils.sender").TelemetrySender
    sender.send = _send_nothing


def _send_nothing(self: object, *message: object) -> None:
    """Takes the place of the sender's method."""
