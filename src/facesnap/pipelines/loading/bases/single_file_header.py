"""Single files in Stability's original key layout: what one holds, by its header alone.

``model.diffusion_model.`` is the UNet, ``first_stage_model.`` the VAE, ``cond_stage_model.`` (SD 1 and 2) or
``conditioner.embedders.`` (SDXL) the text encoders. A file holds tensors, no configs and no tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from facesnap.core.errors import AdapterError, one_line

UNET: Final = "model.diffusion_model."

#: Prefixes of the tensors of each part, by its name in a diffusers folder.
PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "unet": (UNET,),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
}

#: What a file is that isn't a base: the first pattern that is found in one of its keys.
_OTHERS: Final = (
    (r"lora_|\.lora\.|lokr_|hada_", "a LoRA: give its base, and add it by pipeline.load_lora_weights"),
    (r"^control_model\.|controlnet_", "a ControlNet, not a base"),
    (r"double_blocks\.|single_transformer_blocks\.", "a Flux model, not Stable Diffusion 1, 2 or XL"),
    (r"joint_blocks\.", "a Stable Diffusion 3 model, not 1, 2 or XL"),
    (r"^image_proj|^ip_adapter", "an IP-Adapter, not a base"),
    (r"motion_modules\.", "an AnimateDiff motion module, not a base"),
    (r"^(unet\.)?down_blocks\.", "a UNet in diffusers' layout, without VAE and text encoder: give its whole folder"),
    (r"^first_stage_model\.|^(encoder|decoder)\.conv_in\.", "a VAE alone, not a base"),
    (r"^text_model\.|^transformer\.resblocks\.|^encoder\.block\.", "a text encoder alone, not a base"),
    (r"^emb_params$|^clip_[lg]$|^string_to_param", "a textual inversion, not a base"),
)

_PICKLE: Final = "a pickle, which could run code: convert it to safetensors (docs/BASES.md)"
_PICKLE_ENDINGS: Final = (".ckpt", ".pt", ".pth", ".bin", ".pkl")

#: What a file is by its first bytes, whatever it is called.
_FIRST_BYTES: Final = {
    b"PK\x03\x04": _PICKLE,
    b"GGUF": "a GGUF file: give the .safetensors it was made from",
    b"vers": "a pointer of Git LFS, not the weights: run `git lfs pull` where it was cloned",
}


@dataclass(frozen=True)
class SingleFile:
    """The header of a single file.

    Attributes:
        path: of the file.
        shapes: tensor -> shape.
        metadata: what its maker wrote into it.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]

    @cached_property
    def unet(self) -> dict[str, Any]:
        """What of the UNet's config its shapes tell, by diffusers' names: enough for its family."""
        shapes = {name.removeprefix(UNET): s for name, s in self.shapes.items() if name.startswith(UNET)}
        width = next((s[1] for name, s in shapes.items() if name.endswith(".attn2.to_k.weight")), 0)
        channels, layers = _levels(shapes)
        config: dict[str, Any] = {
            "block_out_channels": channels,
            "layers_per_block": layers[0] if len(set(layers)) == 1 else layers,
            "cross_attention_dim": width,
            "in_channels": shapes["input_blocks.0.0.weight"][1],
            "out_channels": shapes["out.2.bias"][0],
        }
        if "label_emb.0.0.weight" in shapes:
            sdxl = any(name.startswith("conditioner.") for name in self.shapes)
            config |= {"addition_embed_type": "text_time"} if sdxl else {"class_embed_type": "projection"}
        if not any(name.startswith("middle_block.") for name in shapes):
            config["mid_block_type"] = None
        if "label_emb.weight" in shapes:
            config["num_class_embeds"] = shapes["label_emb.weight"][0]
        return config

    @property
    def prediction_type(self) -> str | None:
        """What the UNet predicts (``epsilon``, ``v_prediction``), if the file says so."""
        if "v_pred" in self.shapes:
            return "v_prediction"
        said = self.metadata.get("modelspec.prediction_type", "").replace("-", "_")
        if self.metadata.get("modelspec.architecture") == "stable-diffusion-v2-512":
            said = said or "epsilon"
        return {"v": "v_prediction"}.get(said, said) if said in ("v", "v_prediction", "epsilon") else None

    @property
    def scheduler_changes(self) -> dict[str, Any]:
        """What the file says of its scheduler, by diffusers' names; it goes before a borrowed config."""
        changes: dict[str, Any] = {"prediction_type": self.prediction_type} if self.prediction_type else {}
        if "ztsnr" in self.shapes:
            changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return changes


def read_single_file(file: Path) -> SingleFile:
    """Read the header of a single file.

    Raises:
        AdapterError: a pickle, an unreadable file, or no whole Stable Diffusion base; says what it is if that shows.
    """
    if file.suffix.lower() in _PICKLE_ENDINGS:
        raise AdapterError(f"{file} is {_PICKLE}")
    try:
        with file.open("rb") as start:
            if fault := _FIRST_BYTES.get(start.read(4)):
                raise AdapterError(f"{file} is {fault}")
        with safe_open(file, framework="pt") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            metadata = dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"can't read {file} as safetensors: {one_line(error)}") from error
    if fault := _fault(shapes):
        raise AdapterError(f"{file} is {fault}")
    return SingleFile(file, shapes, metadata)


def _fault(names: Iterable[str]) -> str | None:
    """Why a file with these keys is no base; None if it is one."""
    names = list(names)
    if not {f"{UNET}input_blocks.0.0.weight", f"{UNET}out.2.bias"} <= set(names):
        found = (what for pattern, what in _OTHERS if any(re.search(pattern, name) for name in names))
        return next(found, "not a Stable Diffusion 1, 2 or XL checkpoint")
    if any(name.startswith("conditioner.embedders.0.model.") for name in names):
        return "an SDXL refiner, which only finishes pictures: give an SDXL base"
    if any(name.startswith("edm_") for name in names):
        return "a model of another noise schedule (EDM), which the file can't describe: give its diffusers folder"
    for part in ("vae", "text_encoder"):
        if not any(name.startswith(PREFIXES[part]) for name in names):
            return f"not whole: it has a UNet, but no {part.replace('_', ' ')}"
    return None


def _levels(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels, and numbers of layers, of the UNet's levels; each but the last ends with a downsampling."""
    channels, layers = [0], [0]
    for block in range(1, len(shapes)):
        if f"input_blocks.{block}.0.op.weight" in shapes:
            channels.append(channels[-1])
            layers.append(0)
        elif resnet := shapes.get(f"input_blocks.{block}.0.out_layers.3.bias"):
            channels[-1] = resnet[0]
            layers[-1] += 1
        else:
            break
    return tuple(channels), tuple(layers)
