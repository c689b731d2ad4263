"""The load test itself, small: it runs from end to end, kill -9 in the middle included."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.mini
@pytest.mark.skipif(sys.platform != "linux", reason="clients have addresses of their own, and /proc is read")
def test_a_small_load_test() -> None:
    small = ["--requests", "30", "--clients", "3", "--generations", "4", "--crash-jobs", "8"]
    done = subprocess.run(
        [sys.executable, "benchmarks/serve_load.py", *small],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 requests of 3 clients" in done.stdout
    assert len(re.findall(r"^\| [a-z ]+ \| \d+ \|(?: \d+ ms \|){4}$", done.stdout, re.MULTILINE)) == 8
    assert "what ran interrupted, what waited painted" in done.stdout
