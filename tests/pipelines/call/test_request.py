"""What a call may ask for: numbers that are some, steps that exist, noise from seeds or generators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.models.controls import FaceControls
from facesnap.pipelines.call.request import check_strength, least_strength
from facesnap.pipelines.call.subjects import Subject
from facesnap.pipelines.facade import FaceSnap

SCENE = np.random.default_rng(4).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def made(snap: FaceSnap, me: Identity, prompt: Any = "a face", **options: Any) -> np.ndarray:
    given = {"pose": Pose(), "output_type": "np", "num_inference_steps": 2, **options}
    if "generator" not in given:
        given = {"seed": 1, **given}
    return np.asarray(snap(prompt, me, **given).images)


# --- noise ---


def test_a_generator_takes_the_seeds_place(snap: FaceSnap, me: Identity) -> None:
    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    seeded = made(snap, me, num_images_per_prompt=2)
    assert np.array_equal(made(snap, me, generator=[generator(1), generator(2)], num_images_per_prompt=2), seeded)
    assert np.array_equal(made(snap, me, generator=generator(1)), made(snap, me))
    assert len(made(snap, me, generator=generator(1), num_images_per_prompt=3)) == 3
    small = {"pose": Pose(scale=0.08), "small_faces": True, "width": 96, "height": 64}
    assert made(snap, me, generator=generator(1), num_images_per_prompt=2, **small).shape == (2, 64, 96, 3)


def test_files_of_a_generator_are_numbered_and_tell_of_no_seed(snap: FaceSnap, me: Identity, tmp_path: Any) -> None:
    result = snap("a face", me, generator=torch.Generator().manual_seed(5), num_images_per_prompt=2)
    assert result.settings["seeds"] == [None, None]
    assert result.settings["generator"] == "the caller's own"
    files = result.save(tmp_path)
    assert [file.name for file in files] == ["portrait-1.png", "portrait-2.png"]
    assert Image.open(files[0]).text["seed"] == ""  # type: ignore[attr-defined]
    assert str(result.report[0]).startswith("a picture: ")


def test_a_list_of_seeds_has_one_per_picture(snap: FaceSnap, me: Identity) -> None:
    result = snap("a face", me, Pose(), seed=[9, 4], num_images_per_prompt=2, num_inference_steps=2, output_type="np")
    assert result.settings["seeds"] == [9, 4]
    for image, seed in zip(result.images, (9, 4), strict=True):
        assert np.abs(image - made(snap, me, seed=seed)[0]).max() < 1e-3


# --- names ---


def test_diffusers_name_of_landmark_scale(snap: FaceSnap, me: Identity) -> None:
    named = made(snap, me, controlnet_conditioning_scale=0.3)
    assert np.array_equal(named, made(snap, me, landmark_scale=0.3))
    assert not np.array_equal(named, made(snap, me))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controlnet_conditioning_scale": 0.5, "landmark_scale": 1.0}, "another name of landmark_scale"),
        ({"controlnet_conditioning_scale": [0.5, 1.0]}, "one number; other ControlNets take control_scales"),
        ({"seed": 1, "generator": torch.Generator()}, "give one of them"),
        ({"generator": 5}, "must be a torch.Generator"),
        ({"generator": [torch.Generator()] * 2}, r"2 generators given for 1 picture"),
        ({"seed": [1, 2]}, r"2 seeds given for 1 picture"),
        ({"seed": [1.5]}, "seed=1.5 must be a whole number"),
        ({"seed": "7"}, "seed='7' must be a whole number"),
        ({"seed": [-1]}, "seed=-1 must not be negative"),
        ({"num_images_per_prompt": 1.5}, "num_images_per_prompt=1.5"),
        ({"width": 32.0}, "width=32.0 must be a whole number"),
        ({"num_inference_steps": 0}, "num_inference_steps=0 must be at least 1"),
        ({"num_inference_steps": 2.5}, "num_inference_steps=2.5"),
        ({"guidance_scale": float("nan")}, "guidance_scale=nan"),
        ({"identity_scale": float("inf")}, "identity_scale=inf must be a finite number"),
        ({"landmark_scale": "big"}, "landmark_scale='big'"),
        ({"map_scale": None}, "map_scale=None"),
        ({"level_scales": [1.0, float("nan"), 1.0]}, "level_scales=nan"),
        ({"level_scales": 1.0}, "level_scales=1.0 must be a list"),
        ({"control_images": SCENE}, "control_images is a list"),
        ({"control_images": "depth.png"}, "control_images is a list"),
        ({"control_images": Image.fromarray(SCENE)}, "control_images is a list"),
        ({"control_scales": [float("nan")]}, "control_scales=nan"),
        ({"padding_mask_crop": 8, "image": SCENE, "mask_image": SCENE}, "padding_mask_crop: the picture is cut before"),
        ({"return_dict": False}, "unknown option return_dict"),
        ({"image": SCENE, "strength": float("nan")}, "strength=nan"),
        ({"image": SCENE, "strength": 0.1, "num_inference_steps": 4}, r"leaves none of 4 step\(s\): use 0.25 or more"),
    ],
)
def test_what_can_not_be_is_named(snap: FaceSnap, me: Identity, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        snap("a face", me, **options)


def test_numpys_numbers_are_numbers(snap: FaceSnap, me: Identity) -> None:
    result = snap("a face", me, seed=np.int64(3), identity_scale=np.float32(0.5), num_inference_steps=np.int32(2))
    assert result.settings["seeds"] == [3]
    assert type(result.settings["identity_scale"]) is float
    assert FaceControls(landmark_scale=2).landmark_scale == 2.0


def test_the_least_strength_leaves_one_step() -> None:
    for steps in (1, 3, 7, 49, 50, 98, 103, 999):
        assert int(steps * least_strength(steps)) == 1
    with pytest.raises(UsageError, match=r"use 0\.334 or more"):
        check_strength(0.3, 3)


def test_conditions_are_of_one_person(snap: FaceSnap, me: Identity) -> None:
    one, two = Subject(me, region=(0, 0, 32, 32)), Subject(me, region=(32, 0, 64, 32))
    with pytest.raises(UsageError, match="conditions are of one person, not 2"):
        snap.conditions([one, two], size=(64, 32))  # type: ignore[arg-type]


# --- sizes ---


def test_one_side_takes_the_images_proportions_for_the_other(snap: FaceSnap, me: Identity) -> None:
    wide = np.zeros((100, 200, 3), np.uint8)
    assert snap.size_for(wide) == (44, 32)
    assert snap.size_for(wide, width=128) == (128, 64)
    assert snap.size_for(wide, height=48) == (96, 48)
    assert snap.size_for(wide, 64, 64) == (64, 64)
    assert made(snap, me, image=wide, width=128).shape == (1, 64, 128, 3)
    with pytest.raises(UsageError, match="multiples of 4"):
        snap.size_for(wide, width=50)
