"""From pairs of photos to the tensors of a step: everything random about it, and nothing that a network says.

What is decided about a batch (timesteps, who goes without what, on whom L_id counts) is decided for the whole of it,
and what is random about a row follows from seed, step and row: so every process makes its own rows, and together they
make the batch that one process would have made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from facesnap.core.types import rotation_matrix
from facesnap.faces.align import arcface_matrix
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.morphable import MorphableLandmarks
from facesnap.training.adapter.config import DataConfig, ObjectiveConfig
from facesnap.training.adapter.lanes import BATCH, ROW, Photo, Target
from facesnap.training.jitter import jittered
from facesnap.training.losses import draw_timesteps, identity_gate

#: What a drawn row has beside its tensors: which photos it is made of.
KEYS: Final = "keys"


@dataclass(frozen=True)
class Plan:
    """What is decided about a batch of B rows.

    Attributes:
        timesteps: (B,). ``text``, ``token``, ``landmark``: (B,) bool, who goes without it.
        shaped: (B,) bool, whose map has the reference's shape.
        identity: rows on which L_id counts.
    """

    timesteps: Tensor
    text: np.ndarray
    token: np.ndarray
    landmark: np.ndarray
    shaped: np.ndarray
    identity: Tensor


def plan(settings: ObjectiveConfig, seed: int, step: int, batch: int, timesteps: int) -> Plan:
    """The plan of a step; ``timesteps``: how many the base has."""
    rng = np.random.default_rng([seed, BATCH, step])
    drawn = draw_timesteps(batch, timesteps, rng, settings.timestep_power)
    everything = rng.random(batch) < settings.all_dropout
    token = (rng.random(batch) < settings.token_dropout) | everything
    text = (rng.random(batch) < settings.text_dropout) | everything
    text |= token & (rng.random(batch) < settings.neither)
    landmark = (rng.random(batch) < settings.landmark_dropout) | everything
    shaped = rng.random(batch) < settings.reference_shape
    rows = spread_rows(drawn, torch.from_numpy(token), timesteps, settings)
    return Plan(drawn, text, token, landmark, shaped, rows)


def spread_rows(timesteps: Tensor, drop: Tensor, total: int, settings: ObjectiveConfig) -> Tensor:
    """Rows on which L_id counts: the first that can of each of ``id_batch`` equal parts of the batch.

    So no pass of no process has more than its share of the VAE's decoder to go through.
    """
    within = (identity_gate(timesteps, total, settings.id_window) & ~drop).numpy()
    parts = np.array_split(np.arange(len(timesteps)), max(1, min(settings.id_batch, len(timesteps))))
    found = [part[within[part]] for part in parts] if settings.id_batch else []
    return torch.tensor([int(rows[0]) for rows in found if len(rows)], dtype=torch.long)


@dataclass(frozen=True)
class Drawer:
    """Makes rows.

    Attributes:
        data, settings: what to draw.
        size: side of the pictures.
        scaling, shift: of the VAE's latents, see :class:`facesnap.training.adapter.base.Base`.
        empty: the empty prompt's states.
        morphable: of E_3d, where maps with the reference's shape are asked for.
        xl: whether the base takes sizes as conditions.
    """

    data: DataConfig
    settings: ObjectiveConfig
    size: int
    scaling: float
    shift: float
    empty: Mapping[str, Tensor]
    morphable: MorphableLandmarks | None
    xl: bool

    def row(self, target: Target, plan: Plan, row: int, seed: list[int]) -> dict[str, Any]:
        """One row's tensors by the objective's names, in half precision where they were stored so, and its keys."""
        rng = np.random.default_rng([*seed, ROW, row])
        photo = target.photo
        reference = target.others[int(rng.integers(len(target.others)))] if self.data.pairs else photo
        view = int(rng.integers(len(reference.example.f_id)))
        clean = self._latents(photo, rng)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        points = self._landmarks(photo, reference, bool(plan.shaped[row]))
        drawn: dict[str, Any] = {
            "f_id": torch.from_numpy(reference.example.f_id[view]),
            "f_clip": torch.from_numpy(reference.example.f_clip[view]),
            "truth": torch.from_numpy(reference.example.f_id[0]),
            "drop": torch.tensor(bool(plan.token[row])),
            "maps": self._map(points, rng, bool(plan.landmark[row])),
            "clean": clean,
            "noise": noise,
            "timesteps": plan.timesteps[row],
            "matrices": torch.from_numpy(arcface_matrix(photo.example.points5).astype(np.float32)),
            **self._texts(photo, rng, bool(plan.text[row])),
        }
        return {**drawn, KEYS: [photo.key, reference.key]}

    def _latents(self, photo: Photo, rng: np.random.Generator) -> Tensor:
        mean, deviation = torch.from_numpy(photo.made["latents"]).float()
        if self.data.sample_latents:
            mean = mean + deviation * torch.from_numpy(rng.standard_normal(mean.shape, dtype=np.float32))
        scaled: Tensor = (mean - self.shift) * self.scaling
        return scaled

    def _landmarks(self, photo: Photo, reference: Photo, shaped: bool) -> np.ndarray:
        """(72, 2): the photo's own, or as the product would predict them: the reference's shape in the photo's pose."""
        example = photo.example
        if not shaped or self.morphable is None:
            return example.landmarks.astype(np.float64)
        head = self.morphable.landmarks3d(reference.example.shape.astype(np.float64), example.expression.astype(float))
        turned = head @ rotation_matrix(*(float(angle) for angle in example.pose)).T
        return example.camera.project(turned)

    def _map(self, points: np.ndarray, rng: np.random.Generator, blank: bool) -> Tensor:
        """(3, S, S) uint8."""
        moved = jittered(points, self.settings.landmark_jitter * self.size, rng)
        if blank:
            return torch.zeros(3, self.size, self.size, dtype=torch.uint8)
        drawn = draw_landmarks(moved, (self.size, self.size))
        return torch.from_numpy(np.ascontiguousarray(drawn.transpose(2, 0, 1)))

    def _texts(self, photo: Photo, rng: np.random.Generator, without: bool) -> dict[str, Tensor]:
        which = int(rng.integers(len(photo.made["text"])))
        states = {name: torch.from_numpy(photo.made[name][which]) for name in ("text", "pooled") if name in photo.made}
        if without:
            states = {name: self.empty[name][0] for name in states}
        named = {"encoder_hidden_states": states["text"]}
        if self.xl:
            named |= {"text_embeds": states["pooled"], "time_ids": sizes(self.size)}
        return named


def sizes(size: int) -> Tensor:
    """SDXL's conditions on sizes (6,): the photo's own, where its crop begins, and what is asked for."""
    return torch.tensor([size, size, 0, 0, size, size], dtype=torch.float32)


def stacked(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows as a batch; :data:`KEYS` stay a list."""
    names = [name for name in rows[0] if name != KEYS]
    batch: dict[str, Any] = {name: torch.stack([row[name] for row in rows]) for name in names}
    return {**batch, KEYS: [row[KEYS] for row in rows]}


def joined(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Batches one after the other."""
    if len(batches) == 1:
        return batches[0]
    joined: dict[str, Any] = {name: torch.cat([b[name] for b in batches]) for name in batches[0] if name != KEYS}
    return {**joined, KEYS: [key for batch in batches for key in batch[KEYS]]}


def on_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Tensor]:
    """The tensors where they are used, in float32; maps in [0, 1]."""
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items() if isinstance(value, Tensor)}
    moved = {name: value.float() if value.is_floating_point() else value for name, value in moved.items()}
    return {**moved, "maps": moved["maps"].float() / 255.0}
