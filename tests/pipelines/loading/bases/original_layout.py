"""Stability's original key layout, written by hand from diffusers' names: what the loader has to undo."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def original(parts: Mapping[str, Any]) -> Tensors:
    """A whole checkpoint of a pipeline's components, with the clutter that real files carry."""
    made = {"model_ema.decay": torch.zeros(()), "alphas_cumprod": torch.ones(10)}
    made |= prefixed("model.diffusion_model.", unet(parts["unet"]))
    made |= prefixed("first_stage_model.", vae(parts["vae"]))
    if "text_encoder_2" in parts:
        made |= prefixed("conditioner.embedders.0.transformer.", clip(parts["text_encoder"]))
        made |= prefixed("conditioner.embedders.1.model.", open_clip(parts["text_encoder_2"]))
    elif parts["unet"].config["use_linear_projection"]:  # as SD 2 has it
        made |= prefixed("cond_stage_model.model.", open_clip(parts["text_encoder"]))
    else:
        made |= prefixed("cond_stage_model.transformer.", clip(parts["text_encoder"]))
    return made


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def unet(model: Any) -> Tensors:
    step = model.config["layers_per_block"] + 1
    with_attention = {i for i, block in enumerate(model.up_blocks) if hasattr(block, "attentions")}

    def rename(name: str) -> str:
        if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
            side, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
            place = (
                f"input_blocks.{1 + block * step + layer}"
                if side == "down"
                else f"output_blocks.{block * step + layer}"
            )
            return f"{place}.0.{_by(RESNET, rest)}" if kind == "resnets" else f"{place}.1.{rest}"
        if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
            return f"input_blocks.{(int(match[1]) + 1) * step}.0.op.{match[2]}"
        if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.*)", name):
            block = int(match[1])
            return f"output_blocks.{block * step + step - 1}.{2 if block in with_attention else 1}.conv.{match[2]}"
        if match := re.match(r"mid_block\.resnets\.(\d)\.(.*)", name):
            return f"middle_block.{2 * int(match[1])}.{_by(RESNET, match[2])}"
        if match := re.match(r"mid_block\.attentions\.0\.(.*)", name):
            return f"middle_block.1.{match[1]}"
        return _by(UNET_ENDS, name)

    return _renamed(model.state_dict(), rename)


def vae(model: Any) -> Tensors:
    last = len(model.config["block_out_channels"]) - 1

    def rename(name: str) -> str:
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda m: f"up.{last - int(m[1])}.block.", name)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"up.{last - int(m[1])}.upsample.", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        if match := re.match(r"(.*)mid_block\.attentions\.0\.(.*)", name):
            return f"{match[1]}mid.attn_1.{_by(VAE_ATTENTION, match[2])}"
        return name

    made = _renamed(model.state_dict(), rename)
    # There, attention is made of 1x1 convolutions.
    return {n: t[..., None, None] if re.search(r"attn_1\.(q|k|v|proj_out)\.weight", n) else t for n, t in made.items()}


def clip(model: Any) -> Tensors:
    made = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in model.state_dict().items()}
    made["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    return made


def open_clip(model: Any) -> Tensors:
    own = {name.removeprefix("text_model."): tensor for name, tensor in model.state_dict().items()}
    width, layers = model.config.hidden_size, model.config.num_hidden_layers
    projection = own["text_projection.weight"].T if "text_projection.weight" in own else torch.eye(width)
    made = {
        "positional_embedding": own["embeddings.position_embedding.weight"],
        "token_embedding.weight": own["embeddings.token_embedding.weight"],
        "ln_final.weight": own["final_layer_norm.weight"],
        "ln_final.bias": own["final_layer_norm.bias"],
        "text_projection": projection.contiguous(),
        "logit_scale": torch.ones(()),
    }
    for layer in range(layers):
        source, target = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            fused = [own[f"{source}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            made[f"{target}attn.in_proj_{kind}"] = torch.cat(fused)
            made |= {f"{target}{new}.{kind}": own[f"{source}{old}.{kind}"] for old, new in OPEN_CLIP.items()}
    if "text_projection.weight" not in own:
        # SD 2 reads the last but one layer's output: diffusers' folder leaves the last one out, the file has it.
        old, new = f".resblocks.{layers - 1}.", f".resblocks.{layers}."
        made |= {name.replace(old, new): torch.zeros_like(tensor) for name, tensor in made.items() if old in name}
    return made


def _by(table: Mapping[str, str], name: str) -> str:
    for old, new in table.items():
        if name.startswith(old + "."):
            return new + name.removeprefix(old)
    raise AssertionError(f"{name} has no place in the original layout")


def _renamed(tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> Tensors:
    made = {rename(name): tensor for name, tensor in tensors.items()}
    assert len(made) == len(tensors)
    return made
