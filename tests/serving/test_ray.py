"""The painter whose replicas are in a Ray cluster, and the service around it: two replicas on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from tests.pipelines.conftest import FixedDetector
from tests.serving.apps import wait_until
from tests.serving.scripted import Scripted, finished, request

from facesnap.cli import app, serve
from facesnap.core import lazy
from facesnap.core.errors import EncoderMismatchError, FaceSnapError, NoFaceError, PromptError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.serving import ray_start
from facesnap.serving.config import RaySettings, ServeConfig
from facesnap.serving.local import LocalPainter
from facesnap.serving.painter import Enrolment, Order, Painted, Painter
from facesnap.serving.ray_replica import Outcome
from facesnap.serving.requests import JobState, LoadedModelInfo, ModelInfo
from facesnap.serving.service import Service

if find_spec("ray") is None:
    pytest.skip("Ray isn't installed: pip install facesnap[ray]", allow_module_level=True)

#: Steps that take a second or more: what goes on meanwhile is what is tested.
LONG = 100

#: Every process that a test starts has this in its environment, so that those left behind are found.
MARK = "FACESNAP_TEST_RUN"


class Seen:
    """Writes down its steps and when they came; ``when`` is called with each."""

    def __init__(self, when: Any = lambda step: None) -> None:
        self.steps: list[int] = []
        self.times: list[float] = []
        self.previews: Mapping[str, bytes] | None = None
        self.unwanted: Collection[str] = ()
        self._when = when

    def step(self, step: int, steps: int, previews: Mapping[str, bytes] | None) -> None:
        del steps
        self.steps.append(step)
        self.times.append(time.monotonic())
        self.previews = previews
        self._when(step)

    def stopped(self) -> Collection[str]:
        return self.unwanted


@pytest.fixture(scope="module", autouse=True)
def environment(tiny_mini: Path) -> Iterator[None]:
    """What Ray must find when it is imported, whichever test does that first."""
    kept = dict(os.environ)
    os.environ |= {
        "FACESNAP_MINI": str(tiny_mini),
        "RAY_worker_niceness": "0",  # on a busy machine, replicas wouldn't get to start
        MARK: uuid.uuid4().hex,
    }
    ray_start._prepare()
    yield
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ |= kept


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ServeConfig:
    return ServeConfig(data=tmp_path_factory.mktemp("data"), device="cpu", ray=RaySettings(replicas=2))


@pytest.fixture(scope="module")
def local(config: ServeConfig) -> LocalPainter:
    made = LocalPainter(config)
    made.loaded("default").snap.analyser.detector = FixedDetector((30, 30, 120, 120))
    return made


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def me(local: LocalPainter, photo: np.ndarray) -> Enrolment:
    return local.enroll([photo], None, "default")


@pytest.fixture(scope="module")
def painter(config: ServeConfig) -> Iterator[Painter]:
    made = ray_start.painter_of(config)
    assert made is not None
    try:
        yield made
    finally:
        started_by_it = family(os.getpid())
        made.close()
    assert_they_end(started_by_it, os.environ[MARK], beside=os.getpid())


def order(me: Enrolment, key: str = "job", **values: Any) -> Order:
    asked = {"prompt": "a man", "width": 64, "height": 64, **values}
    return Order(key, me, request(**asked), (1,), consent=True)


@contextmanager
def meanwhile(painter: Painter, orders: list[Order], seen: Seen) -> Iterator[list[Painted]]:
    """Paint in a thread; the answer is there afterwards."""
    answer: list[Painted] = []
    thread = threading.Thread(target=lambda: answer.extend(painter.paint(orders, seen)))
    thread.start()
    yield answer
    thread.join(120)
    assert not thread.is_alive()


def processes(mark: str) -> dict[int, str]:
    """Command lines of all that run with a mark."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it ended meanwhile
            continue
    return found


def family(root: int) -> set[int]:
    """Every process of Ray below one. Its agents hide their environment, so that :func:`processes` misses them."""
    parents = {int(path.parent.name): _parent(path) for path in Path("/proc").glob("[0-9]*/stat")}
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= more
    return {pid for pid in found if b"ray" in _read(Path(f"/proc/{pid}/cmdline"))}


def painting(root: int) -> list[int]:
    """The replicas that paint, below a process."""
    return [pid for pid in family(root) if b":painters" in _read(Path(f"/proc/{pid}/cmdline"))]


def _parent(stat: Path) -> int:
    """-1 for what has ended, zombies too."""
    state, parent = (_read(stat).rpartition(b")")[2].split() + [b"Z", b""])[:2]
    return -1 if state == b"Z" else int(parent)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def kill_painters(number: int | None = None) -> None:
    """As the kernel does where memory is short; all of them, or so many."""
    pids = [pid for pid, command in processes(os.environ[MARK]).items() if re.match(r"ray::.*:painters", command)]
    assert pids, processes(os.environ[MARK])
    for pid in pids[:number]:
        os.kill(pid, signal.SIGKILL)


def assert_they_end(pids: set[int], mark: str, beside: int = 0) -> None:
    """What Ray started ends; its agents take up to a minute to see that they are alone."""
    end = time.monotonic() + 150
    while left := {pid for pid in pids if _parent(Path(f"/proc/{pid}/stat")) != -1} | set(processes(mark)) - {beside}:
        assert time.monotonic() < end, [_read(Path(f"/proc/{pid}/cmdline")) for pid in left]
        time.sleep(0.2)


@pytest.mark.slow
class TestTwoReplicas:
    def test_pictures_are_those_of_a_local_painter(self, painter: Painter, local: LocalPainter, me: Enrolment) -> None:
        orders = [order(me, "one"), order(me, "two", prompt="a cat")]
        seen = Seen()
        painted = painter.paint(orders, seen)
        assert [each.pictures for each in painted] == [each.pictures for each in local.paint(orders, Seen())]
        assert [(each.id, each.seeds, len(each.reports)) for each in painted] == [("one", (1,), 1), ("two", (1,), 1)]
        assert seen.steps == [1, 2]
        assert seen.previews is not None
        assert set(seen.previews) == {"one", "two"}
        assert painter.slots == 2

    def test_what_is_looked_at_is_as_in_a_local_painter(
        self, painter: Painter, local: LocalPainter, me: Enrolment, photo: np.ndarray
    ) -> None:
        assert painter.models() == local.models() == [painter.model("default")]
        drawn, landmarks = painter.preview(me.identity, Pose(yaw=9), (64, 96), "default")
        expected, points = local.preview(me.identity, Pose(yaw=9), (64, 96), "default")
        assert np.array_equal(drawn, expected)
        assert np.array_equal(landmarks, points)
        painter.check(me.identity, "default")
        assert painter.faces(photo) == []  # noise, and the replica has the true detector

    def test_errors_are_the_same_too(self, painter: Painter, me: Enrolment, photo: np.ndarray) -> None:
        with pytest.raises(NoFaceError, match=r"^no face found in the photo"):
            painter.enroll([photo], None, "default")
        with pytest.raises(UsageError, match="no model is named 'other'"):
            painter.model("other")
        known = me.identity
        stranger = Identity(known.face_embedding, known.appearance, known.shape, {"face": "other@0"})
        with pytest.raises(EncoderMismatchError):
            painter.check(stranger, "default")
        with pytest.raises(PromptError, match=r"^[^\n]+$"):
            painter.paint([order(me, prompt="man " * 200)], Seen())

    def test_two_batches_are_painted_at_once(self, painter: Painter, me: Enrolment) -> None:
        first, second = Seen(), Seen()
        with meanwhile(painter, [order(me, num_inference_steps=LONG)], first) as answer:
            assert painter.paint([order(me, num_inference_steps=LONG)], second)
        assert answer
        assert first.times[0] < second.times[-1]
        assert second.times[0] < first.times[-1]

    def test_what_nobody_wants_any_more_stops(self, painter: Painter, me: Enrolment) -> None:
        begun, stopped = time.monotonic(), []
        for _ in range(2):  # both replicas

            def stop(step: int) -> None:
                if step == 3:
                    stopped[-1].unwanted = ["job"]

            stopped.append(Seen(stop))
            assert painter.paint([order(me, num_inference_steps=999)], stopped[-1]) == []
            assert stopped[-1].steps == [1, 2, 3]
        with meanwhile(painter, [order(me)], Seen()) as answer:  # one that paints on would hold this up
            assert painter.paint([order(me)], Seen())
        assert answer
        taken = time.monotonic() - begun
        whole = 999 * (stopped[0].times[2] - stopped[0].times[0]) / 2
        assert taken < whole / 3, (taken, whole)

    def test_a_replica_that_dies_loses_nothing(self, painter: Painter, local: LocalPainter, me: Enrolment) -> None:
        expected = local.paint([order(me, num_inference_steps=LONG)], Seen())[0].pictures
        first, second = Seen(), Seen(lambda step: step == 5 and second.steps.count(5) == 1 and kill_one())
        killed = threading.Event()

        def kill_one() -> None:
            while not first.steps:
                time.sleep(0.01)
            kill_painters(1)
            killed.set()

        with meanwhile(painter, [order(me, num_inference_steps=LONG)], first) as answer:
            assert painter.paint([order(me, num_inference_steps=LONG)], second)[0].pictures == expected
        assert answer[0].pictures == expected
        assert killed.is_set()
        assert sorted([first.steps.count(1), second.steps.count(1)]) == [1, 2]  # one was begun anew, the other wasn't

    def test_jobs_of_several_clients_outlive_a_replica(
        self, painter: Painter, config: ServeConfig, me: Enrolment
    ) -> None:
        class Shared:  # the service closes its painter, and the next test needs it
            def __getattr__(self, name: str) -> Any:
                return (lambda: None) if name == "close" else getattr(painter, name)

        service = Service(config, Shared())  # type: ignore[arg-type]
        service.start()
        try:
            person = service.store.add_identity(me, "", True, "", "default").id
            asked = {"identity": person, "width": 64, "height": 64}
            jobs = [
                service.submit(request(num_inference_steps=steps, prompt=f"a {client}", **asked), client)
                for steps in (40, 41)
                for client in ("cat", "dog", "fox")
            ]
            while service.health()["running"] < 2:
                time.sleep(0.01)
            kill_painters(1)
            ends = [finished(service.engine, job.id, 120) for job in jobs]
            assert [end.state for end in ends] == [JobState.done] * 6, [end.error for end in ends]
            again = finished(service.engine, service.submit(request(**asked), "owl").id, 120)
            assert again.state is JobState.done
        finally:
            service.stop()

    def test_a_job_that_ends_every_replica_fails_with_a_line(self, painter: Painter, me: Enrolment) -> None:
        seen = Seen(lambda step: step == 2 and kill_painters())
        with pytest.raises(FaceSnapError, match="the replica that painted it was lost: ask again"):
            painter.paint([order(me, num_inference_steps=LONG)], seen)
        assert seen.steps.count(1) == 2
        assert painter.paint([order(me)], Seen())


# --- as processes ---

SERVE = [sys.executable, "-m", "facesnap.cli.app", "serve", "--no-ui", "--port", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def agents() -> Iterator[set[int]]:
    """Ray's agents of all processes that are over. Those of a killed one call it for a minute: other tests go on."""
    left: set[int] = set()
    yield left
    assert_they_end(left, "none")


@contextmanager
def started(
    command: list[str], mini: Path, agents: set[int], **environment: str
) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A process, and a set for its children; none of either is left afterwards, or it is in ``agents``."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "OMP_NUM_THREADS": "1",
            "FACESNAP_MINI": str(mini),
            "RAY_worker_niceness": "0",
            MARK: mark,
            **environment,
        },
    )
    children: set[int] = set()
    try:
        yield process, children
        agents.update(pid for pid in children if b"agent" in _read(Path(f"/proc/{pid}/cmdline")).lower())
        assert_they_end(children - agents, mark)
    finally:
        process.kill()
        process.communicate()
        for pid in processes(mark):
            os.kill(pid, signal.SIGKILL)


def ready(url: str, process: subprocess.Popen[str]) -> set[int]:
    """Wait until it is. Its children."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[0]
        try:
            if httpx.get(f"{url}/v1/health").json().get("status") == "ready":
                return family(process.pid)
        except (httpx.TransportError, ValueError):
            pass
        time.sleep(0.2)
    raise AssertionError("it didn't get ready")


def painted_over_http(url: str, me: Enrolment, folder: Path, **headers: str) -> dict[str, Any]:
    """The last status of a job of an imported person."""
    file = folder / "me.identity.safetensors"
    me.identity.save(file)
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        files = {"file": ("me", file.read_bytes())}
        person = client.post("/v1/identities", files=files, data={"consent": "true"}).json()["id"]
        wanted = {"identity": person, "prompt": "a man", "seed": 1, "width": 64, "height": 64}
        job = client.post("/v1/generations", json=wanted).json()["id"]
        events = client.get(f"/v1/generations/{job}/events").text
        assert "event: end" in events
        assert client.get(f"/v1/generations/{job}/pictures/0").content.startswith(b"\x89PNG")
        status: dict[str, Any] = client.get(f"/v1/generations/{job}").json()
        return status


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_starts_a_cluster_and_leaves_no_process(
    tmp_path: Path, tiny_mini: Path, me: Enrolment, agents: set[int], end: signal.Signals
) -> None:
    with started([*SERVE, "--data", str(tmp_path / "data"), "--ray"], tiny_mini, agents) as (process, children):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("starting Ray ...")
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        children |= ready(found.group(), process)
        assert len(children) > 5
        assert painted_over_http(found.group(), me, tmp_path)["state"] == "done"
        process.send_signal(end)
        out, _ = process.communicate(timeout=180)
        assert out == ""
        assert process.returncode == (0 if end is signal.SIGTERM else -signal.SIGKILL)


@pytest.mark.slow
def test_behind_ray_s_own_proxy_with_replicas_as_needed(
    tmp_path: Path, tiny_mini: Path, me: Enrolment, agents: set[int]
) -> None:
    port = free_port()
    (tmp_path / "facesnap.yaml").write_text(f"""
http_options: {{host: 127.0.0.1, port: {port}}}
applications:
  - name: facesnap
    route_prefix: /
    import_path: facesnap.serving.ray_app:app
    args:
      {{data: {tmp_path / "data"}, ui: false, device: cpu, limits: {{steps: 999}},
        ray: {{autoscaling: {{max_replicas: 2, upscale_delay_s: 0, metrics_interval_s: 1, look_back_period_s: 2}}}}}}
""")
    surroundings = {"FACESNAP_TOKEN": "not-a-guess", "RAY_USAGE_STATS_ENABLED": "0"}
    surroundings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}  # Ray's own would stay in the home
    command = [str(Path(sys.executable).parent / "serve"), "run", str(tmp_path / "facesnap.yaml")]
    with started(command, tiny_mini, agents, **surroundings) as (process, children):
        url = f"http://127.0.0.1:{port}"
        children |= ready(url, process)
        assert len(children) > 5
        assert httpx.get(f"{url}/v1/models").status_code == 401
        shown = {"Authorization": "Bearer not-a-guess"}
        status = painted_over_http(url, me, tmp_path, **shown)
        assert status["state"] == "done"
        assert len(painting(process.pid)) == 1
        wanted = [{**status["request"], "num_inference_steps": steps} for steps in (997, 998, 999)]
        jobs = [httpx.post(f"{url}/v1/generations", json=each, headers=shown).json()["id"] for each in wanted]
        wait_until(lambda: len(painting(process.pid)) == 2, 60)
        children |= family(process.pid)
        for job in jobs:  # else they would get their grace to finish, which they don't
            assert httpx.post(f"{url}/v1/generations/{job}/cancel", headers=shown).status_code == 200
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=180)
        assert "not-a-guess" not in out


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


# --- settings ---


def test_options_and_a_file_say_which_cluster(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("[ray]\nnum_gpus = 0.5\nreplicas = 3\n[ray.autoscaling]\nmin_replicas = 1\nmax_replicas = 4\n")
    settings = serve._settings(file, {}, {"address": "auto"}).ray
    assert settings is not None
    assert (settings.address, settings.num_gpus, settings.replicas) == ("auto", 0.5, 3)
    assert serve._settings(None, {}).ray is None
    assert serve._settings(None, {}, {}, ray=True).ray == RaySettings()
    assert serve._settings(None, {}, {"replicas": 2}).ray == RaySettings(replicas=2)


def test_as_many_slots_as_replicas_there_may_be() -> None:
    from facesnap.serving.ray_app import most_painters

    assert most_painters(RaySettings(replicas=3)) == 3
    assert most_painters(RaySettings(autoscaling={"min_replicas": 0, "max_replicas": 5})) == 5
    with pytest.raises(UsageError, match=r"^setting ray\.autoscaling\.max_replicas: "):
        most_painters(RaySettings(autoscaling={"max_replicas": "many"}))


def test_a_model_is_loaded_once_any_replica_said_so() -> None:
    from facesnap.serving.ray_painter import Handles, RayPainter

    class Replicas:  # each call is another one's, which has loaded nothing but what this call asks for
        def remote(self, what: str, *names: str) -> Any:
            value = told(*names) if what == "model" else [told("default"), unknown]
            return SimpleNamespace(result=lambda timeout_s: Outcome(value))

    def told(name: str) -> LoadedModelInfo:
        return Scripted().model(name)

    unknown = ModelInfo(name="other", base="tiny", adapter=None, loaded=False)
    handles = Handles(SimpleNamespace(look=Replicas()), None)  # type: ignore[arg-type]
    painter = RayPainter(1, lambda: handles, lambda: None)
    assert painter.models() == [told("default"), unknown]
    painter.model("other")
    assert painter.models() == [told("default"), told("other")]


def test_behind_ray_s_proxy_a_token_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facesnap.serving import ray_app

    monkeypatch.delenv("FACESNAP_TOKEN", raising=False)
    with pytest.raises(UsageError, match="give a token"):
        ray_app.app({"data": str(tmp_path)})
    with pytest.raises(UsageError, match="Ray logs the arguments"):
        ray_app.app({"data": str(tmp_path), "token": "not-a-guess"})


def test_the_docs_examples_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml
    from ray.serve.schema import ServeDeploySchema

    from facesnap.serving import ray_app

    monkeypatch.setenv("FACESNAP_TOKEN", "not-a-guess")
    text = (Path(__file__).resolve().parents[2] / "docs" / "SERVING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (described,) = ServeDeploySchema.model_validate(yaml.safe_load(block)).applications
    assert described.import_path == f"{ray_app.__name__}:{ray_app.app.__name__}"
    built = ray_app.app(described.args)
    assert built._bound_deployment.name == described.deployments[0].name
    tables = [tomllib.loads(each) for each in re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)]
    assert [ray_app.most_painters(RaySettings(**each["ray"])) for each in tables if "ray" in each] == [8]


@pytest.mark.slow
def test_a_cluster_that_isn_t_there_is_one_line(tmp_path: Path, tiny_mini: Path, agents: set[int]) -> None:
    command = [*SERVE, "--data", str(tmp_path), "--ray-address", f"127.0.0.1:{free_port()}"]
    with started(command, tiny_mini, agents) as (process, _):
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.search(r"^error: no Ray cluster is at 127.0.0.1:\d+: [^\n]+\n\Z", out, re.MULTILINE), out


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = lazy.importlib.import_module

    def import_module(name: str) -> Any:
        if name.startswith("ray"):
            raise ImportError(name)
        return true(name)

    monkeypatch.setattr(lazy.importlib, "import_module", import_module)
    assert app.run(["serve", "--no-ui", "--port", "0", "--data", str(tmp_path), "--ray-address", "auto"]) == 2
    assert 'pip install "facesnap[ray]"' in capsys.readouterr().err
