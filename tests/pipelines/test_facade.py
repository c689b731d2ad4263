"""From photograph to portrait: every input matters, one seed is one picture, wrong requests are named."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models import tiny
from tests.pipelines.conftest import FixedDetector

from facesnap.core.errors import (
    AdapterError,
    EncoderMismatchError,
    FaceTooSmallError,
    NoFaceError,
    OutputError,
    PromptError,
    UsageError,
)
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.core.types import Camera
from facesnap.models.controls import FaceControls
from facesnap.pipelines import adapters
from facesnap.pipelines.call.prompts import words_beyond
from facesnap.pipelines.facade import FaceSnap


def pixels(snap: FaceSnap, identity: Identity, **options: Any) -> np.ndarray:
    return np.asarray(snap("a face", identity, **{"seed": 1, "output_type": "np", **options}).images)


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


# --- what goes in shows in what comes out ---


def test_size_count_and_defaults(snap: FaceSnap, me: Identity) -> None:
    result = snap("a face", me, seed=7, num_images_per_prompt=2, width=48, height=32)
    assert [image.size for image in result.images] == [(48, 32), (48, 32)]
    assert result.landmark_map.shape == (32, 48, 3)
    assert result.settings["num_inference_steps"] == 2 == snap.default_steps
    assert result.settings["guidance_scale"] == 3.0
    assert result.settings["seeds"] == [7, 8]
    assert snap.size() == (tiny.SIZE, tiny.SIZE)


def test_same_seed_same_picture_whatever_the_count(snap: FaceSnap, me: Identity) -> None:
    three = pixels(snap, me, seed=4, num_images_per_prompt=3)
    assert np.array_equal(three, pixels(snap, me, seed=4, num_images_per_prompt=3))
    assert np.abs(pixels(snap, me, seed=6)[0] - three[2]).max() < 1e-3
    assert np.abs(three[0] - three[1]).max() > 1e-2


def test_without_a_seed_one_is_drawn_and_told(snap: FaceSnap, me: Identity) -> None:
    result = snap("a face", me, output_type="np")
    again = pixels(snap, me, seed=result.settings["seeds"][0])
    assert np.array_equal(np.asarray(result.images), again)


@pytest.mark.parametrize(
    "change",
    [
        {"pose": Pose(yaw=30)},
        {"pose": Pose(expression={"jawOpen": 1.0})},
        {"identity_scale": 0.0},
        {"landmark_scale": 0.0},
        {"guidance_scale": 1.0},
        {"num_inference_steps": 3},
        {"negative_prompt": "hat"},
    ],
    ids=str,
)
def test_every_control_matters(snap: FaceSnap, me: Identity, change: dict[str, Any]) -> None:
    plain = {"pose": Pose()}
    assert np.abs(pixels(snap, me, **plain) - pixels(snap, me, **{**plain, **change})).max() > 1e-4


def test_every_part_of_the_method_is_used(snap: FaceSnap, me: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out FAM's cross-attention, FFRNet's, or the landmark map: each time, another picture."""
    before = pixels(snap, me, pose=Pose())
    attention = snap.pipeline.ffrnet.mid_block.attentions[0].transformer_blocks[0].attn2.to_out[0]
    for layer in (snap.pipeline.mixer.cross_attention.out_proj, attention):
        kept = layer.weight.data.clone()
        layer.weight.data.zero_()
        assert np.abs(pixels(snap, me, pose=Pose()) - before).max() > 1e-5
        layer.weight.data.copy_(kept)
    assert np.array_equal(pixels(snap, me, pose=Pose()), before)
    monkeypatch.setattr(adapters, "draw_landmarks", lambda points, size: np.zeros((size[1], size[0], 3), np.uint8))
    assert np.abs(pixels(snap, me, pose=Pose()) - before).max() > 1e-5


def test_another_person_is_another_picture(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    other = snap.enroll(photo[::-1].copy())
    assert np.abs(pixels(snap, me, pose=Pose()) - pixels(snap, other, pose=Pose())).max() > 1e-4


def test_nobody_in_particular_has_no_identity(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    """At identity scale 0 and equal face shape, two people are one."""
    other = snap.enroll(photo[::-1].copy())
    twin = Identity(other.face_embedding, other.appearance, me.shape, me.encoders)
    options = {"pose": Pose(), "identity_scale": 0.0}
    assert np.abs(pixels(snap, me, **options) - pixels(snap, twin, **options)).max() < 1e-4
    assert np.abs(pixels(snap, me, pose=Pose()) - pixels(snap, twin, pose=Pose())).max() > 1e-4


def test_reference_drives_itself_in_the_default_composition(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    own = snap.analyser.pose_from(photo)
    assert own.camera is None
    assert snap.pose_of(me) == own
    assert snap.pose_of(me, Pose(yaw=3)) == Pose(yaw=3)
    assert snap.pose_of(Identity.mean([me])) == Pose(), "an identity without photographs has no pose"


def test_a_driving_photo_gives_its_motion_not_its_framing(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    """A face a fifth of the photograph's height moves the portrait, but doesn't shrink it."""
    scene = np.full((450, 600, 3), 90, dtype=np.uint8)
    scene[:160, :160] = photo  # the same face, now small and in a corner
    driven = snap.pose_of(me, scene)
    assert driven == snap.analyser.pose_from(scene)
    spread = [np.ptp(snap.conditions(me, p, (64, 64)).landmarks[:, 1]) for p in (driven, scene)]
    assert spread[0] == spread[1]
    calm = np.ptp(snap.conditions(me, Pose(), (64, 64)).landmarks[:, 1])
    assert spread[0] == pytest.approx(calm, rel=0.35)
    framed = snap.analyser.pose_from(scene, keep_framing=True)
    assert framed.camera is not None
    assert framed.framed(None) == driven
    assert snap.pose_of(me, framed) == framed, "who asks for the driver's framing gets it"


def test_a_camera_given_is_kept(snap: FaceSnap, me: Identity) -> None:
    near, far = (Pose(camera=Camera(scale, 0.5, 0.5)) for scale in (0.05, 0.02))
    spread = [np.ptp(snap.conditions(me, pose, (64, 64)).landmarks[:, 1]) for pose in (near, far)]
    assert spread[0] == pytest.approx(2.5 * spread[1])


def test_conditions_are_what_a_call_uses(snap: FaceSnap, me: Identity) -> None:
    shown = snap.conditions(me, Pose(yaw=10), (48, 32))
    result = snap("a face", me, Pose(yaw=10), seed=1, width=48, height=32)
    assert np.array_equal(shown.landmark_map, result.landmark_map)
    assert shown.tokens.shape == shown.null_tokens.shape == (1, 3, 24)


def test_guidance_acts_on_the_face_as_far_as_asked(snap: FaceSnap, me: Identity) -> None:
    nobody = snap.pipeline.mixer.null_tokens(1)
    for share, of_the_person in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
        shown = snap.conditions(me, controls=FaceControls(identity_guidance=share))
        expected = nobody + of_the_person * (shown.tokens - nobody)
        assert torch.allclose(shown.null_tokens, expected, atol=1e-6)
    fully, not_at_all = (pixels(snap, me, identity_guidance=share, guidance_scale=7.0) for share in (1.0, 0.0))
    assert not np.array_equal(fully, not_at_all)
    with pytest.raises(UsageError, match="from 0 to 1"):
        snap("a face", me, identity_guidance=1.5)


def test_callback_runs_once_per_step(snap: FaceSnap, me: Identity) -> None:
    steps: list[int] = []

    def note(pipeline: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        return tensors

    pixels(snap, me, num_inference_steps=3, callback_on_step_end=note)
    assert steps == [0, 1, 2]


# --- enrolment ---


def test_several_photos_are_averaged(snap: FaceSnap, photo: np.ndarray) -> None:
    first, second = (snap.enroll(p) for p in (photo, photo[::-1].copy()))
    both = snap.enroll([photo, photo[::-1].copy()])
    assert both.photos == 2
    assert np.allclose(both.shape, (first.shape + second.shape) / 2, atol=1e-5)
    assert set(both.encoders) == {"face", "appearance", "shape"}
    with pytest.raises(UsageError, match="at least one photo"):
        snap.enroll([])


def test_face_is_chosen_and_refused(snap: FaceSnap, photo: np.ndarray) -> None:
    snap.analyser.detector = FixedDetector((0, 0, 100, 100), (100, 100, 155, 155))
    assert not np.allclose(snap.enroll(photo).face_embedding, snap.enroll(photo, face=1).face_embedding)
    with pytest.raises(UsageError, match="no face 2"):
        snap.enroll(photo, face=2)
    snap.analyser.detector = FixedDetector((0, 0, 20, 20))
    with pytest.raises(FaceTooSmallError, match="20 pixels"):
        snap.enroll(photo)
    snap.analyser.detector = FixedDetector()
    with pytest.raises(NoFaceError):
        snap.enroll(photo)


def test_identity_file_gives_the_same_picture(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    me.save(tmp_path / "me.identity.safetensors")
    again = Identity.load(tmp_path / "me.identity.safetensors")
    assert np.array_equal(pixels(snap, me, pose=Pose()), pixels(snap, again, pose=Pose()))
    assert me.fingerprint == again.fingerprint


def test_identity_of_other_encoders_is_refused(snap: FaceSnap, me: Identity) -> None:
    other = Identity(me.face_embedding, me.appearance, me.shape, {**me.encoders, "face": "else@012345678901"})
    with pytest.raises(EncoderMismatchError, match=r"else@012345678901.*tiny-face@"):
        snap("a face", other)


# --- requests that can't be ---


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_empty_prompt(snap: FaceSnap, me: Identity, prompt: str) -> None:
    with pytest.raises(PromptError, match="empty"):
        snap(prompt, me)


def test_long_prompt_names_the_limit_and_what_would_be_left_out(snap: FaceSnap, me: Identity) -> None:
    with pytest.raises(PromptError, match=r"16 tokens.*left out would be: cccc dddd eeee$"):
        snap("aaaaaa bbbbbbb cccc dddd eeee", me)
    with pytest.raises(PromptError, match="negative prompt"):
        snap("a face", me, negative_prompt="a" * 50)
    assert words_beyond("a b c", 3, lambda text: len(text.split())) == ""
    assert words_beyond("a b c d", 3, lambda text: len(text.split())) == "d"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 50}, "multiples of 4"),
        ({"height": 8}, "from 32 on"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**63 - 1, "num_images_per_prompt": 2}, "seed=9223372036854775807 is too large"),
        ({"num_images_per_prompt": 0}, "at least one"),
        ({"stepz": 3}, "unknown option stepz.*guess_mode"),
    ],
)
def test_impossible_settings(snap: FaceSnap, me: Identity, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        snap("a face", me, **options)


def test_other_diffusers_options_pass_through(snap: FaceSnap, me: Identity) -> None:
    never = pixels(snap, me, control_guidance_end=0.01, num_inference_steps=3)
    off = pixels(snap, me, landmark_scale=0.0, num_inference_steps=3)
    assert np.abs(never - off).max() < 1e-3


# --- results ---


def test_files_are_identical_and_tell_their_settings(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    options = {"pose": Pose(yaw=10, expression={"smile": 0.5}), "seed": 3, "num_images_per_prompt": 2}
    first = snap("a face", me, **options).save(tmp_path / "a")
    second = snap("a face", me, **options).save(tmp_path / "b")
    assert [path.name for path in first] == ["portrait-3.png", "portrait-4.png"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    text = Image.open(first[1]).text  # type: ignore[attr-defined]
    told = json.loads(text["facesnap"])
    assert (text["prompt"], text["seed"], told["seed"]) == ("a face", "4", 4)
    assert told["pose"]["yaw"] == 10
    assert told["pose"]["expression"]["mouthSmile_L"] == pytest.approx(0.4)
    assert set(told["models"]) == {"base", "ffrnet", "mixer"}
    assert told["identity"] == me.fingerprint
    assert {"num_inference_steps", "guidance_scale", "width", "height", "identity_scale", "scheduler"} <= set(told)


def test_unwritable_output_is_an_output_error(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        snap("a face", me, seed=1).save(tmp_path / "file")


def test_report_names_an_independent_judge(snap: FaceSnap, me: Identity) -> None:
    result = snap("a face", me, seed=1, num_images_per_prompt=2)
    snap.analyser.detector = FixedDetector((2, 2, 56, 56))
    report = result.report
    assert [each.seed for each in report] == [1, 2]
    for each in report:
        assert each.judge.startswith("tiny-judge@")
        assert each.identity is not None
        assert -1.0 <= each.identity <= 1.0
        assert each.pose_error is not None
        assert each.landmark_nme is not None
        assert each.landmark_nme > 0
    assert str(report).count("\n") == 1
    assert json.loads(json.dumps(report.to_dicts()))[0]["seed"] == 1


def test_a_damaged_judge_is_said_and_a_missing_one_is_none(
    snap: FaceSnap, mini: Path, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(mini / "judge_face", tmp_path / "judge_face")
    monkeypatch.setenv("FACESNAP_MINI", str(tmp_path))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(AdapterError, match="judge_face"):
        snap.enroll(photo)
    weights.unlink()
    assert snap.judge is None


def test_report_of_the_reference_itself_is_perfect(snap: FaceSnap, me: Identity, photo: np.ndarray) -> None:
    result = snap("a face", me, pose=photo, seed=1, width=160, height=160)
    result.images = [Image.fromarray(photo)]
    (own,) = result.report
    assert own.identity == pytest.approx(1.0, abs=1e-4)
    assert own.pose_error == pytest.approx(0.0, abs=0.1)
    assert own.expression_error == pytest.approx(0.0, abs=1e-6)


def test_report_says_when_it_must_flatter_or_finds_no_face(snap: FaceSnap, me: Identity) -> None:
    copied = Identity.mean([me])
    snap.analyser.detector = FixedDetector((2, 2, 56, 56))
    (told,) = snap("a face", copied, seed=1).report
    assert told.judge.startswith("tiny-face@")
    assert "flatters" in told.note
    snap.analyser.detector = FixedDetector()
    (none,) = snap("a face", me, seed=1).report
    assert none.identity is None
    assert "no face" in str(none)


def test_report_of_a_face_too_small_to_read_is_no_error(snap: FaceSnap, me: Identity) -> None:
    snap.analyser.detector = FixedDetector((2, 2, 40, 40))
    (told,) = snap("a face", me, seed=1).report
    assert told.identity is None
    assert "too small" in str(told)


def test_report_of_several_faces_gives_no_advice_on_photographs(
    snap: FaceSnap, me: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    snap.analyser.detector = FixedDetector((0, 0, 60, 60), (2, 2, 56, 56))
    (told,) = snap("a face", me, seed=1).report
    assert told.identity is not None
    assert not caplog.messages


def test_no_portrait_is_overwritten_by_another(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    first = snap("a face", me, seed=1)
    assert first.save(tmp_path) == first.save(tmp_path) == [tmp_path / "portrait-1.png"]
    before = (tmp_path / "portrait-1.png").read_bytes()
    second = snap("another face", me, seed=1)
    assert second.save(tmp_path) == second.save(tmp_path) == [tmp_path / "portrait-1-2.png"]
    assert (tmp_path / "portrait-1.png").read_bytes() == before


def test_latents_can_be_had_but_not_saved(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    result = snap("a face", me, seed=1, output_type="latent")
    assert tuple(result.images.shape) == (1, 4, 8, 8)
    with pytest.raises(UsageError, match="output_type"):
        result.save(tmp_path)


# --- loading ---


def test_folders_need_no_network(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    FaceSnap.from_pretrained(str(mini / "base"), adapter=str(mini / "adapter"), device="cpu")


def test_loading_is_silent(mini: Path, capfd: pytest.CaptureFixture[str]) -> None:
    snap = FaceSnap.from_pretrained("mini", device="cpu")
    snap.analyser.detector = FixedDetector((30, 30, 120, 120))
    snap("a face", snap.enroll(np.zeros((160, 160, 3), np.uint8)), seed=1)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESNAP_MINI", str(tmp_path))
    with pytest.raises(AdapterError, match="facesnap mini train"):
        FaceSnap.from_pretrained("mini")


@pytest.mark.parametrize(("option", "value"), [("device", "abacus"), ("dtype", "int3")])
def test_unknown_device_or_dtype(mini: Path, option: str, value: str) -> None:
    with pytest.raises(UsageError, match=value):
        FaceSnap.from_pretrained("mini", **{"device": "cpu", option: value})


def test_somebody_elses_face_is_not_measured(snap: FaceSnap, me: Identity) -> None:
    result = snap("a face", me, Pose(scale=0.3, centre=(0.1, 0.5)), seed=1, width=256, height=64)
    snap.analyser.detector = FixedDetector((190, 4, 246, 60))
    (report,) = result.report
    assert report.identity is None
    assert "where it was asked for" in report.note
