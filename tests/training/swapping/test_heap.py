"""What a process that swaps asks of the system, and what it leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE = """
import os, sys, torch
from sightline.training.swapping.heap import HUGE_PAGES, use_huge_pages

use_huge_pages()
assert HUGE_PAGES not in os.environ
large = torch.ones(32 << 20, dtype=torch.uint8)
print(sum(int(line.split()[1]) for line in open("/proc/self/smaps") if line.startswith("AnonHugePages:")))
"""


@pytest.mark.skipif(not ENABLED.is_file() or "[never]" in ENABLED.read_text(), reason="this kernel gives no huge pages")
def test_huge_pages_are_this_process_s_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    result = subprocess.run([sys.executable, "-c", HUGE], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0
