"""Typed settings of training; unknown keys are refused. Presets: ``cpu`` (2 cores, hours) and ``gpu`` (one card)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from facesnap.core.errors import UsageError


class Strict(BaseModel):
    """Settings: no others, and none that change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Settings = TypeVar("Settings", bound=Strict)


class StageConfig(Strict):
    """What every stage has. ``steps`` ends the schedule (0: no such stage); ``--minutes`` cuts a run into pieces.

    ``muon``: train layers by :class:`facesnap.training.muon.Muon`; False: everything by AdamW.
    """

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    muon: bool = True
    warmup: int = 100
    decay_fraction: float = 0.3
    clip: float = 1.0
    ema_decay: float = 0.999
    bf16: bool = True
    log_every: int = 50


class WorldConfig(Strict):
    """People and pictures per split; sizes in pixels. Test people are rendered by the evaluation, never here."""

    size: int = 256
    preset: str = "cpu"
    seed: int = 0
    train_people: int = 4000
    judge_people: int = 0
    val_people: int = 100
    images_per_person: int = 6


class VaeConfig(StageConfig):
    """``patch_size``: pixels folded into channels. ``kl_weight`` keeps latents near N(0, 1), at no cost.

    ``face_weight``: how much more a pixel at an eye, the nose or the mouth counts.
    """

    patch_size: int = 4
    block_out_channels: tuple[int, ...] = (12, 48, 64, 80, 96)
    latent_channels: int = 16
    crop: int = 128
    kl_weight: float = 1e-4
    gradient_weight: float = 0.5
    face_weight: float = 4.0


class DecoderConfig(StageConfig):
    """A sharper decoder for the same latents; weights of the losses beside L1."""

    feature_weight: float = 0.3
    critic_weight: float = 0.03


class ClipConfig(StageConfig):
    """Text encoder (its width is the UNet's cross-attention width) and image encoder E_c, contrastive.

    ``pixel_weight``: of the loss that makes E_c's hidden states say pixels; 0: no such loss. ``faces``: aligned crops
    beside a batch's pictures, for that loss.
    """

    vocab_size: int = 2048
    max_tokens: int = 64
    text_width: int = 128
    text_layers: int = 4
    image_size: int = 112
    patch_size: int = 14
    image_width: int = 128
    image_layers: int = 5
    projection: int = 128
    pixel_weight: float = 10.0
    faces: int = 64


class FaceConfig(StageConfig):
    """E_f (and the face judge): ArcFace margin in radians, growing in over ``ramp`` steps; logits' scale.

    ``temperature``: of the contrastive loss among a batch's people, ``pictures_per_person`` of each. ``photographs``:
    the share of crops that are augmented as photographs.
    """

    architecture: str = "FaceNet"
    scale: float = 16.0
    margin: float = 0.3
    ramp: int = 1500
    pictures_per_person: int = 4
    temperature: float = 0.1
    photographs: float = 1.0


class LandmarkConfig(StageConfig):
    """E_3d. ``negatives``: share of crops without a face."""

    negatives: float = 0.15


class UnetConfig(StageConfig):
    """The base text-to-image UNet, v-prediction. Attention at 8x8 and 4x4 only: at 16x16 it took 40% of the time."""

    block_out_channels: tuple[int, ...] = (96, 128, 144)
    attention: tuple[bool, ...] = (False, True, False)
    layers_per_block: int = 1
    heads: int = 4
    caption_dropout: float = 0.1
    # All timesteps weigh the same (Lin et al. 2023): min-SNR's weights at gamma 5 are 2.0, 1.6, 0.4 and 0.03 on average
    # over the four quarters, and 0 at the last timestep, but there sampling starts, and there pose is decided.
    min_snr_gamma: float = 0.0


class AdapterConfig(StageConfig):
    """FAM + FFRNet on pairs. Dropouts: shares of a batch; ``id_window``: L_id's gate, shares of the noise range.

    ``read_shapes``: share of the landmark maps with the reference's shape as E_3d reads it, as the product's maps have;
    the others are the target's own.
    ``pair_share``: how often the reference is another picture of the person; otherwise it is the target itself.
    ``timestep_power``: timesteps are drawn with a density of ``t ** power``; 0: evenly.
    FFRNet attends at 16x16, too, where the base doesn't: text can do without, a face's detail can't.
    ``decoder_layers``: of the mixer.
    ``map_channels``: of the landmark map's embedding, from full size on, halving from one to the next. ControlNet's own
    (16, 32, 96, 256) would cost three times what the UNet does.
    """

    tokens: int = 16
    id_tokens: int = 4
    decoder_layers: int = 1
    attention: tuple[bool, ...] = (True, True, False)
    map_channels: tuple[int, ...] = (8, 16, 32, 64, 96)
    lambda_id: float = 0.3
    id_window: tuple[float, float] = (0.25, 0.9)
    id_batch: int = 12
    min_snr_gamma: float = 0.0
    timestep_power: float = 0.0
    text_dropout: float = 0.1
    token_dropout: float = 0.1
    landmark_dropout: float = 0.05
    landmark_jitter: float = 0.004
    read_shapes: float = 0.0
    pair_share: float = 1.0
    views: int = 2


class AttributeConfig(StageConfig):
    """The judge of attributes; side of its pictures in pixels."""

    image_size: int = 128


class LooksConfig(StageConfig):
    """What hair and beard a reference wears, from E_c's tokens."""


#: It judges pictures by what captions say, so nothing makes it keep more.
_CLIP_JUDGE: Final[dict[str, Any]] = {"patch_size": 16, "image_size": 128, "pixel_weight": 0.0, "faces": 0}


class MiniConfig(Strict):
    """Every stage of ``facesnap mini train``.

    ``world``: what mini learns to draw. ``encoder_world``: what its VAE, its encoders and the judges learn to read
    (E_f, E_3d and looks from the people of both: they have to know many);
    wider in pose and framing, so that they hold beyond what is drawn.
    """

    seed: int = 0
    world: WorldConfig = WorldConfig()
    encoder_world: WorldConfig = WorldConfig(preset="full", train_people=2000, judge_people=1500, images_per_person=10)
    vae: VaeConfig = VaeConfig()
    decoder: DecoderConfig = DecoderConfig()
    clip: ClipConfig = ClipConfig()
    face: FaceConfig = FaceConfig()
    landmarks: LandmarkConfig = LandmarkConfig()
    looks: LooksConfig = LooksConfig()
    unet: UnetConfig = UnetConfig()
    adapter: AdapterConfig = AdapterConfig()
    judge_face: FaceConfig = FaceConfig(architecture="PatchFaceNet")
    judge_clip: ClipConfig = ClipConfig(**_CLIP_JUDGE)
    judge_attributes: AttributeConfig = AttributeConfig()


_GPU_WORLD = {"preset": "full", "train_people": 5000, "judge_people": 1000, "images_per_person": 12}
#: Steps chosen so that each stage fits its share of about 8 hours on 2 cores, or of an hour on one card.
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "cpu": {
        "vae": {"steps": 12000, "batch_size": 16, "learning_rate": 3e-3},
        "clip": {"steps": 1000, "batch_size": 128},
        "face": {"steps": 4500, "batch_size": 128, "learning_rate": 2e-3},
        "landmarks": {"steps": 6000, "batch_size": 64, "learning_rate": 2e-3},
        "looks": {"steps": 0, "batch_size": 64},
        "decoder": {"steps": 0},
        "unet": {"steps": 4600, "batch_size": 128, "learning_rate": 2e-3, "decay_fraction": 0.5},
        "adapter": {"steps": 10000, "batch_size": 32, "learning_rate": 2e-3, "timestep_power": 2.0, "read_shapes": 0.5},
        "judge_face": {"architecture": "PatchFaceNet", "steps": 1500, "batch_size": 64},
        "judge_clip": {"steps": 700, "batch_size": 128, **_CLIP_JUDGE},
        "judge_attributes": {"steps": 0, "batch_size": 64, "learning_rate": 2e-3},
    },
    "gpu": {
        "world": _GPU_WORLD,
        "encoder_world": _GPU_WORLD,
        "vae": {"steps": 12000, "batch_size": 64},
        "clip": {"steps": 6000, "batch_size": 512},
        "face": {"steps": 10000, "batch_size": 256},
        "landmarks": {"steps": 10000, "batch_size": 256},
        "looks": {"steps": 3000, "batch_size": 256},
        "decoder": {"steps": 8000, "batch_size": 64, "learning_rate": 5e-4, "betas": (0.5, 0.99)},
        "unet": {"steps": 40000, "batch_size": 256, "ema_decay": 0.9998},
        "adapter": {"steps": 20000, "batch_size": 128, "id_batch": 32, "learning_rate": 5e-4},
        "judge_face": {"architecture": "PatchFaceNet", "steps": 5000, "batch_size": 256},
        "judge_clip": {"steps": 4000, "batch_size": 512, **_CLIP_JUDGE},
        "judge_attributes": {"steps": 5000, "batch_size": 256, "learning_rate": 2e-3},
    },
}


def mini_config(preset: str, overrides: dict[str, Any] | None = None) -> MiniConfig:
    """A preset with dotted overrides, e.g. ``{"unet.steps": "2000"}``.

    Raises:
        UsageError: unknown preset or key, or a value of the wrong kind (named).
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}: use one of {', '.join(PRESETS)}")
    tree: dict[str, Any] = {stage: dict(values) for stage, values in PRESETS[preset].items()}
    for dotted, value in (overrides or {}).items():
        *parents, key = dotted.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[key] = value
    return checked(MiniConfig, tree)


def checked(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of a kind from plain values; UsageError names the first that can't be."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"setting {where}: {first['msg'].lower()}") from None
