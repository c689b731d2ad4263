from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load, save
from tests.serving.scripted import Gate, Scripted, finished, png

from facesnap.core.errors import BusyError, EncoderMismatchError, ImageError, InputError, MissingError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.serving.config import Limits, ServeConfig
from facesnap.serving.requests import GenerationRequest, JobState, LoadedModelInfo, PoseRequest, PreviewRequest
from facesnap.serving.service import Service


def made(folder: Path, painter: Scripted, **limits: Any) -> Service:
    service = Service(ServeConfig(data=folder, limits=Limits(**limits)), painter)
    service.start()
    return service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    one = made(tmp_path / "data", Scripted(steps=2))
    yield one
    one.stop(5)


def enrolled(service: Service, **values: Any) -> str:
    return service.create_identity([png()], **{"consent": True, "client": "me", **values}).id


def test_from_photos_to_pictures_and_away_again(service: Service) -> None:
    info = service.create_identity([png(1), png(2)], name="  Zoë\n\x00 ", consent=True, client="me")
    assert (info.name, info.consent, info.photos) == ("Zoë", True, 2)
    job = service.submit(GenerationRequest(identity=info.id, prompt="a person", seed=7, num_images=2), "me")
    assert (job.seeds, job.client) == ([7, 8], "me")
    done = finished(service.engine, job.id)
    assert (done.state, done.pictures) == (JobState.done, 2)
    assert service.job(job.id) == done
    assert service.picture(job.id, 1) == png(8)
    assert [each.id for each in service.jobs("me")] == [job.id]
    assert service.jobs("you") == []
    assert service.identities("me") == [info]
    health = service.health()
    assert (health["status"], health["queue"], health["running"], health["identities"]) == ("ok", 0, 0, 1)
    assert health["jobs"]["done"] == 1
    service.delete_job(job.id)
    service.delete_identity(info.id)
    for ask in (service.job, service.cancel, service.delete_job, service.identity, service.delete_identity):
        with pytest.raises(MissingError):
            ask(job.id if "job" in ask.__name__ or ask.__name__ == "cancel" else info.id)
    assert service.health()["jobs"]["done"] == 0


def test_nobody_is_enrolled_without_consent(service: Service) -> None:
    with pytest.raises(UsageError, match="consent"):
        service.create_identity([png()])
    file = service.identity_file(enrolled(service))
    with pytest.raises(UsageError, match="consent"):
        service.import_identity(file)


@pytest.mark.parametrize(
    ("photos", "values", "said"),
    [
        ([], {}, "0 photos given"),
        ([png()] * 9, {}, "9 photos given: send from 1 to 8"),
        ([png()], {"name": "x" * 81}, "81 characters"),
    ],
)
def test_what_cannot_be_enrolled_says_why(
    service: Service, photos: list[bytes], values: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        service.create_identity(photos, consent=True, **values)


def test_photos_are_checked_before_anyone_looks_at_them(service: Service) -> None:
    for ask in (
        lambda data: service.create_identity([data], consent=True),
        service.faces,
        service.pose_from,
        lambda data: service.compare(data, data),
    ):
        with pytest.raises(ImageError):
            ask(b"GIF89a nothing")


def test_a_seed_is_drawn_where_none_is_given(service: Service) -> None:
    asked = GenerationRequest(identity=enrolled(service), prompt="a person")
    assert service.submit(asked).seeds != service.submit(asked).seeds
    assert service.submit(asked.model_copy(update={"seed": 2**53 - 1, "num_images": 2})).seeds[1] == 2**53


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"num_images": 9}, UsageError, "at most 8"),
        ({"width": 1032}, UsageError, "at most 1024"),
        ({"width": 100}, UsageError, "multiples of 8, from 64 on, not 100 x 64"),
        ({"height": 32}, UsageError, "multiples of 8, from 64 on, not 64 x 32"),
        ({"identity": "b" * 16}, MissingError, "no such identity"),
    ],
)
def test_what_cannot_be_painted_is_refused_at_once(
    service: Service, values: dict[str, Any], error: type[Exception], said: str
) -> None:
    asked = GenerationRequest(**{"identity": enrolled(service), "prompt": "a person", **values})
    with pytest.raises(error, match=said):
        service.submit(asked)
    assert service.jobs() == []


def test_previews_have_the_references_pose_where_none_is_asked_for(service: Service) -> None:
    who = enrolled(service)
    own = service.preview(PreviewRequest(identity=who))
    assert own.landmarks == [[7.0, 7.0]] * 72  # what the scripted painter enrols
    asked = service.preview(PreviewRequest(identity=who, pose=PoseRequest(yaw=20), width=128))
    assert asked.landmarks[0] == [20.0, 20.0]
    assert (asked.width, asked.height) == (128, 64)
    assert Image.open(io.BytesIO(asked.map)).size == (128, 64)
    with pytest.raises(UsageError, match="multiples"):
        service.preview(PreviewRequest(identity=who, width=100))
    with pytest.raises(MissingError):
        service.preview(PreviewRequest(identity="c" * 16))


def test_photos_are_looked_at(service: Service) -> None:
    assert service.faces(png()) == [(0.0, 0.0, 64.0, 64.0)]
    assert service.pose_from(png()) == PoseRequest(yaw=12)
    assert service.compare(png(1), png(1))["likeness"] == 1.0


def test_a_framing_beyond_bounds_is_an_input_error(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.painter, "pose_from", lambda *given: Pose(camera=Camera(3.0, 0.5, 0.5)))
    with pytest.raises(InputError, match=r"framing .*scale"):
        service.pose_from(png(), keep_framing=True)


# --- identity files ---


def test_an_identity_file_comes_back_in(service: Service) -> None:
    file = service.identity_file(enrolled(service))
    info = service.import_identity(file, name="again", consent=True, client="you")
    ours, theirs = load(file), load(service.identity_file(info.id))
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(theirs[name], values)
    assert service.preview(PreviewRequest(identity=info.id)).landmarks[0] == [0.0, 0.0]  # files hold no pose
    assert {path.name for path in service.config.data.iterdir()} - {"service.db-wal"} == {
        "service.db", "identities", "results"
    }  # fmt: skip


def test_files_that_are_none_are_refused_without_telling_paths(service: Service) -> None:
    good = service.identity_file(enrolled(service))
    for bad in (b"", b"\x80\x04\x95 a pickle", good[:-10], save({"face_embedding": np.ones(8, np.float32)}), png()):
        with pytest.raises(InputError) as caught:
            service.import_identity(bad, consent=True)
        assert str(service.config.data) not in str(caught.value)
        assert "identity file" in str(caught.value)
    assert load(good).keys() == {"face_embedding", "appearance", "shape"}
    assert len(service.identities()) == 1


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    service = made(tmp_path / "data", Scripted(), upload_bytes=1000)
    with pytest.raises(InputError, match="1,000"):
        service.import_identity(bytes(1001), consent=True)
    service.stop(0)


@pytest.mark.parametrize(
    ("raised", "error", "said"),
    [
        (EncoderMismatchError("made with other encoders"), EncoderMismatchError, "other encoders"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), InputError, "doesn't fit the encoders"),
        (ValueError("operands could not be broadcast"), InputError, "doesn't fit the encoders"),
    ],
)
def test_a_file_of_another_model_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch, raised: Exception, error: type[Exception], said: str
) -> None:
    file = service.identity_file(enrolled(service))

    def fail(identity: Identity, model: str) -> None:
        raise raised

    monkeypatch.setattr(service.painter, "check", fail)
    with pytest.raises(error, match=said):
        service.import_identity(file, consent=True)


# --- its life ---


def test_stopping_keeps_what_waits_for_the_next_start(tmp_path: Path) -> None:
    gate = Gate()
    painter = Scripted(steps=2, before=gate)
    first = made(tmp_path / "data", painter)
    who = enrolled(first)
    running, queued = (first.submit(GenerationRequest(identity=who, prompt=p, width=64)) for p in ("a", "b"))
    assert gate.reached.wait(20)
    gate.open.set()
    first.stop(10)
    assert painter.closed
    with pytest.raises(BusyError):
        first.engine.submit(running.request, [1], "me")
    second = made(tmp_path / "data", Scripted(steps=1))
    assert finished(second.engine, queued.id).state == JobState.done
    assert second.job(running.id).state == JobState.done
    assert second.identity(who).photos == 2
    second.stop(5)


def test_listeners_hear_of_every_end(service: Service) -> None:
    heard: list[tuple[str, JobState]] = []
    service.on_finish(lambda job: heard.append((job.id, job.state)))
    job = service.submit(GenerationRequest(identity=enrolled(service), prompt="a"))
    finished(service.engine, job.id)
    assert heard == [(job.id, JobState.done)]


def test_a_checker_that_no_base_has_is_told_at_the_start(
    tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACESNAP_MINI", str(tiny_mini))
    service = Service(ServeConfig(data=tmp_path, device="cpu", safety_checker=True))
    with pytest.raises(UsageError, match="no safety checker"):
        service.start()
    service.store.close()


@pytest.mark.parametrize(("checked", "loaded"), [(False, ["default"]), (True, ["default", "second", "third"])])
def test_further_models_are_loaded_at_the_start_where_a_checker_is_asked_for(
    tmp_path: Path, checked: bool, loaded: list[str]
) -> None:
    asked: list[str] = []

    class Noting(Scripted):
        def model(self, name: str) -> LoadedModelInfo:
            asked.append(name)
            return super().model(name)

    further = {name: {"base": "mini"} for name in ("second", "third")}
    config = ServeConfig.of({"data": tmp_path, "device": "cpu", "safety_checker": checked, "models": further})
    service = Service(config, Noting())
    service.start()
    assert asked == loaded
    assert service.model("third").name == "third"
    service.stop()


@pytest.mark.mini
def test_the_embedded_model_paints_a_person_of_a_photo(tmp_path: Path) -> None:
    photo = (Path(__file__).parents[2] / "examples" / "eileen_collins.jpg").read_bytes()
    service = Service(ServeConfig(data=tmp_path, device="cpu"))
    service.start()
    who = service.create_identity([photo], consent=True)
    job = service.submit(GenerationRequest(identity=who.id, prompt="a person", seed=1, num_inference_steps=6))
    done = finished(service.engine, job.id, 60)
    assert done.state == JobState.done
    assert done.reports is not None
    assert done.reports[0]["pose_error"] < 15
    assert done.reports[0]["note"] == ""
    service.stop(5)


def test_a_model_without_ffrnet_has_no_speeds(tmp_path: Path) -> None:
    class Blind(Scripted):
        def model(self, name: str) -> LoadedModelInfo:
            return super().model(name).model_copy(update={"has_pose": False})

    service = made(tmp_path / "data", Blind())
    try:
        asked = GenerationRequest(identity=enrolled(service), prompt="a person", speed="fast")
        with pytest.raises(UsageError, match="leave out speed"):
            service.submit(asked, "me")
        service.submit(asked.model_copy(update={"speed": "exact"}), "me")
    finally:
        service.stop(1)
