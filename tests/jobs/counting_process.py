"""`sightline.jobs.process` that knows the kind of job of `counting` too, and is quicker to see that it is alone if asked to."""

import os
import sys
from pathlib import Path

from sightline.jobs import process
from sightline.jobs.kinds.table import KINDS

KINDS["count"] = "counting:COUNT"
if "COUNT_AS_DEPLOY" in os.environ:
    KINDS["deploy"] = "counting:COUNT_AS_DEPLOY"
if "LONELY_S" in os.environ:
    process.ORPHAN_S = process.SERVER_LOOK_S = process.LOOK_S = float(os.environ["LONELY_S"])
if "LOG_BYTES" in os.environ:
    process.MAX_LOG_BYTES, process.LOOK_S = int(os.environ["LOG_BYTES"]), 0.05
sys.exit(process.main(Path(sys.argv[1]), sys.argv[2]))
