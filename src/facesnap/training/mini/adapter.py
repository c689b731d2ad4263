"""Stage ``adapter``: FAM and FFRNet on pairs, L_total = L_diff + lambda_id * L_id, the base frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from facesnap.core.weights import sha256_12
from facesnap.faces.align import arcface_matrix
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.fit import FaceFitter
from facesnap.models.checkpoint import AdapterConfig as AdapterManifest
from facesnap.models.checkpoint import save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.training.adapter.objective import FaceNets, Frozen, identity_rows, residuals, total_loss
from facesnap.training.batches import Batch
from facesnap.training.config import AdapterConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import draw_timesteps
from facesnap.training.mini.base import down_block_types, freeze, load_vae, plain_attention, schedule
from facesnap.training.mini.data import Split, draw_noise, draw_rows
from facesnap.training.mini.pairs import Pairs
from facesnap.training.mini.portraits import portrait_figures

#: What ``facesnap generate`` uses unless told otherwise, by diffusers' names.
DEFAULTS = {"num_inference_steps": 20, "guidance_scale": 3.0}

#: What a share of the rows trains without.
DROPPED = ("text", "token", "landmark")

#: How many pictures, and at most how many people, the final check reads.
CHECKED = 100

#: Share of the rows without a face that lose their text, too: the unguided half of the sampler's batch has neither.
NEITHER = 0.5


class AdapterStage(Stage):
    """Trains the mixer and FFRNet; UNet, VAE, text encoder, E_f and E_c stay as they are."""

    def __init__(
        self, config: AdapterConfig, train: Split, check: Split, out: Path, device: torch.device, seed: int
    ) -> None:
        self.config, self.out, self.device = config, out, device
        self.vae = load_vae(out, device)
        self.face = FaceEncoder.from_pretrained(out / "face_encoder", device=device)
        self.appearance = AppearanceEncoder.from_pretrained(out / "image_encoder", device=device)
        self.fitter = FaceFitter.from_pretrained(out / "landmarks")
        frozen = (out, self.face, self.appearance, self.fitter)
        kept, shapes = out.parent / "state", config.read_shapes > 0
        self.pairs = Pairs.of(train, *frozen, shapes=shapes, views=config.views, seed=seed, cache=kept)
        self.check = Pairs.of(check, *frozen, views=1, seed=seed)
        unet = UNet2DConditionModel.from_pretrained(out / "base" / "unet", torch_dtype=torch.float32)
        self.unet = freeze(unet, device)
        self.schedule = schedule()
        width = int(self.unet.config["cross_attention_dim"])
        dims = self.pairs.features.f_id.shape[-1], self.pairs.features.f_clip.shape[-1]
        levels = down_block_types(config.attention)
        factor = train.world.images.shape[1] // self.pairs.latents.shape[-1]
        self.ffrnet = FFRNet.from_unet(
            *(self.unet, width),
            conditioning_embedding_out_channels=config.map_channels[: factor.bit_length()],
            down_block_types=levels,
            zero_init=False,
        )
        self.mixer = FacialAttributeMixer(*dims, width, config.id_tokens, config.tokens, 4, config.decoder_layers)
        for model in (self.unet, self.ffrnet):
            plain_attention(model)
        self.ffrnet.requires_grad_(True)
        self.modules = nn.ModuleDict({"ffrnet": self.ffrnet, "mixer": self.mixer})
        self.nets = FaceNets(self.ffrnet, self.mixer)
        self.frozen = Frozen(self.unet, self.vae, self.face, device)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Pairs of pictures of one person: features of one, all else of the other."""
        targets = draw_rows(len(self.pairs.split), self.config.batch_size, rng)
        return self._drawn(self.pairs, self.config, targets, rng)

    def _drawn(self, pairs: Pairs, config: AdapterConfig, targets: np.ndarray, rng: np.random.Generator) -> Batch:
        count, references = len(targets), pairs.references(targets, rng)
        f_id, f_clip = pairs.drawn_features(references, rng)
        drop = torch.from_numpy(rng.random(count) < config.token_dropout)
        points = pairs.landmarks(targets, references, rng.random(count) < config.read_shapes)
        clean = pairs.latents[torch.from_numpy(targets)].float()
        return {
            "f_id": f_id,
            "f_clip": f_clip,
            "drop": drop,
            "points": torch.from_numpy(points),
            "maps": pairs.maps(points, rng, config.landmark_jitter, config.landmark_dropout),
            "encoder_hidden_states": _states(pairs, targets, drop, rng, config.text_dropout),
            "clean": clean,
            "noise": draw_noise(clean.shape, rng),
            "timesteps": draw_timesteps(count, len(self.schedule), rng, config.timestep_power),
            "matrices": torch.from_numpy(arcface_matrix(pairs.split.points5[targets]).astype(np.float32)),
            "truth": pairs.features.truth[torch.from_numpy(references)],
        }

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """L_total."""
        rows = identity_rows(batch["timesteps"], batch["drop"], len(self.schedule), self.config)
        return total_loss(self.nets, self.frozen, self.schedule, self.config, batch, rows)

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
        whole = self.config.model_copy(update={"timestep_power": 0.0, **{f"{n}_dropout": 0.0 for n in DROPPED}})
        people, rng = self.check.split.rows_of, np.random.default_rng(0)
        batch = self._drawn(self.check, whole, draw_rows(len(self.check.split), CHECKED, rng), rng)
        losses = self.loss({name: value.to(self.device) for name, value in batch.items()})
        product = whole.model_copy(update={"read_shapes": 1.0, "landmark_jitter": 0.0})
        each = self._drawn(self.check, product, np.array([rows[0] for rows in people[:CHECKED]]), rng)
        losses |= portrait_figures(self, {name: value.to(self.device) for name, value in each.items()})
        return {f"val_{name}": round(float(value), 5) for name, value in losses.items()}


def _states(pairs: Pairs, rows: np.ndarray, drop: Tensor, rng: np.random.Generator, dropout: float) -> Tensor:
    """Text states (B, tokens, width); a share is of the empty prompt, more so where the face is dropped, too."""
    states = pairs.texts.draw(rows, rng, dropout)
    states[drop & torch.from_numpy(rng.random(len(rows)) < NEITHER)] = pairs.texts.empty
    return states
