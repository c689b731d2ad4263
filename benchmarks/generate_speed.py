"""How long a portrait takes on this machine: a fresh process, and one more in a running one; and the memory.

    python benchmarks/generate_speed.py [--photo examples/eileen_collins.jpg] [--repeats 5] [--steps N ...]

Prints a Markdown table of medians. "Cold" is `facesnap generate` from the start of the process to its end, with files
cached by the system (the first run is not counted); "warm" is one call of a loaded FaceSnap with an enrolled person,
without the report. Memory is the cold process' peak.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import most_of

PROMPT = "a portrait of a person in a red jacket"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path("examples/eileen_collins.jpg"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=[], help="more than the model's default")
    asked = parser.parse_args()
    from facesnap import FaceSnap
    from facesnap.core.machine import machine, today

    snap = FaceSnap.from_pretrained("mini", device="cpu")
    snap.pipeline.set_progress_bar_config(disable=True)
    print(f"{machine('cpu')}, {today()}, {snap.size()[0]} px, median of {asked.repeats}\n")
    print("| steps | cold | warm | peak memory |\n|---|---|---|---|")
    person = snap.enroll(asked.photo)
    for steps in sorted({snap.default_steps, *asked.steps}):
        warm = timed(lambda steps=steps: snap(PROMPT, person, seed=1, num_inference_steps=steps), asked.repeats)
        cold, memory = fresh(asked.photo, steps, asked.repeats)
        print(f"| {steps} | {cold:.1f} s | {warm:.2f} s | {memory:.0f} MB |", flush=True)


def timed(call, repeats: int) -> float:  # type: ignore[no-untyped-def]
    """Median seconds of a call; the first isn't counted."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def fresh(photo: Path, steps: int, repeats: int) -> tuple[float, float]:
    """Median seconds of a process that makes one portrait, and the largest peak of its memory in megabytes."""
    command = [sys.executable, "-m", "facesnap.cli.app", "generate", "-r", str(photo), "-p", PROMPT, "--seed", "1"]
    seconds, peak = [], 0
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            process = subprocess.Popen([*command, "--steps", str(steps), "-o", folder], stdout=subprocess.DEVNULL)
            while process.poll() is None:
                peak = max(peak, most_of(process.pid))
                time.sleep(0.005)
            seconds.append(time.perf_counter() - start)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
    return statistics.median(seconds[1:]), peak / 1024


if __name__ == "__main__":
    main()
