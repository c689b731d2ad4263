"""How fast ``facesnap data prepare`` is, and how its memory grows with the number of photos.

    python benchmarks/prepare_speed.py SOURCE [--counts 200 800 3200] [--workers 2] [--size 128] [--face-encoder ...]

SOURCE is anything that ``data prepare`` reads, such as a folder of rendered shards. Each count is a run of its own, in
a process of its own: photos per second of pass 1 and of the whole, and the peak memory of the main process and of the
largest worker. Pass 2 holds some arrays per photo (about 100 bytes); what else grows with the count is a fault.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(arguments: argparse.Namespace) -> None:
    """One run; prints a line of JSON."""
    from facesnap.core.workers import Backend
    from facesnap.data.decide import DecideSettings
    from facesnap.data.encoders import EncoderSource
    from facesnap.data.examine import ExamineSettings
    from facesnap.data.photos import Words
    from facesnap.data.prepare import Request, prepare
    from facesnap.data.quality import Limits

    examined = [0.0, 0]

    def progress(what: str, more: int, of: int | None) -> None:
        if what == "examining":
            examined[:] = time.monotonic() - start, int(examined[1]) + more

    with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
        request = Request(
            arguments.source,
            Path(folder) / "out",
            words=Words("rendered", folders=False),
            examine=ExamineSettings(Limits(min_face=40), size=arguments.size),
            decide=DecideSettings(),
            limit=arguments.count,
        )
        start = time.monotonic()
        info = prepare(request, EncoderSource(), Backend(arguments.workers), progress)
        seconds = time.monotonic() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    result = {
        "photos": examined[1],
        "kept": sum(split.photos for split in info.splits.values()),
        "examined_per_s": round(examined[1] / examined[0], 2),
        "all_per_s": round(examined[1] / seconds, 2),
        "main_mb": round(own / 1024),
        "worker_mb": round(children / 1024),
        "disk_mb": round(size / 1e6, 1),
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    """Run all counts and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[200, 800, 3200])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument(
        "--out", type=Path, default=Path(tempfile.gettempdir()), help="where data sets are made, and deleted"
    )
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.count:
        measure(arguments)
        return
    options = ["--workers", str(arguments.workers), "--size", str(arguments.size), "--out", str(arguments.out)]
    for count in arguments.counts:
        words = [sys.executable, __file__, str(arguments.source), *options, "--count", str(count)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        print(done.stdout.strip() or done.stderr.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
