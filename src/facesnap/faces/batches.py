"""Crops through a frozen network, a batch at a time: what E_f and E_c share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch

from facesnap.faces.align import CROP_SIZE, stack_crops

BATCH: Final = 32


def encode_crops(
    network: Callable[[torch.Tensor], torch.Tensor],
    crops: np.ndarray | Sequence[np.ndarray],
    device: torch.device,
    shape: tuple[int, ...],
    size: int = CROP_SIZE,
) -> np.ndarray:
    """Run a network on crops without gradients.

    Args:
        network: (b, 3, size, size) in [0, 1] on ``device`` -> (b, *shape).
        crops: (B, size, size, 3) RGB uint8.
        device: where the network is.
        shape: of one crop's result.
        size: of the crops, in pixels.

    Returns:
        (B, *shape) float32; empty for no crops.

    Raises:
        InputError: crops of another shape or type.
    """
    batch = torch.from_numpy(stack_crops(crops, size)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        parts = [network(part.to(device).float() / 255).cpu() for part in torch.split(batch, BATCH) if len(part)]
    return torch.cat(parts).numpy() if parts else np.empty((0, *shape), dtype=np.float32)
