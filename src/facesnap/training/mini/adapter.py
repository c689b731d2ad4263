"""Stage ``adapter``: FAM and FFRNet on pairs, L_total = L_diff + lambda_id * L_id, the base frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from facesnap.core.weights import sha256_12
from facesnap.models.checkpoint import AdapterConfig as AdapterManifest
from facesnap.models.checkpoint import save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.training.adapter.objective import FaceNets, identity_rows, residuals, total_loss
from facesnap.training.batches import Batch
from facesnap.training.config import AdapterConfig
from facesnap.training.mini.base import down_block_types, plain_attention
from facesnap.training.mini.data import Split
from facesnap.training.mini.paired import Denoise, PairStage

#: What ``facesnap generate`` uses unless told otherwise, by diffusers' names.
DEFAULTS = {"num_inference_steps": 20, "guidance_scale": 3.0}


class AdapterStage(PairStage):
    """Trains the mixer and FFRNet; UNet, VAE, text encoder, E_f and E_c stay as they are."""

    def __init__(
        self, config: AdapterConfig, train: Split, check: Split, out: Path, device: torch.device, seed: int
    ) -> None:
        super().__init__(config, train, check, out, device, seed)
        dims = self.pairs.features.f_id.shape[-1], self.pairs.features.f_clip.shape[-1]
        factor = train.world.images.shape[1] // self.pairs.latents.shape[-1]
        self.ffrnet = new_ffrnet(self.unet, config, factor)
        self.mixer = new_mixer(*dims, int(self.unet.config["cross_attention_dim"]), config)
        self.modules = nn.ModuleDict({"ffrnet": self.ffrnet, "mixer": self.mixer})
        self.nets = FaceNets(self.ffrnet, self.mixer)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_total."""
        rows = identity_rows(batch["timesteps"], batch["drop"], len(self.schedule), self.config)
        return total_loss(self.nets, self.frozen, self.schedule, self.config, batch, rows)

    def denoiser(self, batch: Batch) -> Denoise:
        """The base with FFRNet, which holds the tokens of the batch."""
        tokens, maps, states = self.mixer(batch["f_id"], batch["f_clip"]), batch["maps"], batch["encoder_hidden_states"]

        def denoise(noisy: Tensor, timesteps: Tensor) -> Tensor:
            with self.ffrnet.attend_to(tokens):
                return self.predict(noisy, timesteps, maps, states)

        return denoise

    def predict(self, noisy: Tensor, timesteps: Tensor, maps: Tensor, states: Tensor) -> Tensor:
        """The velocity (B, C, h, w) of noisy latents, given landmark maps, text states and the tokens FFRNet holds."""
        return self.frozen.predict(noisy, timesteps, states, residuals(self.ffrnet, noisy, timesteps, maps))

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the adapter with the names and hashes of what it was trained against; losses on unseen people."""
        encoders = {
            "face": self.face.identifier,
            "appearance": self.appearance.identifier,
            "landmarks": f"landmarks@{sha256_12(self.out / 'landmarks')}",
        }
        manifest = AdapterManifest.for_unet(self.unet.config, encoders, DEFAULTS)
        save_adapter(self.out / "adapter", self.ffrnet, self.mixer, manifest, dtype=torch.float16)
        return self.figures()


def new_ffrnet(unet: UNet2DConditionModel, config: AdapterConfig, factor: int) -> FFRNet:
    """An FFRNet for mini's base, to be trained; ``factor``: pixels per latent."""
    ffrnet = FFRNet.from_unet(
        *(unet, int(unet.config["cross_attention_dim"])),
        conditioning_embedding_out_channels=config.map_channels[: factor.bit_length()],
        down_block_types=down_block_types(config.attention),
        zero_init=False,
    )
    plain_attention(ffrnet)
    ffrnet.requires_grad_(True)
    return ffrnet


def new_mixer(face_dim: int, appearance_dim: int, width: int, config: AdapterConfig) -> FacialAttributeMixer:
    """A mixer of mini's size, to be trained."""
    sizes = face_dim, appearance_dim, width, config.id_tokens, config.tokens
    mixer: FacialAttributeMixer = FacialAttributeMixer(*sizes, 4, config.decoder_layers)
    return mixer
