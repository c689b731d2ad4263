"""What trains on pairs: the frozen base, and batches of one picture's face with another picture of the same person.

Stage ``adapter`` trains FaceSnap so; what else is to be trained on equal terms is another :class:`PairStage`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from facesnap.faces.align import arcface_matrix
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.fit import FaceFitter
from facesnap.training.adapter.objective import Frozen
from facesnap.training.batches import Batch
from facesnap.training.config import AdapterConfig
from facesnap.training.loop import Stage
from facesnap.training.losses import draw_timesteps
from facesnap.training.mini.base import freeze, load_vae, plain_attention, schedule
from facesnap.training.mini.data import Split, draw_noise, draw_rows
from facesnap.training.mini.pairs import DrawMap, Pairs
from facesnap.training.mini.portraits import portrait_figures

#: What a share of the rows trains without.
DROPPED: Final = ("text", "token", "landmark")

#: What the final check doesn't share with the training: every timestep counts, and references are other pictures.
EVENLY: Final = {"timestep_power": 0.0, "pair_share": 1.0}

#: How many pictures, and at most how many people, the final check reads.
CHECKED: Final = 100

#: Share of the rows without a face that lose their text, too: the unguided half of the sampler's batch has neither.
NEITHER: Final = 0.5

#: (noisy (B, C, h, w), timesteps (B,)) -> what the base predicts, given all that a batch holds beside.
Denoise = Callable[[Tensor, Tensor], Tensor]


class PairStage(Stage):
    """UNet, VAE, text encoder, E_f and E_c stay as they are; what is trained is the subclass' matter."""

    #: How landmarks become a control image; subclasses may have another one.
    draw_map: DrawMap = staticmethod(draw_landmarks)
    #: Whether its maps, in use, have the reference's shape as E_3d reads it.
    predicts_shape = True

    def __init__(
        self, config: AdapterConfig, train: Split, check: Split, out: Path, device: torch.device, seed: int
    ) -> None:
        self.config, self.out, self.device = config, out, device
        self.vae = load_vae(out, device).to(memory_format=torch.channels_last)
        self.face = FaceEncoder.from_pretrained(out / "face_encoder", device=device)
        self.appearance = AppearanceEncoder.from_pretrained(out / "image_encoder", device=device)
        self.fitter = FaceFitter.from_pretrained(out / "landmarks")
        frozen = (out, self.face, self.appearance, self.fitter)
        kept, shapes = out.parent / "state", config.read_shapes > 0
        self.pairs = Pairs.of(train, *frozen, shapes=shapes, views=config.views, seed=seed, cache=kept)
        self.check = Pairs.of(check, *frozen, views=1, seed=seed)
        unet = UNet2DConditionModel.from_pretrained(out / "base" / "unet", torch_dtype=torch.float32)
        self.unet = freeze(unet, device)
        plain_attention(self.unet)
        self.schedule = schedule()
        self.frozen = Frozen(self.unet, self.vae, self.face, device)

    @abstractmethod
    def denoiser(self, batch: Batch) -> Denoise:
        """The base with what is trained here, for a batch as :meth:`draw` makes it."""

    def draw(self, rng: np.random.Generator) -> Batch:
        """Pairs of pictures of one person: features of one, all else of the other."""
        targets = draw_rows(len(self.pairs.split), self.config.batch_size, rng)
        return self._drawn(self.pairs, self.config, targets, rng)

    def _drawn(self, pairs: Pairs, config: AdapterConfig, targets: np.ndarray, rng: np.random.Generator) -> Batch:
        count, references = len(targets), pairs.references(targets, rng)
        if config.pair_share < 1.0:
            references = np.where(rng.random(count) < config.pair_share, references, targets)
        f_id, f_clip = pairs.drawn_features(references, rng)
        drop = torch.from_numpy(rng.random(count) < config.token_dropout)
        points = pairs.landmarks(targets, references, rng.random(count) < config.read_shapes)
        maps = pairs.maps(points, rng, config.landmark_jitter, config.landmark_dropout, self.draw_map)
        texts = _texts(pairs, targets, drop, rng, config.text_dropout)
        clean = pairs.latents[torch.from_numpy(targets)].float()
        return {
            "f_id": f_id,
            "f_clip": f_clip,
            "drop": drop,
            "points": torch.from_numpy(points),
            "maps": maps,
            "texts": texts,
            "encoder_hidden_states": pairs.texts.states[texts].float(),
            "clean": clean,
            "noise": draw_noise(clean.shape, rng),
            "timesteps": draw_timesteps(count, len(self.schedule), rng, config.timestep_power),
            "matrices": torch.from_numpy(arcface_matrix(pairs.split.points5[targets]).astype(np.float32)),
            "truth": pairs.features.truth[torch.from_numpy(references)],
        }

    def figures(self) -> dict[str, float]:
        """Losses, and figures of portraits, on people that nothing was trained on."""
        whole = self.config.model_copy(update={**EVENLY, **{f"{n}_dropout": 0.0 for n in DROPPED}})
        people, rng = self.check.split.rows_of, np.random.default_rng(0)
        batch = self._drawn(self.check, whole, draw_rows(len(self.check.split), CHECKED, rng), rng)
        losses = self.loss({name: value.to(self.device) for name, value in batch.items()})
        product = whole.model_copy(update={"read_shapes": float(self.predicts_shape), "landmark_jitter": 0.0})
        each = self._drawn(self.check, product, np.array([rows[0] for rows in people[:CHECKED]]), rng)
        losses |= portrait_figures(self, {name: value.to(self.device) for name, value in each.items()})
        return {f"val_{name}": round(float(value), 5) for name, value in losses.items()}


def _texts(pairs: Pairs, rows: np.ndarray, drop: Tensor, rng: np.random.Generator, dropout: float) -> Tensor:
    """Places (B,) of texts in ``pairs.texts``; a share is the empty prompt, more so where the face is dropped."""
    texts = pairs.texts.draw(rows, rng, dropout)
    texts[drop & torch.from_numpy(rng.random(len(rows)) < NEITHER)] = pairs.texts.empty
    return texts
