"""A whole tiny "mini": every folder in its real layout, every network of its true kind, all weights random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from tests.models import tiny
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from facesnap.core.weights import save_module
from facesnap.faces.encode import FaceNet, PatchFaceNet
from facesnap.landmarks.morphable import MORPHABLE_NAME, fit_morphable
from facesnap.landmarks.net import LandmarkNet
from facesnap.models.checkpoint import AdapterConfig, save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.analyser import Analyser

torch.set_num_threads(1)

FACE_DIM, SHAPE = 8, 4


def build(root: Path) -> Path:
    """Write it into a folder."""
    StableDiffusionPipeline(**tiny.parts(root / "tokenizer-files")).save_pretrained(root / "base")
    _encoders(root)
    _landmarks(root)
    _adapter(root)
    return root


def vision(hidden_size: int = 12, layers: int = 1) -> CLIPVisionConfig:
    """Of a tiny CLIP image encoder."""
    return CLIPVisionConfig(
        hidden_size=hidden_size,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=8,
    )


def _encoders(root: Path) -> None:
    torch.manual_seed(10)
    face = FaceNet({"dim": FACE_DIM, "channels": [4, 4], "blocks": [1, 1]})
    save_module(root / "face_encoder", face, {**face.config, "name": "tiny-face"}, {})
    judge = PatchFaceNet({"dim": FACE_DIM, "width": 16, "depth": 1, "heads": 2})
    save_module(root / "judge_face", judge, {**judge.config, "name": "tiny-judge"}, {})
    CLIPVisionModelWithProjection(vision()).save_pretrained(root / "image_encoder")


def _landmarks(root: Path) -> None:
    torch.manual_seed(11)
    config = {
        "size": 32,
        "components": SHAPE,
        "stem": 4,
        "channels": [4, 4],
        "blocks": [1, 1],
        "reduced": 4,
        "hidden": 8,
    }
    net = LandmarkNet(config)
    save_module(root / "landmarks", net, net.config, {})
    rng = np.random.default_rng(0)
    mean = rng.uniform([-7, -9, -2], [7, 5, 2], (72, 3))
    fit_morphable(mean, rng.normal(0, 0.3, (6, 72, 3)), rng.normal(0, 0.3, (53, 72, 3)), SHAPE).save(
        root / "landmarks" / MORPHABLE_NAME
    )


def _adapter(root: Path) -> None:
    torch.manual_seed(12)
    net = FFRNet.from_unet(tiny.unet(), token_width=24, vae_scale_factor=4, zero_init=False)
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(conv.weight, std=1.0)
    mixer = FacialAttributeMixer(FACE_DIM, 12, 24, id_tokens=2, tokens=3, heads=2, decoder_layers=1)
    encoders = Analyser.from_pretrained(root).encoders
    defaults = {"num_inference_steps": 2, "guidance_scale": 3.0}
    save_adapter(root / "adapter", net, mixer, AdapterConfig.for_unet(tiny.unet().config, encoders, defaults))
