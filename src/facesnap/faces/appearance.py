"""E_c: the CLIP image encoder, from a face crop to the appearance tokens ``f_clip``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from facesnap.core.weights import load_whole, read_config, read_json, sha256_12, write_json
from facesnap.faces.align import CROP_SIZE
from facesnap.faces.batches import encode_crops

PREPROCESSOR_NAME: Final = "preprocessor_config.json"

#: CLIP's statistics, for folders that carry no preprocessor config.
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)

#: How much of the surroundings E_c's crop shows: ``align(image, points5, zoom=ZOOM)``.
ZOOM: Final = 0.7


class AppearanceEncoder:
    """A frozen CLIPVisionModelWithProjection: E_f says who, its tokens say how that person looks.

    Attributes:
        identifier: ``name@`` and the first 12 hex digits of the weights' SHA-256.
        shape: (T, C) of the tokens of one crop.
        zoom: how much of the surroundings its crop shows, see :func:`facesnap.faces.align.align`.
        crop_size: side of its crop in pixels.
    """

    def __init__(
        self,
        model: CLIPVisionModelWithProjection,
        identifier: str,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        device: str | torch.device = "cpu",
        layer: int = -1,
        zoom: float = ZOOM,
        crop_size: int = CROP_SIZE,
    ) -> None:
        self.zoom, self.crop_size, self._layer = zoom, crop_size, layer
        self.model = cast(Any, model)  # transformers' methods carry no types
        self.model.eval().requires_grad_(False).to(device=device, dtype=torch.float32)
        self.identifier = identifier
        self.device = torch.device(device)
        self._mean = torch.tensor(list(mean), device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(list(std), device=device).view(1, 3, 1, 1)
        config = self.model.config
        self.size = int(config.image_size)
        self.shape = ((self.size // int(config.patch_size)) ** 2 + 1, int(config.hidden_size))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        layer: int = -1,
        zoom: float = ZOOM,
        crop_size: int = CROP_SIZE,
    ) -> AppearanceEncoder:
        """Load a stock transformers folder: config, ``model.safetensors``, ``preprocessor_config.json``.

        Args:
            folder: of the model.
            device: where it computes.
            layer: whose hidden states are its tokens; -1 is the last.
            zoom: of its crop.
            crop_size: of the same, in pixels.

        Raises:
            AdapterError: the folder is missing, or holds no such model.
        """
        folder = Path(folder)
        config = read_config(folder)
        identifier = f"{config.get('name', folder.name)}@{sha256_12(folder)}"
        what = f"the CLIP image encoder in {folder}"
        model = load_whole(CLIPVisionModelWithProjection, folder, what, unused="visual_projection")
        stored = read_json(folder / PREPROCESSOR_NAME) if (folder / PREPROCESSOR_NAME).is_file() else {}
        mean, std = stored.get("image_mean", CLIP_MEAN), stored.get("image_std", CLIP_STD)
        return cls(
            model, identifier if layer == -1 else f"{identifier}[{layer}]", mean, std, device, layer, zoom, crop_size
        )

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, 3, size, size) as CLIP wants it: resized, mean 0, deviation 1."""
        if images.shape[-2:] != (self.size, self.size):
            images = functional.interpolate(images, (self.size, self.size), mode="bicubic", antialias=True)
        return (images - self._mean.to(images)) / self._std.to(images)

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, T, C) hidden states."""
        return self._states(self.prepare(images))

    def encode(self, crops: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """(B, S, S, 3) RGB uint8 crops, aligned with this encoder's zoom and size S -> (B, T, C) float32.

        Raises:
            InputError: crops of another shape or type.
        """
        return encode_crops(self.tokens, crops, self.device, self.shape, self.crop_size)

    @torch.no_grad()
    def empty(self) -> np.ndarray:
        """(1, T, C) float32: its tokens of nothing, a picture of zeros after normalisation."""
        return self._states(torch.zeros(1, 3, self.size, self.size, device=self.device)).cpu().numpy()

    def _states(self, pixel_values: torch.Tensor) -> torch.Tensor:
        made = self.model(pixel_values=pixel_values, output_hidden_states=self._layer != -1)
        states: torch.Tensor = made.last_hidden_state if self._layer == -1 else made.hidden_states[self._layer]
        return states


def save_preprocessor(folder: str | os.PathLike[str], size: int) -> None:
    """Write the ``preprocessor_config.json`` that stock transformers expects beside an image encoder of ours."""
    content = {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": size, "width": size},
        "size": {"shortest_edge": size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
    write_json(Path(folder) / PREPROCESSOR_NAME, content)
