"""How many portraits per second `facesnap batch` makes on this machine, by size of batch and number of workers.

    python benchmarks/batch_speed.py [--photo examples/eileen_collins.jpg] [--pictures 32] [--sizes 1 2 4 8]
        [--workers 1 2] [--device cpu] [--steps N]

Prints a Markdown table. A run is measured from its first batch that is written to its last one, so that starting
processes and loading models don't count; likeness reports and writing do. Workers share the cores out among them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path("examples/eileen_collins.jpg"))
    parser.add_argument("--pictures", type=int, default=32, help="per run, more than twice a batch of each worker")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu", help="a list such as cuda:0,cuda:1 is taken in turn")
    parser.add_argument("--steps", type=int, help="default: the model's own")
    asked = parser.parse_args()
    from facesnap.core.machine import machine, today

    print(f"{machine(asked.device.split(',')[0])}, {today()}, mini, {asked.pictures} portraits per run\n")
    print("| portraits at once | " + " | ".join(f"{count} worker(s)" for count in asked.workers) + " |")
    print("|---" * (1 + len(asked.workers)) + "|")
    for size in asked.sizes:
        rates = [f"{rate(asked, size, workers):.2f}/s" for workers in asked.workers]
        print(f"| {size} | {' | '.join(rates)} |", flush=True)


def rate(asked: argparse.Namespace, size: int, workers: int) -> float:
    """Portraits per second, between the first batch that is done and the last."""
    from facesnap.core.machine import cores
    from facesnap.core.workers import Backend
    from facesnap.pipelines.batch import run_batch

    job = {"reference": str(asked.photo.absolute()), "prompt": "a person in a red jacket", "count": asked.pictures}
    times: list[tuple[float, int]] = []

    def progress(what: str, more: int, of: int | None) -> None:
        if more:
            times.append((time.perf_counter(), more))

    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder) / "jobs.jsonl"
        jobs.write_text(json.dumps(job if asked.steps is None else {**job, "num_inference_steps": asked.steps}))
        threads = None if workers == 1 else max(1, cores() // workers)
        backend = Backend(workers, devices=asked.device.split(","), threads=threads)
        run_batch(jobs, Path(folder) / "out", size=size, backend=backend, progress=progress)
    if len(times) < 2:
        raise SystemExit(f"{asked.pictures} portraits are one batch of {size}: ask for more --pictures")
    return sum(more for _, more in times[1:]) / (times[-1][0] - times[0][0])


if __name__ == "__main__":
    main()
