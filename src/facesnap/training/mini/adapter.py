"""Stage ``adapter``: FAM and FFRNet on pairs, L_total = L_diff + lambda_id * L_id, the base frozen.

Reference and target are different pictures of one person: what they share is the person, so that is all the tokens
can usefully say. Pose, expression, light, hair and clothes come from the landmark map and the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from facesnap.core.weights import sha256_12
from facesnap.faces.align import arcface_matrix
from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.layout import GROUPS
from facesnap.models.checkpoint import AdapterConfig as AdapterManifest
from facesnap.models.checkpoint import save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.training.config import AdapterConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import crop_by, diffusion_loss, identity_gate, identity_loss
from facesnap.training.mini.base import encode_captions, encode_latents, freeze, load_vae, plain_attention, schedule
from facesnap.training.mini.data import Split, aligned_crop, draw_rows, generator_for, to_tensor

#: What ``facesnap generate`` uses unless told otherwise, by diffusers' names.
DEFAULTS = {"num_inference_steps": 20, "guidance_scale": 3.0}

#: All timesteps weigh the same (Lin et al. 2023). Min-SNR's weights at gamma 5 are 2.0, 1.6, 0.4 and 0.03 on average
#: over the four quarters, and 0 at the last timestep: but there sampling starts, and there pose is decided.
GAMMA = 0.0
#: Share of E_c's crops with texture where they leave the render. At E_c's zoom 19% of a crop does; on photographs
#: there is a background instead, on the evaluation's renders black.
TEXTURED = 0.5
#: Share of the rows without a face that lose their text, too: the unguided half of the sampler's batch has neither.
NEITHER = 0.5


class AdapterStage(Stage):
    """Trains the mixer and FFRNet; UNet, VAE, text encoder, E_f and E_c stay as they are."""

    def __init__(self, config: AdapterConfig, train: Split, out: Path, device: torch.device, seed: int) -> None:
        self.config, self.train, self.out, self.device = config, train, out, device
        self.size = train.world.images.shape[1]
        self.vae = load_vae(out, device)
        self.latents = encode_latents(self.vae, train.world.images, device)
        self.texts = encode_captions(out, train, device)
        self.face = FaceEncoder.from_pretrained(out / "face_encoder", device=device)
        self.appearance = AppearanceEncoder.from_pretrained(out / "image_encoder", device=device)
        self.f_id, self.f_clip, self.truth = self._features(seed)
        unet = UNet2DConditionModel.from_pretrained(out / "base" / "unet", torch_dtype=torch.float32)
        self.unet = freeze(unet, device)
        self.schedule = schedule()
        width = int(self.unet.config["cross_attention_dim"])
        self.ffrnet = FFRNet.from_unet(self.unet, width, vae_scale_factor=8, zero_init=False)
        self.mixer = FacialAttributeMixer(
            self.f_id.shape[-1], self.f_clip.shape[-1], width, config.id_tokens, config.tokens, heads=4
        )
        for model in (self.unet, self.ffrnet):
            plain_attention(model)
        self.ffrnet.requires_grad_(True)
        self.modules = nn.ModuleDict({"ffrnet": self.ffrnet, "mixer": self.mixer})

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        """L_total on a batch of pairs."""
        rng = generator_for(generator)
        targets = draw_rows(len(self.train), self.config.batch_size, rng)
        references = other_pictures(self.train, targets, rng)
        view = rng.integers(self.config.views, size=len(targets))
        drop = torch.from_numpy(rng.random(len(targets)) < self.config.token_dropout).to(self.device)
        tokens = self.mixer(*(self._pick(f, view, references) for f in (self.f_id, self.f_clip)), drop=drop)
        clean = self.latents[torch.from_numpy(targets)].float().to(self.device)
        timesteps = torch.randint(len(self.schedule), (len(targets),), generator=generator).to(self.device)
        noise = torch.randn(clean.shape, generator=generator).to(self.device)
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        velocity = self._predict(noisy, timesteps, tokens, self._maps(targets, rng), self._states(targets, drop, rng))
        target = self.schedule.velocity(clean, noise, timesteps)
        losses = diffusion_loss(velocity, target, timesteps, self.schedule, GAMMA)
        gate = identity_gate(timesteps, len(self.schedule), self.config.id_timestep) & ~drop
        total = losses["diff"]
        chosen = gate.nonzero()[:, 0][: self.config.id_batch]
        if len(chosen) and self.config.lambda_id > 0:
            clean_estimate = self.schedule.clean_from(noisy, velocity.float(), timesteps)[chosen]
            losses["id"] = self._identity(
                clean_estimate, targets[chosen.cpu().numpy()], references[chosen.cpu().numpy()]
            )
            total = total + self.config.lambda_id * losses["id"]
        return {"loss": total, **losses}

    def _predict(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        tokens: Tensor,
        maps: Tensor,
        states: Tensor,
    ) -> Tensor:
        with self.ffrnet.attend_to(tokens):
            down, mid = self.ffrnet(noisy, timesteps, controlnet_cond=maps, return_dict=False)
        velocity: Tensor = self.unet(
            noisy, timesteps, states, down_block_additional_residuals=down, mid_block_additional_residual=mid
        ).sample
        return velocity

    def _states(self, rows: np.ndarray, drop: Tensor, rng: np.random.Generator) -> Tensor:
        """Text states (B, tokens, width); a share is of the empty prompt, more so where the face is dropped, too."""
        states = self.texts.draw(rows, rng, self.config.text_dropout)
        states[drop.cpu() & torch.from_numpy(rng.random(len(rows)) < NEITHER)] = self.texts.empty
        return states.to(self.device)

    def _identity(self, clean: Tensor, targets: np.ndarray, references: np.ndarray) -> Tensor:
        """L_id of decoded estimates, aligned by the target's exact points (no detector between the gradient and us)."""
        images = (self.vae.decode(clean).sample / 2 + 0.5).clamp(0, 1)
        matrices = torch.from_numpy(arcface_matrix(self.train.points5[targets]).astype(np.float32)).to(self.device)
        embedding = self.face.embed(crop_by(images, matrices, 112))
        return identity_loss(embedding, self.truth[torch.from_numpy(references)].to(self.device))

    def _maps(self, rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Landmark maps (B, 3, S, S) of the targets, jittered as E_3d errs, a share of them blank."""
        maps = [
            np.zeros((self.size, self.size, 3), np.uint8)
            if rng.random() < self.config.landmark_dropout
            else draw_landmarks(
                jittered(self.train.world.landmarks2d[row], self.config.landmark_jitter * self.size, rng),
                (self.size, self.size),
            )
            for row in rows
        ]
        return to_tensor(maps).to(self.device)

    def _pick(self, features: Tensor, view: np.ndarray, rows: np.ndarray) -> Tensor:
        return features[torch.from_numpy(view), torch.from_numpy(rows)].float().to(self.device)

    def _features(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """f_id (views, N, D) and f_clip (views, N, T, C) of augmented crops, and exact f_id (N, D), computed once."""
        rng = np.random.default_rng([seed, 7])
        rows = range(len(self.train))
        ids, clips = [], []
        for _ in range(self.config.views):
            ids.append(self._in_chunks(self.face.encode, rows, rng, 1.0))
            clips.append(self._in_chunks(self.appearance.encode, rows, rng, ZOOM))
        return torch.stack(ids), torch.stack(clips), self._in_chunks(self.face.encode, rows, None, 1.0).float()

    def _in_chunks(self, encode: object, rows: range, rng: np.random.Generator | None, zoom: float) -> Tensor:
        parts = []
        for start in range(0, len(rows), 64):
            chunk = rows[start : start + 64]
            crops = np.stack([aligned_crop(self.train, row, rng, zoom=zoom, textured=TEXTURED) for row in chunk])
            parts.append(torch.from_numpy(encode(crops)).half())  # type: ignore[operator]
        return torch.cat(parts)

    def export(self, about: Mapping[str, str]) -> dict[str, float]:
        """Write the adapter with the names and hashes of everything it was trained against."""
        encoders = {
            "face": self.face.identifier,
            "appearance": self.appearance.identifier,
            "landmarks": f"landmarks@{sha256_12(self.out / 'landmarks')}",
        }
        config = AdapterManifest.for_unet(self.unet.config, encoders, DEFAULTS)
        save_adapter(self.out / "adapter", self.ffrnet, self.mixer, config, dtype=torch.float16)
        return {}


def other_pictures(split: Split, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each row a different row of the same person (the same one only if there is no other)."""
    chosen = []
    for row in rows:
        several = split.rows_of[split.person_index[row]]
        others = several[several != row]
        chosen.append(rng.choice(others) if len(others) else row)
    return np.array(chosen)


def jittered(points: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (72, 2) with errors like E_3d's: each group shifted and scaled a little, single points less."""
    points = points + rng.normal(0, 0.4 * amount, points.shape)
    for group in GROUPS.values():
        centre = points[group].mean(axis=0)
        zoom = 1.0 + rng.normal(0, 0.03, 2)
        points[group] = centre + (points[group] - centre) * zoom + rng.normal(0, amount, 2)
    return points
