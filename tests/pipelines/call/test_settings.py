"""What is told of a call is all that determines its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pipelines.test_diffusers_user import depth

from facesnap.core.identity import Identity
from facesnap.core.pose import Pose
from facesnap.pipelines.call.settings import digest
from facesnap.pipelines.call.subjects import Subject
from facesnap.pipelines.facade import FaceSnap
from facesnap.pipelines.passes.small_faces import SmallFaces

SCENE = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def me(snap: FaceSnap, photo: np.ndarray) -> Identity:
    return snap.enroll(photo)


def told(snap: FaceSnap, who: Any, pose: Any = None, **options: Any) -> dict[str, Any]:
    settings = snap("a face", who, pose, **{"seed": 1, "num_inference_steps": 2, **options}).settings
    again = json.loads(json.dumps(settings))
    assert isinstance(again, dict)
    return again


def test_every_picture_tells_its_own_prompt(snap: FaceSnap, me: Identity, tmp_path: Path) -> None:
    prompts = ["a face", "a hat"]
    made = snap(prompts, me, Pose(), negative_prompt=["x", ""], seed=1, num_images_per_prompt=2, num_inference_steps=1)
    files = made.save(tmp_path)
    for index, file in enumerate(files):
        text = Image.open(file).text  # type: ignore[attr-defined]
        own = json.loads(text["facesnap"])
        assert text["prompt"] == own["prompt"] == prompts[index // 2]
        assert own["full_prompt"].startswith(prompts[index // 2])
        assert own["negative_prompt"] == ["x", ""][index // 2]
        assert own["seed"] == 1 + index


def test_pictures_that_went_in_are_told_by_their_hash(snap: FaceSnap, me: Identity) -> None:
    mask = np.full((64, 64), 255, np.uint8)
    given = told(snap, me, Pose(), image=SCENE, mask_image=mask, latents=torch.zeros(1, 4, 8, 8), strength=0.9)
    assert given["image"] == digest(SCENE)
    assert len(given["image"]) == len(given["mask"]) == len(given["latents"]) == 12
    assert told(snap, me, Pose(), image=SCENE[::-1].copy())["image"] != given["image"]
    plain = told(snap, me, Pose())
    assert plain["image"] is plain["mask"] is plain["small_faces"] is None


def test_knobs_regions_and_the_second_pass(snap: FaceSnap, me: Identity) -> None:
    mask = np.zeros((64, 128), bool)
    mask[:, 64:] = True
    people = [Subject(me, Pose(), (0, 0, 64, 64)), Subject(me, Pose(), mask)]
    given = told(snap, people, width=128, height=64, map_scale=0.5, small_faces=SmallFaces(fill=0.4), carry=["hair"])
    assert given["regions"][0] == [0, 0, 64, 64]
    assert len(given["regions"][1]) == 12
    assert given["map_scale"] == 0.5
    assert given["identity_guidance"] == 0.5, "the adapter's own, where the call says nothing"
    assert given["small_faces"] == {"under": 0.3, "strength": 0.55, "fill": 0.4}
    assert given["carry"] == ["hair"]
    assert given["long_prompts"] is False


def test_other_nets_are_named_without_their_path(mini: Path, me: Identity, tmp_path: Path) -> None:
    depth().save_pretrained(tmp_path / "depth")
    both = FaceSnap.from_pretrained("mini", device="cpu", controlnets=[tmp_path / "depth"])
    given = told(both, me, Pose(), control_images=[SCENE], control_scales=[0.5])
    assert given["controlnets"] == ["depth"]
    assert given["control_scales"] == [0.5]
    assert given["control_images"] == [digest(SCENE)]


def test_loras_are_told_with_their_weights(snap: FaceSnap, me: Identity) -> None:
    pytest.importorskip("peft", reason="LoRA needs peft (extra: lora)")
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    lora = {f"{name}.lora_A.weight": torch.ones(4, 16), f"{name}.lora_B.weight": torch.ones(16, 4)}
    snap.pipeline.load_lora_weights(lora, adapter_name="style")
    snap.pipeline.set_adapters(["style"], [0.7])
    assert told(snap, me, Pose())["loras"] == {"style": 0.7}
    snap.pipeline.unload_lora_weights()
    assert told(snap, me, Pose())["loras"] == {}
