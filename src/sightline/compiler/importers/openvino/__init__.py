"""OpenVINO IR, and the converter of OpenVINO graphs."""
