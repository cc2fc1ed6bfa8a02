"""Python imports this at its start, where this folder is on its PYTHONPATH."""

import quick_timing

quick_timing.install()
