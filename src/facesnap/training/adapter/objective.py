"""What training an adapter minimises, L_total = L_diff + lambda_id * L_id: mini's stage and photographs alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from facesnap.faces.align import CROP_SIZE
from facesnap.faces.encode import FaceEncoder
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.training.losses import NoiseSchedule, crop_by, diffusion_loss, identity_gate, identity_loss

#: SDXL's conditions beside the text states, by diffusers' names.
ADDED: Final = ("text_embeds", "time_ids")

#: Residuals of FFRNet: those of the levels, and the middle's.
Residuals = tuple[tuple[Tensor, ...], Tensor]


class Weights(Protocol):
    """The settings that the objective reads; see :class:`facesnap.training.config.AdapterConfig`."""

    @property
    def lambda_id(self) -> float: ...  # noqa: D102
    @property
    def id_window(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def id_batch(self) -> int: ...  # noqa: D102
    @property
    def min_snr_gamma(self) -> float: ...  # noqa: D102


class FaceNets(nn.Module):
    """FAM and FFRNet as one module: what is trained, and what accelerate wraps, has one forward."""

    def __init__(self, ffrnet: FFRNet, mixer: FacialAttributeMixer) -> None:
        super().__init__()
        self.ffrnet, self.mixer = ffrnet, mixer

    def forward(
        self,
        f_id: Tensor,
        f_clip: Tensor,
        drop: Tensor,
        noisy: Tensor,
        timesteps: Tensor,
        maps: Tensor,
        added: Mapping[str, Tensor] | None = None,
    ) -> Residuals:
        """Residuals for noisy latents (B, C, h, w), given faces (a row that is dropped is nobody's) and maps."""
        tokens = self.mixer(f_id, f_clip, drop=drop)
        with self.ffrnet.attend_to(tokens):
            return residuals(self.ffrnet, noisy, timesteps, maps, added)


def residuals(
    ffrnet: FFRNet, noisy: Tensor, timesteps: Tensor, maps: Tensor, added: Mapping[str, Tensor] | None = None
) -> Residuals:
    """What FFRNet adds to the base, for the tokens that it holds."""
    given: dict[str, Any] = {"added_cond_kwargs": dict(added)} if added else {}
    down, mid = ffrnet(noisy, timesteps, controlnet_cond=maps, return_dict=False, **given)
    return down, mid


@dataclass(frozen=True)
class Frozen:
    """What stays as it is and takes part in the loss; ``face`` is None where L_id isn't asked for."""

    unet: Any
    vae: Any
    face: FaceEncoder | None
    device: torch.device

    def predict(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        states: Tensor,
        given: Residuals,
        added: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """What the base predicts (B, C, h, w) of noisy latents, given text states and FFRNet's residuals."""
        down, mid = given
        more: dict[str, Any] = {"added_cond_kwargs": dict(added)} if added else {}
        predicted: Tensor = self.unet(
            noisy,
            timesteps,
            states,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            **more,
        ).sample
        return predicted

    def decoded(self, clean: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] of latents as the UNet has them."""
        config = self.vae.config
        if config.scaling_factor != 1.0:
            clean = clean / config.scaling_factor
        if config.shift_factor:
            clean = clean + config.shift_factor
        with vae_precision(self.vae, self.device):
            images: Tensor = self.vae.decode(clean).sample
        return (images / 2 + 0.5).clamp(0, 1)

    def embed(self, images: Tensor, matrices: Tensor) -> Tensor:
        """E_f's vectors (B, D) of pictures in [0, 1], cut out by picture-to-crop matrices (B, 2, 3).

        E_f runs in single precision: L_id is the small difference of cosines near 1.
        """
        assert self.face is not None
        with torch.autocast(self.device.type, enabled=False):
            return self.face.embed(crop_by(images, matrices, CROP_SIZE))


def vae_precision(vae: Any, device: torch.device) -> AbstractContextManager[Any]:
    """Single precision for a VAE that says it overflows in float16 (``force_upcast``), inside autocast to that."""
    half = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.float16
    return torch.autocast(device.type, enabled=False) if half and vae.config.force_upcast else nullcontext()


def identity_rows(timesteps: Tensor, drop: Tensor, total: int, weights: Weights) -> Tensor:
    """Which rows L_id counts on: the first ``id_batch`` within the gate that have a face."""
    gate = identity_gate(timesteps, total, weights.id_window) & ~drop
    return gate.nonzero()[:, 0][: weights.id_batch]


def total_loss(
    nets: Callable[..., Residuals],
    frozen: Frozen,
    schedule: NoiseSchedule,
    weights: Weights,
    batch: Mapping[str, Tensor],
    rows: Tensor,
    share: float = 1.0,
) -> dict[str, Tensor]:
    """L_total of a batch, ``loss``, and its parts.

    Args:
        nets: :class:`FaceNets`, maybe wrapped.
        frozen: the base and E_f.
        schedule: of the base.
        weights: of the losses.
        batch: ``f_id``, ``f_clip``, ``drop``, ``maps``, ``encoder_hidden_states``, ``clean``, ``noise``, ``timesteps``;
            for L_id ``matrices`` (the target's alignment: no detector stands between the gradient and us) and
            ``truth``, the reference's plain vectors; for SDXL :data:`ADDED`.
        rows: on which L_id counts, see :func:`identity_rows`.
        share: what L_id's mean over these rows counts, where the batch is a part of one that was planned as a whole.
    """
    timesteps = batch["timesteps"]
    added = {name: batch[name] for name in ADDED if name in batch}
    noisy = schedule.add_noise(batch["clean"], batch["noise"], timesteps)
    given = nets(batch["f_id"], batch["f_clip"], batch["drop"], noisy, timesteps, batch["maps"], added)
    predicted = frozen.predict(noisy, timesteps, batch["encoder_hidden_states"], given, added)
    return losses_of(predicted, noisy, frozen, schedule, weights, batch, rows, share)


def losses_of(
    predicted: Tensor,
    noisy: Tensor,
    frozen: Frozen,
    schedule: NoiseSchedule,
    weights: Weights,
    batch: Mapping[str, Tensor],
    rows: Tensor,
    share: float = 1.0,
) -> dict[str, Tensor]:
    """The same of what was ``predicted`` (B, C, h, w) of ``noisy`` latents, whoever told the base of the face."""
    timesteps = batch["timesteps"]
    target = schedule.target(batch["clean"], batch["noise"], timesteps)
    losses = diffusion_loss(predicted, target, timesteps, schedule, weights.min_snr_gamma)
    total = losses["diff"]
    if len(rows) and weights.lambda_id > 0:
        estimate = schedule.clean_from(noisy, predicted.float(), timesteps)[rows]
        found = frozen.embed(frozen.decoded(estimate), batch["matrices"][rows])
        losses["id"] = identity_loss(found, batch["truth"][rows]) * share
        total = total + weights.lambda_id * losses["id"]
    return {"loss": total, **losses}
