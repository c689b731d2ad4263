"""Final check of what trains on pairs: portraits of people never trained on, by the product's sampler, unguided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.layout import nme
from facesnap.training.batches import Batch
from facesnap.training.mini.base import sample

if TYPE_CHECKING:
    from facesnap.training.mini.paired import PairStage


@torch.no_grad()
def portrait_figures(stage: PairStage, batch: Batch) -> dict[str, Tensor]:
    """One portrait per row of a batch as :meth:`PairStage.draw` makes it, on the stage's device.

    E_f and E_3d take part in the training, so these figures compare trainings; the judges measure the product.

    Returns:
        ``portrait_cosine``: E_f's mean cosine of portrait and reference; ``portrait_rank1``: how often no other row's
        reference is nearer; ``portrait_nme``: of the landmarks that E_3d finds, to the requested ones.
    """
    with torch.autocast(stage.device.type, torch.bfloat16, enabled=stage.config.bf16):
        clean = sample(stage.denoiser(batch), batch["noise"])
        images = stage.frozen.decoded(clean).float()
    drawn, references = stage.frozen.embed(images, batch["matrices"]).float(), batch["truth"].float()
    cosine = F.normalize(drawn, dim=-1) @ F.normalize(references, dim=-1).T
    nearest = cosine.argmax(1) == torch.arange(len(cosine), device=cosine.device)
    asked = batch["points"].cpu().numpy()
    pictures = (images.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    faces = stage.fitter.fit_all(pictures, [landmark_box(points) for points in asked])
    return {
        "portrait_cosine": cosine.diagonal().mean(),
        "portrait_rank1": nearest.float().mean(),
        "portrait_nme": torch.from_numpy(nme(np.stack([face.landmarks2d for face in faces]), asked)).mean(),
    }
