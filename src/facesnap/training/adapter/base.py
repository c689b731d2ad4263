"""The base that an adapter is trained on: found by folder or hub id, read in the parts that a step needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
from diffusers import AutoencoderKL, DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from facesnap.core.errors import AdapterError, one_line
from facesnap.core.weights import embedded, find_local, load_whole, read_config, read_json, sha256_12
from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.models.checkpoint import family_of, is_sdxl
from facesnap.training.losses import PREDICTIONS, NoiseSchedule

INDEX: Final = "model_index.json"
#: Weights may be there in half precision only.
_HALF: Final = "fp16"


@dataclass(frozen=True)
class Base:
    """A base on disk, told by its small files; weights are read by the methods.

    Attributes:
        name: as it was asked for.
        folder: where it lies.
        unet: config of its UNet. ``vae``: of its VAE.
        family: as :func:`facesnap.models.checkpoint.family_of` names it.
        schedule: of its noise, and what its UNet predicts.
    """

    name: str
    folder: Path
    unet: dict[str, Any]
    vae: dict[str, Any]
    family: str
    schedule: NoiseSchedule

    @property
    def xl(self) -> bool:
        """Whether it has two text encoders and takes sizes as conditions."""
        return is_sdxl(self.family)

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return int(2 ** (len(self.vae["block_out_channels"]) - 1))

    @property
    def shift(self) -> float:
        """What is taken off the VAE's latents before they are scaled."""
        return float(self.vae.get("shift_factor") or 0.0)

    @property
    def scaling(self) -> float:
        """What the VAE's latents are multiplied by for the UNet."""
        return float(self.vae.get("scaling_factor", 0.18215))

    @property
    def stamp(self) -> str:
        """12 hex digits that stand for what makes latents and text states: VAE and text encoders.

        Raises:
            AdapterError: their weights are missing.
        """
        parts = [part for part in ("vae", "text_encoder", "text_encoder_2") if (self.folder / part).is_dir()]
        told = " ".join(f"{part}@{sha256_12(self.folder / part)}" for part in parts)
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def load_unet(self) -> Any:
        """The UNet in float32, on the CPU. AdapterError if it is damaged."""
        return self._part(UNet2DConditionModel, "unet")

    def load_vae(self) -> Any:
        """The VAE in float32, on the CPU. AdapterError if it is damaged."""
        ours = self.vae.get("_class_name") == PatchAutoencoder.__name__
        return self._part(PatchAutoencoder if ours else AutoencoderKL, "vae")

    def load_scheduler(self) -> Any:
        """The scheduler that it samples with."""
        kind = read_json(self.folder / INDEX)["scheduler"][1]
        return getattr(diffusers, kind).from_pretrained(str(self.folder / "scheduler"), local_files_only=True)

    def load_texts(self, device: torch.device) -> TextEncoding:
        """The text encoders, on a device. AdapterError if they are damaged."""
        kind = diffusers.StableDiffusionXLPipeline if self.xl else diffusers.StableDiffusionPipeline
        absent: dict[str, Any] = dict.fromkeys(("unet", "vae", "image_encoder", "feature_extractor"))
        if not self.xl:
            absent["safety_checker"] = None
        for part in ("text_encoder", "text_encoder_2"):
            if (self.folder / part).is_dir():
                absent |= {"variant": _variant(self.folder / part)}
        try:
            pipeline = kind.from_pretrained(
                str(self.folder), local_files_only=True, use_safetensors=True, torch_dtype=torch.float32, **absent
            )
        except Exception as error:  # diffusers, transformers and safetensors share no base class
            raise AdapterError(f"the text encoder of {self.name} can't be loaded: {one_line(error)}") from error
        return TextEncoding(pipeline.to(device), device)

    def _part(self, kind: Any, part: str) -> Any:
        folder = self.folder / part
        return load_whole(kind, folder, f"the {part} of {self.name}", dtype=torch.float32, variant=_variant(folder))


@dataclass(frozen=True)
class TextEncoding:
    """Diffusers' own encoding of prompts, as its pipelines do it while sampling."""

    pipeline: Any
    device: torch.device

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> dict[str, Tensor]:
        """``text`` (B, tokens, width), and for SDXL ``pooled`` (B, P); in float32."""
        return _named(self.pipeline.encode_prompt(prompts, **self._given(False)), 0)

    @torch.no_grad()
    def empty(self) -> dict[str, Tensor]:
        """The same of what guidance's unguided half reads (one row): no prompt, or zeros where the base wants these."""
        return _named(self.pipeline.encode_prompt([""], **self._given(True)), 1)

    def _given(self, guided: bool) -> dict[str, Any]:
        return {"device": self.device, "num_images_per_prompt": 1, "do_classifier_free_guidance": guided}


def _named(states: tuple[Tensor | None, ...], half: int) -> dict[str, Tensor]:
    """Diffusers' (prompt, negative[, pooled, negative pooled]) by name; ``half`` 1 takes the negatives."""
    named = {"text": states[half]}
    if len(states) == 4:
        named["pooled"] = states[2 + half]
    return {name: state.float().cpu() for name, state in named.items() if state is not None}


def find_base(name: str, fetch: bool = True) -> Path:
    """Where a base lies: ``mini``, a diffusers folder, or a hub id, taken from the cache without asking the network.

    Args:
        name: of the base.
        fetch: whether a hub id that isn't cached is fetched.

    Raises:
        AdapterError: nothing of that name can be had.
    """
    if name == "mini":
        return embedded("base", INDEX)
    local = find_local(name, "base model")
    if local is not None:
        if not local.is_dir():
            raise AdapterError(f"{name} is a single file: convert it to a diffusers folder first (docs/BASES.md)")
        return local
    options: dict[str, Any] = {"use_safetensors": True, "torch_dtype": torch.float32}
    try:
        return Path(DiffusionPipeline.download(name, local_files_only=True, **options))
    except Exception as error:  # the hub's client and diffusers share no base class
        if not fetch:
            raise AdapterError(f"{name} is not (whole) in the hub's cache; training would fetch it") from error
    try:
        return Path(DiffusionPipeline.download(name, **options))
    except Exception as error:
        raise AdapterError(f"{name} is not in the hub's cache, and can't be fetched: {one_line(error)}") from error


def read_base(name: str, folder: Path) -> Base:
    """What a base is, from its small files.

    Raises:
        AdapterError: it isn't a Stable Diffusion 1, 2 or XL base, or its noise isn't of the kind trained here.
    """
    index = read_json(folder / INDEX)
    if [*index.get("unet", [])][1:] != ["UNet2DConditionModel"]:
        raise AdapterError(f"{name} has no Stable Diffusion UNet: give a Stable Diffusion 1, 2 or XL base")
    unet, vae = read_config(folder / "unet"), read_config(folder / "vae")
    if unet.get("in_channels", 4) != unet.get("out_channels", 4):
        raise AdapterError(f"{name} takes more than noisy latents (inpainting?): give a text-to-image base")
    return Base(name, folder, unet, vae, family_of(unet), read_schedule(folder / "scheduler", name))


def read_schedule(folder: Path, name: str) -> NoiseSchedule:
    """The noise that a base was trained with, as its scheduler's config says.

    Raises:
        AdapterError: it predicts something else than noise, velocity or clean latents, or is no diffusion of this kind.
    """
    config = read_json(folder / "scheduler_config.json")
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS or "beta_schedule" not in config:
        raise AdapterError(f"{name} isn't trained as Stable Diffusion is ({prediction}): give another base")
    wanted = ("beta_start", "beta_end", "beta_schedule", "trained_betas", "num_train_timesteps")
    scheduler = DDPMScheduler(**{key: config[key] for key in wanted if config.get(key) is not None})
    if not config.get("rescale_betas_zero_snr"):
        return NoiseSchedule.of(scheduler.alphas_cumprod, prediction)
    if prediction == "epsilon":
        raise AdapterError(f"{name} predicts noise, yet its last step is noise alone: its scheduler's config is wrong")
    return NoiseSchedule.zero_snr(scheduler.alphas_cumprod, prediction)


def _variant(folder: Path) -> str | None:
    """``fp16`` where a part has no other weights."""
    names = [path.name for path in folder.glob("*.safetensors")]
    return _HALF if names and all(f".{_HALF}" in name for name in names) else None
