"""Pairs for the adapter: reference and target are different pictures of one person.

What two such pictures share is the person, so that is all the face tokens can usefully say; pose, expression, light,
hair and clothes have to come from the landmark map and the prompt. Everything frozen is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facesnap.core.weights import sha256_12
from facesnap.faces.appearance import ZOOM, AppearanceEncoder
from facesnap.faces.encode import FaceEncoder
from facesnap.landmarks.crop import landmark_box
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.morphable import MorphableLandmarks
from facesnap.training.jitter import jittered
from facesnap.training.mini.base import TextStates, encode_captions, latents_of
from facesnap.training.mini.cache import cached, digest
from facesnap.training.mini.data import Split, aligned_crop, to_tensor

#: Share of E_c's crops with texture where they leave the render. At E_c's zoom 19% of a crop does; on photographs
#: there is a background instead, on the evaluation's renders black.
TEXTURED = 0.5

Encode = Callable[[np.ndarray], np.ndarray]
#: (72, 2) pixels and (width, height) -> (height, width, 3) uint8.
DrawMap = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Features:
    """Of N pictures in V augmented views: ``f_id`` (V, N, D), ``f_clip`` (V, N, T, C); of the pictures as they are
    ``truth`` (N, D), which is f_id, and ``shape`` (N, K) as E_3d reads it (empty where nobody needs it).

    Half precision.
    """

    f_id: Tensor
    f_clip: Tensor
    truth: Tensor
    shape: Tensor


@dataclass(frozen=True)
class Pairs:
    """One split as the adapter reads it; ``latents`` (N, C, h, w) in half precision."""

    split: Split
    latents: Tensor
    texts: TextStates
    features: Features
    morphable: MorphableLandmarks

    @classmethod
    def of(
        cls,
        split: Split,
        out: Path,
        face: FaceEncoder,
        appearance: AppearanceEncoder,
        fitter: FaceFitter,
        *,
        shapes: bool = True,
        views: int,
        seed: int,
        cache: Path | None = None,
    ) -> Pairs:
        """Run the frozen parts over a split; what they make is kept in the folder ``cache`` while they stay.

        ``shapes``: whether E_3d's shapes are needed (see :meth:`landmarks`).
        """
        device = face.device
        stamp = f"{face.identifier} {appearance.identifier} {views} {seed} {digest(split)}"
        kept = cache / "adapter-features.safetensors" if cache else None
        features = cached(kept, stamp, lambda: _features(split, face, appearance, views, seed))
        read = {"shape": torch.empty(0)}
        if shapes:
            stamp = f"{sha256_12(out / 'landmarks')} {digest(split)}"
            kept = cache / "read-shapes.safetensors" if cache else None
            read = cached(kept, stamp, lambda: {"shape": _shapes(fitter, split)})
        latents, texts = latents_of(split, out, device, cache), encode_captions(out, split, device, cache)
        return cls(split, latents, texts, Features(**features, **read), fitter.morphable)

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

    def landmarks(self, targets: np.ndarray, references: np.ndarray, read: np.ndarray) -> np.ndarray:
        """Landmarks (B, 72, 2) of targets: exact, or where ``read`` (B,) as the Landmark Predictor would have them.

        That is the reference's shape, as E_3d reads it, in the target's expression, pose and camera.
        """
        world, points = self.split.world, self.split.world.landmarks2d[targets].astype(np.float64)
        for place in np.flatnonzero(read):
            target = int(targets[place])
            shape = self.features.shape[int(references[place])].double().numpy()
            head = self.morphable.landmarks3d(shape, world.expression[target].astype(np.float64))
            points[place] = self.split.projected(target, head)
        return np.asarray(points)

    def maps(
        self,
        points: np.ndarray,
        rng: np.random.Generator,
        jitter: float,
        dropout: float,
        draw: DrawMap = draw_landmarks,
    ) -> Tensor:
        """Maps (B, 3, S, S) of landmarks (B, 72, 2), jittered as E_3d errs (share of the side), a share blank."""
        size = self.split.world.images.shape[1]
        blank = np.zeros((size, size, 3), np.uint8)
        maps = [
            blank if rng.random() < dropout else draw(jittered(each, jitter * size, rng), (size, size))
            for each in points
        ]
        return to_tensor(maps)


def _features(
    split: Split, face: FaceEncoder, appearance: AppearanceEncoder, views: int, seed: int
) -> dict[str, Tensor]:
    rng = np.random.default_rng([seed, 7])
    ids, clips = [], []
    for _ in range(views):
        ids.append(_in_chunks(face.encode, split, rng, 1.0))
        clips.append(_in_chunks(appearance.encode, split, rng, ZOOM))
    truth = _in_chunks(face.encode, split, None, 1.0)
    return {"f_id": torch.stack(ids), "f_clip": torch.stack(clips), "truth": truth}


def _shapes(fitter: FaceFitter, split: Split) -> Tensor:
    """(N, K) of all pictures, each read round its landmarks."""
    parts = []
    for rows in np.array_split(np.arange(len(split)), len(split) // 64 + 1):
        boxes = [landmark_box(split.world.landmarks2d[row]) for row in rows]
        parts += [face.shape for face in fitter.fit_all(split.world.images[rows], boxes)]
    return torch.from_numpy(np.stack(parts)).half()


def _in_chunks(encode: Encode, split: Split, rng: np.random.Generator | None, zoom: float) -> Tensor:
    parts = []
    for start in range(0, len(split), 64):
        rows = range(start, min(start + 64, len(split)))
        crops = np.stack([aligned_crop(split, row, rng, zoom=zoom, textured=TEXTURED) for row in rows])
        parts.append(torch.from_numpy(encode(crops)).half())
    return torch.cat(parts)
