"""Pairs for the adapter: reference and target are different pictures of one person.

What two such pictures share is the person, so that is all the face tokens can usefully say; pose, expression, light,
hair and clothes have to come from the landmark map and the prompt. Everything frozen is computed once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from facesnap.core.images import write_atomic
from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.layout import GROUPS
from facesnap.models.autoencoder import PatchAutoencoder
from facesnap.training.mini.base import TextStates, encode_captions, encode_latents
from facesnap.training.mini.data import Split, aligned_crop, to_tensor

#: Share of E_c's crops with texture where they leave the render. At E_c's zoom 19% of a crop does; on photographs
#: there is a background instead, on the evaluation's renders black.
TEXTURED = 0.5

Encode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Features:
    """Of N pictures in V augmented views: ``f_id`` (V, N, D), ``f_clip`` (V, N, T, C); ``truth`` (N, D) is exact f_id.

    Half precision.
    """

    f_id: Tensor
    f_clip: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Pairs:
    """One split as the adapter reads it; ``latents`` (N, C, h, w) in half precision."""

    split: Split
    latents: Tensor
    texts: TextStates
    features: Features

    @classmethod
    def of(
        cls,
        split: Split,
        out: Path,
        vae: PatchAutoencoder,
        face: FaceEncoder,
        appearance: AppearanceEncoder,
        *,
        views: int,
        seed: int,
        cache: Path | None = None,
    ) -> Pairs:
        """Run the frozen parts over a split; features are kept in ``cache`` while encoders and settings stay."""
        device = face.device
        latents = encode_latents(vae, split.world.images, device)
        stamp = f"{face.identifier} {appearance.identifier} {views} {seed} {_digest(split)}"
        features = _cached(cache, stamp) or _keep(cache, stamp, _features(split, face, appearance, views, seed))
        return cls(split, latents, encode_captions(out, split, device), features)

    def references(self, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each row a different row of the same person (the same one only if there is no other)."""
        chosen = []
        for row in targets:
            several = self.split.rows_of[self.split.person_index[row]]
            others = several[several != row]
            chosen.append(rng.choice(others) if len(others) else row)
        return np.array(chosen)

    def drawn_features(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """f_id (B, D) and f_clip (B, T, C) of references, each in a random view."""
        where = torch.from_numpy(rng.integers(len(self.features.f_id), size=len(rows))), torch.from_numpy(rows)
        return self.features.f_id[where].float(), self.features.f_clip[where].float()

    def maps(self, rows: np.ndarray, rng: np.random.Generator, jitter: float, dropout: float) -> Tensor:
        """Landmark maps (B, 3, S, S) of targets, jittered as E_3d errs (share of the side), a share of them blank."""
        size = self.split.world.images.shape[1]
        blank = np.zeros((size, size, 3), np.uint8)
        points = self.split.world.landmarks2d
        maps = [
            blank if rng.random() < dropout else draw_landmarks(jittered(points[r], jitter * size, rng), (size, size))
            for r in rows
        ]
        return to_tensor(maps)


def jittered(points: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (72, 2) with errors like E_3d's: each group shifted and scaled a little, single points less."""
    points = points + rng.normal(0, 0.4 * amount, points.shape)
    for group in GROUPS.values():
        centre = points[group].mean(axis=0)
        zoom = 1.0 + rng.normal(0, 0.03, 2)
        points[group] = centre + (points[group] - centre) * zoom + rng.normal(0, amount, 2)
    return points


def _features(split: Split, face: FaceEncoder, appearance: AppearanceEncoder, views: int, seed: int) -> Features:
    rng = np.random.default_rng([seed, 7])
    ids, clips = [], []
    for _ in range(views):
        ids.append(_in_chunks(face.encode, split, rng, 1.0))
        clips.append(_in_chunks(appearance.encode, split, rng, ZOOM))
    return Features(torch.stack(ids), torch.stack(clips), _in_chunks(face.encode, split, None, 1.0))


def _in_chunks(encode: Encode, split: Split, rng: np.random.Generator | None, zoom: float) -> Tensor:
    parts = []
    for start in range(0, len(split), 64):
        rows = range(start, min(start + 64, len(split)))
        crops = np.stack([aligned_crop(split, row, rng, zoom=zoom, textured=TEXTURED) for row in rows])
        parts.append(torch.from_numpy(encode(crops)).half())
    return torch.cat(parts)


def _digest(split: Split) -> str:
    return hashlib.sha256(split.world.images[:: max(1, len(split) // 64)].tobytes()).hexdigest()[:12]


def _cached(path: Path | None, stamp: str) -> Features | None:
    if path is None or not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("of") != stamp:
            return None
        return Features(*(file.get_tensor(name) for name in ("f_id", "f_clip", "truth")))


def _keep(path: Path | None, stamp: str, features: Features) -> Features:
    if path is not None:
        write_atomic(path, save(dict(vars(features)), {"of": stamp}))
    return features
