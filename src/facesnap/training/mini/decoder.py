"""Stage ``decoder``: sharper pictures from the same latents.

The encoder stays as it is, so nothing that was trained on its latents changes. The decoder learns from three losses:
pixels and edges, features of E_f (where eyes, brows and mouth count most), and a critic of patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from facesnap.faces.align import arcface_matrix
from facesnap.faces.encode import FaceEncoder
from facesnap.faces.networks import FaceNet
from facesnap.training.batches import Batch
from facesnap.training.config import DecoderConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import crop_by
from facesnap.training.mini.base import load_vae
from facesnap.training.mini.data import Split, draw_rows, to_tensor
from facesnap.training.mini.export import save_half
from facesnap.training.mini.vae import gradient_loss, psnr


class PatchCritic(nn.Module):
    """Real or decoded? One logit per patch of about 30 pixels: (B, 3, H, W) in [-1, 1] -> (B, 1, H/16, W/16)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        channels = 12
        for width in (32, 64, 96):
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.GroupNorm(8, width), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits; above 0 means real."""
        logits: Tensor = self.layers(images)
        return logits


class DecoderStage(Stage):
    """Decoder and critic learn in one step: the decoder sees the critic's weights as constants."""

    def __init__(self, config: DecoderConfig, train: Split, check: Split, out: Path, device: torch.device) -> None:
        self.config, self.train, self.check, self.out, self.device = config, train, check, out, device
        self.vae = load_vae(out, device)
        face = FaceEncoder.from_pretrained(out / "face_encoder", device=device).network
        assert isinstance(face, FaceNet), "mini's E_f is a FaceNet"
        self.face, self.critic = face, PatchCritic()
        learns = {"decoder": self.vae.decoder, "post_quant_conv": self.vae.post_quant_conv}
        for module in learns.values():
            module.requires_grad_(True)
        self.modules = nn.ModuleDict({**learns, "critic": self.critic})

    def draw(self, rng: np.random.Generator) -> Batch:
        """Whole pictures, as rendered, and where their faces are."""
        rows = draw_rows(len(self.train), self.config.batch_size, rng)
        matrices = torch.from_numpy(arcface_matrix(self.train.points5[rows]).astype(np.float32))
        return {"pictures": to_tensor(self.train.world.images[rows]) * 2 - 1, "matrices": matrices}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The decoder's three losses and the critic's own."""
        target = batch["pictures"]
        with torch.no_grad():
            latents = self.vae.encode(target).latent_dist.mean
        image = self.vae.decode(latents).sample.float()
        frozen = {name: value.detach() for name, value in self.critic.named_parameters()}
        losses = {
            "l1": F.l1_loss(image, target),
            "gradient": gradient_loss(image, target),
            "feature": self._feature_loss(image, target, batch["matrices"]),
            "fool": -functional_call(self.critic, frozen, (image,)).float().mean(),
        }
        judged_real, judged_made = self.critic(target).float(), self.critic(image.detach()).float()
        critic = F.relu(1 - judged_real).mean() + F.relu(1 + judged_made).mean()  # hinge (Lim and Ye 2017)
        weights = {"l1": 1.0, "gradient": 0.5, "feature": self.config.feature_weight, "fool": self.config.critic_weight}
        total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum() + critic
        return {"loss": total, **losses, "critic": critic}

    def _feature_loss(self, image: Tensor, target: Tensor, matrices: Tensor) -> Tensor:
        """Mean L1 between E_f's features of the aligned faces, after the stem and the first two stages."""
        pairs = zip(*(self._features(crop_by(x, matrices, 112)) for x in (image, target)), strict=True)
        distances = [F.l1_loss(a, b.detach()) / b.detach().abs().mean() for a, b in pairs]
        return torch.stack(distances).mean()

    def _features(self, crops: Tensor) -> list[Tensor]:
        """As :meth:`FaceNet.forward` begins; crops (B, 3, 112, 112) in [-1, 1]."""
        x = self.face.stem(crops * 2)
        features = [x]
        for layer in list(self.face.stages.children())[:3]:
            x = layer(x)
            features.append(x)
        return features

    @torch.no_grad()
    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the VAE with its new decoder; its error on people never trained on."""
        save_half(self.vae, self.out / "base" / "vae")
        return psnr(self.vae, self.check, self.device)
