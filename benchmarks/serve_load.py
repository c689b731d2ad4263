"""The service under load: mixed requests of many clients, memory over many generations, and a crash in the middle.

    python benchmarks/serve_load.py [--requests 200] [--clients 20] [--generations 500] [--crash-jobs 16]

Starts `facesnap serve --no-ui` with mini and data of its own, and asks it from addresses 127.0.0.2, .3 ..., which count
as clients of their own (Linux). Prints Markdown; ends with an error if

- a request isn't answered as it must be, or a job is lost;
- the memory of the service grows over the generations;
- after kill -9 and another start, a finished picture isn't there, what ran isn't `interrupted`, or what waited isn't
  painted.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from facesnap.core.machine import machine, today

PROMPTS = ("a portrait of a person in a red jacket", "a pencil sketch of a person", "a person with a hat, smiling")

#: Shares of the mixed requests after the first one of each client, in percent; what is missing to 100 asks for status.
MIX = {
    "enrol": 4,
    "preview": 24,
    "generate": 22,
    "status": 20,
    "picture": 12,
    "cancel": 6,
    "bad request": 12,
}

#: Steps of the jobs under load, of those that measure memory, and of those that are interrupted.
STEPS, FEWEST, MANY = 4, 1, 12

#: Generations until everything that is kept for good is in memory, and megabytes by which it may grow afterwards.
WARM, GROWTH = 100, 40.0

CONFIG = "[limits]\nrequests_per_minute = 1000000\ngenerations_per_minute = 1000000\n"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path("examples/eileen_collins.jpg"))
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--generations", type=int, default=500)
    parser.add_argument("--crash-jobs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    photo = upload(asked.photo)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with served(data) as server:
            mixed(server, photo, asked.requests, asked.clients, asked.seed)
            memory(server, photo, asked.generations)
            before = crash(server, data, photo, asked.crash_jobs)
        with served(data) as server:
            after_the_crash(server, before)


def upload(path: Path) -> bytes:
    """A photo as phones send it after some resizing: JPEG, at most 1200 px."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((1200, 1200))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


# --- the service, and one client of it ---


class Server:
    """A running service."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    @property
    def megabytes(self) -> float:
        """What it holds in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, status
        return int(found.group(1)) / 1024

    def health(self) -> dict[str, Any]:
        """How it is."""
        return dict(httpx.get(f"{self.url}/v1/health").json())


@contextmanager
def served(data: Path) -> Iterator[Server]:
    """The service with a data folder, ready; it is killed at the end."""
    config = data / "serve.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "facesnap.cli.app", "serve", "--no-ui", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data", str(data), "--config", str(config)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise SystemExit("the service didn't start")
        server = Server(process, found.group())
        wait_until(lambda: server.health()["status"] == "ready")
        yield server
    finally:
        process.kill()
        process.wait()


class Caller:
    """One client at an address of its own; writes down how long answers take, by kind."""

    def __init__(self, server: Server, number: int, photo: bytes, seed: int = 0) -> None:
        transport = httpx.HTTPTransport(local_address=f"127.0.0.{2 + number}")
        self.http = httpx.Client(base_url=server.url, transport=transport, timeout=600)
        self.photo, self.random = photo, random.Random(f"{seed} {number}")
        self.person = ""
        self.jobs: dict[str, str] = {}  # id -> the state it must end in
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def ask(self, kind: str, expected: int, method: str, path: str, **request: Any) -> httpx.Response:
        """One request, timed. SystemExit if it is answered otherwise than it must be."""
        begun = time.perf_counter()
        answer = self.http.request(method, path, **request)
        self.seconds[kind].append(time.perf_counter() - begun)
        if answer.status_code != expected:
            raise SystemExit(f"{kind}: {method} {path} was answered {answer.status_code}: {answer.text[:300]}")
        return answer

    def enrol(self) -> None:
        """Send a photo; further jobs are of that person."""
        files, about = {"photos": ("me.jpg", self.photo)}, {"consent": "true"}
        self.person = self.ask("enrol", 201, "POST", "/v1/identities", files=files, data=about).json()["id"]

    def submit(self, kind: str, steps: int, **settings: Any) -> str:
        """Ask for a portrait and don't wait."""
        wanted = {
            "identity": self.person,
            "prompt": self.random.choice(PROMPTS),
            "seed": self.random.randrange(1000),
            "num_inference_steps": steps,
            "pose": {"yaw": self.random.uniform(-20, 20)},
            **settings,
        }
        job = str(self.ask(kind, 202, "POST", "/v1/generations", json=wanted).json()["id"])
        self.jobs[job] = "done"
        return job

    def generate(self) -> None:
        """Ask for a portrait, and follow it to its end."""
        begun = time.perf_counter()
        job = self.submit("submit", STEPS, num_images=self.random.choice((1, 1, 1, 2)))
        self.follow(job)
        self.seconds["generate"].append(time.perf_counter() - begun)

    def follow(self, job: str) -> None:
        """Read a job's events until the last one."""
        with self.http.stream("GET", f"/v1/generations/{job}/events") as answer:
            if "event: end" not in "\n".join(answer.iter_lines()):
                raise SystemExit(f"the events of job {job} ended without an end")

    def states(self, jobs: list[str]) -> Counter[str]:
        """How many of some jobs are in which state."""
        return Counter(self.http.get(f"/v1/generations/{job}").json()["state"] for job in jobs)

    def preview(self) -> None:
        """Look at a landmark map, as a slider that is moved."""
        wanted = {"identity": self.person, "pose": {"yaw": self.random.uniform(-30, 30), "expression": {"smile": 0.5}}}
        self.ask("preview", 200, "POST", "/v1/landmarks", json=wanted, headers={"Accept": "image/png"})

    def status(self) -> None:
        """How a job of this client is; without one, how the service is."""
        if self.jobs:
            self.ask("status", 200, "GET", f"/v1/generations/{self.random.choice(list(self.jobs))}")
        else:
            self.ask("status", 200, "GET", "/v1/health")

    def picture(self) -> None:
        """Fetch a finished picture; make one first, if there is none."""
        if "done" not in self.jobs.values():
            self.generate()
        job = self.random.choice([job for job, end in self.jobs.items() if end == "done"])
        png = self.ask("picture", 200, "GET", f"/v1/generations/{job}/pictures/0").content
        Image.open(io.BytesIO(png)).load()

    def cancel(self) -> None:
        """Ask for something long, and stop it after a moment."""
        job = self.submit("submit", 90)
        time.sleep(self.random.uniform(0, 3))
        state = self.ask("cancel", 200, "POST", f"/v1/generations/{job}/cancel").json()["state"]
        self.jobs[job] = "cancelled"
        if state != "cancelled":
            raise SystemExit(f"job {job} was cancelled and is {state}")

    def bad_request(self) -> None:
        """Ask for what can't be."""
        wanted = {"identity": self.person, "prompt": "a person"}
        wrong: list[tuple[int, str, str, dict[str, Any]]] = [
            (404, "GET", f"/v1/generations/{'x' * 16}", {}),
            (404, "POST", "/v1/generations", {"json": {**wanted, "identity": "x" * 16}}),
            (422, "POST", "/v1/generations", {"json": {**wanted, "pose": {"yaw": 1000}}}),
            (422, "POST", "/v1/generations", {"json": {**wanted, "width": 100_000}}),
            (422, "POST", "/v1/generations", {"content": b"{"}),
            (415, "POST", "/v1/faces", {"files": {"photo": ("me.jpg", b"no picture at all")}}),
            (422, "POST", "/v1/identities", {"files": {"photos": ("me.jpg", self.photo)}}),
        ]
        expected, method, path, request = self.random.choice(wrong)
        self.ask("bad request", expected, method, path, **request)


# --- three trials ---


def mixed(server: Server, photo: bytes, requests: int, clients: int, seed: int) -> None:
    """Requests of all kinds at once; prints how long they took."""
    more = requests - clients  # every client begins with an enrolment
    kinds = [kind for kind, share in MIX.items() for _ in range(share * more // 100)]
    kinds += ["status"] * (more - len(kinds))
    random.Random(seed).shuffle(kinds)
    callers = [Caller(server, number, photo, seed) for number in range(clients)]
    begun, running = time.monotonic(), server.megabytes

    def run(number: int) -> None:
        callers[number].enrol()
        for kind in kinds[number::clients]:
            getattr(callers[number], kind.replace(" ", "_"))()

    at_once(run, clients)
    taken = time.monotonic() - begun
    lost = [line for caller in callers for line in not_as_they_must(caller)]
    if lost or server.health()["queue"] or server.health()["running"]:
        raise SystemExit(f"lost: {lost or server.health()}")
    jobs = Counter(end for caller in callers for end in caller.jobs.values())
    print(f"{machine('cpu')}, {today()}: {requests} requests of {clients} clients in {taken:.0f} s, none lost;")
    print(f"{jobs['done']} jobs done, {jobs['cancelled']} cancelled; memory {running:.0f} MB before, ", end="")
    print(f"{server.megabytes:.0f} MB after\n")
    print("| request | number | p50 | p90 | p99 | longest |\n|---|---|---|---|---|---|")
    for kind in ("enrol", "preview", "submit", "generate", "status", "picture", "cancel", "bad request"):
        seconds = [each for caller in callers for each in caller.seconds[kind]]
        if seconds:
            told = " | ".join(f"{1000 * percentile(seconds, share):.0f} ms" for share in (50, 90, 99, 100))
            print(f"| {kind} | {len(seconds)} | {told} |", flush=True)


def not_as_they_must(caller: Caller) -> Iterator[str]:
    """A line for each job that didn't end as it had to, or whose pictures aren't all there."""
    for job, end in caller.jobs.items():
        status = caller.http.get(f"/v1/generations/{job}").json()
        if status.get("state") != end:
            yield f"job {job} is {status.get('state')}, not {end}: {status.get('error')}"
        for index in range(status["request"]["num_images"] if end == "done" else 0):
            if caller.http.get(f"/v1/generations/{job}/pictures/{index}").status_code != 200:
                yield f"picture {index} of job {job}"


def memory(server: Server, photo: bytes, generations: int) -> None:
    """Many generations, a few waiting at any time; prints and checks what the service holds."""
    if not generations:
        return
    lock, left, seen = threading.Lock(), list(range(generations)), {}

    def run(number: int) -> None:
        caller = Caller(server, 100 + number, photo)
        caller.enrol()
        while True:
            with lock:
                if not left:
                    return
                left.pop()
            caller.follow(caller.submit("submit", FEWEST))
            with lock:
                seen[len(seen) + 1] = server.megabytes

    begun = time.monotonic()
    at_once(run, 4)
    every = max(1, generations // 10)
    print(f"\n{generations} generations of {FEWEST} step in {time.monotonic() - begun:.0f} s\n")
    marks = range(every, generations + 1, every)
    print(f"| generations | {' | '.join(map(str, marks))} |\n|---{'|---' * len(marks)}|")
    print(f"| memory, MB | {' | '.join(f'{seen[mark]:.0f}' for mark in marks)} |", flush=True)
    later = [seen[mark] for mark in range(WARM + 1, generations + 1)]
    if len(later) >= WARM:
        quarter = len(later) // 4
        grown = statistics.median(later[-quarter:]) - statistics.median(later[:quarter])
        print(f"\nfrom its first quarter to its last, after {WARM} generations: {grown:+.1f} MB")
        if grown > GROWTH:
            raise SystemExit(f"the memory grows: by {grown:.0f} MB in {len(later)} generations")


def crash(server: Server, data: Path, photo: bytes, jobs: int) -> dict[str, tuple[str, bytes]]:
    """Kill the service while it paints and others wait. What was so then: job -> (state, first picture)."""
    caller = Caller(server, 200, photo)
    caller.enrol()
    # No two neighbours fit into one batch, so that some are done while others wait.
    mine = [caller.submit("submit", MANY + number % 2) for number in range(min(jobs, 16))]
    wait_until(lambda: caller.states(mine)["done"] >= min(3, jobs // 4))
    wait_until(lambda: caller.states(mine)["running"] >= 1)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    found = {}
    for job, state in rows(data):
        picture = data / "results" / job / "0.png"
        found[job] = (state, picture.read_bytes() if state == "done" else b"")
    now = Counter(found[job][0] for job in mine)
    print(f"\nkill -9 while {now['done']} of {len(mine)} jobs were done, {now['running']} ran, {now['queued']} waited")
    if not (now["running"] and now["queued"]):
        raise SystemExit("the crash came too late to show anything: ask for more --crash-jobs")
    return found


def after_the_crash(server: Server, before: dict[str, tuple[str, bytes]]) -> None:
    """Nothing finished is lost, what ran is said to be interrupted, what waited is painted."""
    wait_until(lambda: not server.health()["queue"] and not server.health()["running"])
    must = {"done": "done", "running": "interrupted", "queued": "done", "cancelled": "cancelled"}
    for job, (state, picture) in before.items():
        after = httpx.get(f"{server.url}/v1/generations/{job}").json().get("state")
        if after != must[state]:
            raise SystemExit(f"job {job} was {state} and is {after}")
        if must[state] == "done":
            answer = httpx.get(f"{server.url}/v1/generations/{job}/pictures/0")
            if answer.status_code != 200 or picture not in (b"", answer.content):
                raise SystemExit(f"the picture of job {job}, which was {state}, isn't what it was")
    kept = sum(state == "done" for state, _ in before.values())
    print(f"after the restart: all {kept} finished pictures as they were, what ran interrupted, what waited painted")


def rows(data: Path) -> list[tuple[str, str]]:
    """Id and state of every job, as the database has them; only where no service has it."""
    connection = sqlite3.connect(data / "service.db")
    try:
        return [(str(key), str(state)) for key, state in connection.execute("SELECT id, state FROM jobs")]
    finally:
        connection.close()


def at_once(run: Callable[[int], None], number: int) -> None:
    """Call a function with 0 to number - 1, each in a thread; what one raises is raised."""
    with ThreadPoolExecutor(number) as pool:
        for future in [pool.submit(run, each) for each in range(number)]:
            future.result()


def wait_until(true: Callable[[], bool], seconds: float = 600.0) -> None:
    """Ask until the answer is yes."""
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > end:
            raise SystemExit(f"waited for {seconds:.0f} seconds")
        time.sleep(0.05)


def percentile(values: list[float], share: int) -> float:
    """The value that ``share`` percent of all don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the service's; clients need the other core
    main()
