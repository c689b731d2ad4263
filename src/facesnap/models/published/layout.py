"""Which adapter a published file holds and which bases it fits, told by its keys and shapes.

Layouts as published: InstantID's ``ip-adapter.bin`` (github.com/instantX-research/InstantID, arXiv 2401.07519) and
IP-Adapter-FaceID's files (github.com/tencent-ailab/IP-Adapter, arXiv 2308.06721). ``ip_adapter`` numbers all attentions
of the UNet in diffusers' order (down, up, mid): even ones read the picture, odd ones the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from facesnap.core.errors import AdapterError
from facesnap.models.checkpoint import family_of
from facesnap.models.published.reading import State

INSTANTID: Final = "instantid"
FACEID: Final = "ip-adapter-faceid"
FACEID_PLUS: Final = "ip-adapter-faceid-plus"
FACEID_PLUSV2: Final = "ip-adapter-faceid-plusv2"

#: ArcFace's vectors. A resampler that reads wider ones reads CLIP: IP-Adapter-Plus, whose layout is InstantID's.
ARCFACE_DIM: Final = 512
#: Tokens of IP-Adapter-FaceID; its portrait variant has 16.
FACEID_TOKENS: Final = 4

#: Published bases: width of the text states, and of each cross-attention.
FAMILIES: Final[Mapping[str, tuple[int, tuple[int, ...]]]] = {
    "sd1": (768, (*(320,) * 2, *(640,) * 2, *(1280,) * 2, *(1280,) * 3, *(640,) * 3, *(320,) * 3, 1280)),
    "sdxl": (2048, (*(640,) * 4, *(1280,) * 50, *(640,) * 6, *(1280,) * 10)),
}

_LAYER_KEY: Final = re.compile(r"\d+\.(to_[kv]_ip|to_(q|k|v|out)_lora\.(down|up))\.weight")


@dataclass(frozen=True)
class Layout:
    """What a file is and fits.

    Attributes:
        kind: one of the four names above (FaceID-Plus and -PlusV2 have one layout: here it is always -Plus).
        face_dim: D of E_f's vectors.
        appearance_dim: C of E_c's tokens; None where CLIP isn't read.
        tokens: N.
        width: W, of the tokens and of the base's text states.
        attentions: output widths of the base's cross-attentions, in order.
        lora_rank: of the LoRA inside; None without one.
    """

    kind: str
    face_dim: int
    appearance_dim: int | None
    tokens: int
    width: int
    attentions: tuple[int, ...]
    lora_rank: int | None

    @property
    def family(self) -> str:
        """``sd1``, ``sdxl``, or the shape of any other base."""
        for name, shape in FAMILIES.items():
            if shape == (self.width, self.attentions):
                return name
        return f"other(text {self.width}; attentions {'-'.join(str(a) for a in self.attentions)})"

    def check_unet(self, unet: Any) -> None:
        """AdapterError, naming both, unless every cross-attention of a UNet has the width that the file has."""
        layers = [unet.get_submodule(name.removesuffix(".processor")) for name in unet.attn_processors]
        crossing = [layer for layer in layers if layer.is_cross_attention]
        widths = tuple(layer.inner_kv_dim for layer in crossing)
        if unet.config["cross_attention_dim"] == self.width and widths == self.attentions:
            return
        raise AdapterError(
            f"this {self.kind} fits {self.family} bases ({len(self.attentions)} cross-attentions), but this one is"
            f" {family_of(unet.config)} ({len(crossing)}): choose another of them"
        )


def recognise(state: State, source: object) -> Layout:
    """The layout of a file's tensors.

    Raises:
        AdapterError: another kind of adapter, or tensors that are missing, too many, or of another shape.
    """
    projection, layers = state["image_proj"], state["ip_adapter"]
    kind, face_dim, appearance_dim, tokens, width = _projection(projection, source)
    attentions, rank = _attentions(layers, width, source)
    return Layout(kind, face_dim, appearance_dim, tokens, width, attentions, rank)


def _projection(found: Mapping[str, Tensor], source: object) -> tuple[str, int, int | None, int, int]:
    def size(key: str, axis: int) -> int:
        if key not in found or found[key].ndim <= axis:
            raise AdapterError(f"{source} is damaged: image_proj.{key} is missing or misshapen")
        return int(found[key].shape[axis])

    if "proj.weight" in found or "proj.3.weight" in found:
        raise AdapterError(f"{source} is a plain IP-Adapter: it reads a picture by CLIP, and knows no recogniser")
    if "latents" in found:
        face_dim = size("proj_in.weight", 1)
        if face_dim != ARCFACE_DIM:
            raise AdapterError(f"{source} is an IP-Adapter-Plus: it reads CLIP's tokens, and knows no recogniser")
        return INSTANTID, face_dim, None, size("latents", 1), size("proj_out.weight", 0)
    if "norm.weight" not in found:
        raise AdapterError(f"{source} is no InstantID and no IP-Adapter-FaceID: its image_proj is of another layout")
    face_dim, width = size("proj.0.weight", 1), size("norm.weight", 0)
    tokens = size("proj.2.weight", 0) // width
    if tokens != FACEID_TOKENS:
        raise AdapterError(
            f"{source} is a portrait variant of IP-Adapter-FaceID ({tokens} tokens, of several photos), which isn't"
            " supported: take ip-adapter-faceid, -plus or -plusv2"
        )
    if any(key.startswith("perceiver_resampler.") for key in found):
        return FACEID_PLUS, face_dim, size("perceiver_resampler.proj_in.weight", 1), tokens, width
    return FACEID, face_dim, None, tokens, width


def _attentions(found: Mapping[str, Tensor], width: int, source: object) -> tuple[tuple[int, ...], int | None]:
    """Widths of the cross-attentions and rank of the LoRA, after comparing every key and shape."""
    count = sum(key.endswith(".to_k_ip.weight") for key in found)
    read = [found.get(f"{2 * i + 1}.to_k_ip.weight") for i in range(count)]
    attentions = tuple(0 if tensor is None else int(tensor.shape[0]) for tensor in read)
    first = found.get("0.to_q_lora.down.weight")
    has_lora = any("_lora." in key for key in found)
    rank = (0 if first is None else int(first.shape[0])) if has_lora else None
    expected = layer_shapes(attentions, width, rank)
    given = {key: tuple(tensor.shape) for key, tensor in found.items()}
    for key in sorted(expected.keys() | given.keys()):
        if key not in expected and not _LAYER_KEY.fullmatch(key):
            raise AdapterError(f"{source} is no InstantID and no IP-Adapter-FaceID: it has ip_adapter.{key}")
        if expected.get(key) != given.get(key):
            is_shape = given.get(key, "missing")
            raise AdapterError(f"{source} is damaged: ip_adapter.{key} is {is_shape}, not {expected.get(key, 'there')}")
    if not attentions:
        raise AdapterError(f"{source} is damaged: it has no attention layers")
    return attentions, rank


def layer_shapes(attentions: tuple[int, ...], width: int, rank: int | None) -> dict[str, tuple[int, int]]:
    """Keys and shapes of ``ip_adapter`` for a base: two attentions per block, to itself and to the text."""
    shapes: dict[str, tuple[int, int]] = {}
    for block, inner in enumerate(attentions):
        own, text = 2 * block, 2 * block + 1
        shapes |= {f"{text}.to_{name}_ip.weight": (inner, width) for name in "kv"}
        if rank is None:
            continue
        for index, read in ((own, inner), (text, width)):
            for name, source in (("q", inner), ("k", read), ("v", read), ("out", inner)):
                shapes[f"{index}.to_{name}_lora.down.weight"] = (rank, source)
                shapes[f"{index}.to_{name}_lora.up.weight"] = (inner, rank)
    return shapes
