"""What FFRNet holds while a pipeline runs: whose tokens, on which part of the picture, at which steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from facesnap.core.errors import UsageError
from facesnap.models.controls import FaceControls, is_open
from facesnap.models.map_embedding import MapMemory
from facesnap.models.remember import Remembered
from facesnap.models.savings import Savings


@dataclass(frozen=True)
class FaceInPicture:
    """One person of a picture.

    Attributes:
        tokens: (B, N, W) ``f_mix``, one row per prompt of the pipeline's call.
        null_tokens: (B or 1, N, W) for the unguided half; None uses ``tokens`` there, so that guidance acts on the
            text alone.
        nobody: (B or 1, N, W) for the steps outside of the identity's window; None takes ``null_tokens``.
        landmark_map: (1, 3, H, W) in [0, 1], this person's alone; None takes the pipeline's control image.
        region: (H, W) in [0, 1], how much of each pixel is this person's; None is the whole picture.
    """

    tokens: Tensor
    null_tokens: Tensor | None = None
    nobody: Tensor | None = None
    landmark_map: Tensor | None = None
    region: Tensor | None = None

    def check(self, width: int) -> None:
        """UsageError where the tokens are misshapen, or aren't ``width`` wide."""
        if self.tokens.ndim != 3 or self.tokens.shape[-1] != width:
            raise UsageError(f"FFRNet takes face tokens (batch, tokens, {width}), not {tuple(self.tokens.shape)}")
        for other in (self.null_tokens, self.nobody):
            if other is not None and (other.shape[1:] != self.tokens.shape[1:] or other.ndim != 3):
                shapes = f"{tuple(other.shape)} don't match the face tokens {tuple(self.tokens.shape)}"
                raise UsageError(f"null tokens {shapes}")


@dataclass(frozen=True)
class HeldFace:
    """A :class:`FaceInPicture`, a row per image: ``tokens``, ``null``, ``nobody`` (images, N, W)."""

    tokens: Tensor
    null: Tensor
    nobody: Tensor
    landmark_map: Tensor | None
    region: Tensor | None
    map_memory: MapMemory = field(default_factory=MapMemory)
    _maps: dict[str, Tensor] = field(default_factory=dict)
    _states: dict[Any, Tensor] = field(default_factory=dict)
    _guided_maps: Remembered = field(default_factory=Remembered)

    @staticmethod
    def of(face: FaceInPicture, images_per_prompt: int, map_scale: float = 1.0) -> HeldFace:
        """Repeat everything for each image; ``map_scale``: the landmark map's strength."""
        null = face.tokens if face.null_tokens is None else face.null_tokens
        nobody = null if face.nobody is None else face.nobody

        def per_image(tokens: Tensor) -> Tensor:
            return tokens.expand(len(face.tokens), -1, -1).repeat_interleave(images_per_prompt, dim=0)

        tokens = per_image(face.tokens), per_image(null), per_image(nobody)
        return HeldFace(*tokens, face.landmark_map, face.region, MapMemory(map_scale))

    def rows(self, batch: int, known: bool) -> Tensor:
        """What each row of the UNet's batch attends to, (batch, N, W); nobody everywhere if the face isn't ``known``.

        Under classifier-free guidance diffusers stacks [unguided; guided]; in guess mode and without guidance it sends
        the guided rows alone.
        """
        images = len(self.tokens)
        if batch not in (images, 2 * images):
            raise UsageError(
                f"FFRNet holds face tokens for {images} image(s), but the pipeline runs {batch} rows (expected"
                f" {images}, or {2 * images} under guidance): give attend_to one row per prompt and images_per_prompt"
            )
        if not known:
            return torch.cat([self.nobody] * (batch // images))
        return self.tokens if batch == images else torch.cat([self.null, self.tokens])

    def states(self, sample: Tensor, known: bool) -> Tensor:
        """:meth:`rows` for a sample (rows, C, h, w), in its precision: one tensor for the whole call, so that its keys
        are computed once.
        """
        key = len(sample), known, sample.dtype, sample.device
        if key not in self._states:
            self._states[key] = self.rows(len(sample), known).to(sample.device, sample.dtype)
        return self._states[key]

    def shown(self, sample: Tensor, control: Tensor | None) -> Tensor | None:
        """The map that FFRNet sees: this person's own, in the sample's precision, or else the pipeline's ``control``,
        of which diffusers makes two equal halves under guidance: one of them is enough. A sample of the guided half
        alone takes the last rows.

        One tensor for the whole call, so that it is embedded once.
        """
        images = len(self.tokens)
        if self.landmark_map is None:
            if control is None or len(control) != 2 * images:
                return control
            half = self._guided_maps.get(control, _half)
            return half if len(half) <= len(sample) else half[-images:]
        kept = self._maps.get("own")
        if kept is None or (kept.dtype, kept.device) != (sample.dtype, sample.device):
            kept = self._maps["own"] = self.landmark_map.to(sample)
        return kept

    def blank(self, landmark_map: Tensor) -> Tensor:
        """An empty map of the same size: one tensor for the whole call, too."""
        if "blank" not in self._maps:
            self._maps["blank"] = torch.zeros_like(landmark_map)
        return self._maps["blank"]


@dataclass(frozen=True)
class Held:
    """What a call holds: its faces, its knobs, what it saves, and ``step``, which tells (step, steps) of a call where
    anything depends on it.
    """

    faces: Sequence[HeldFace]
    controls: FaceControls
    step: Callable[[], tuple[int, int]] | None = None
    savings: Savings = field(default_factory=Savings)
    _last: dict[Any, list[Tensor]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Pictures of the call."""
        return len(self.faces[0].tokens)

    def seen(self) -> tuple[bool, bool]:
        """Whether at this step (the person, the landmark map) act."""
        if not self.controls.timed:
            return True, True
        now = self._now("identity_window and landmark_window")
        return is_open(self.controls.identity_window, *now), is_open(self.controls.landmark_window, *now)

    def guided_alone(self, rows: int) -> bool:
        """Whether FFRNet looks at the guided half alone of so many rows."""
        if rows != 2 * self.images:
            return False
        return self.savings.share_residuals or (
            self.savings.guidance_until < 1.0 and self.savings.guided_alone(*self._now("guidance_until"))
        )

    def residuals(self, kind: Any, make: Callable[[], list[Tensor]]) -> list[Tensor]:
        """New residuals, or where this step does without, the last ones of the same ``kind``."""
        if not self.savings.timed:
            return make()
        if kind not in self._last or self.savings.runs_ffrnet(*self._now("residuals_every and deep_every")):
            self._last.clear()
            self._last[kind] = make()
        return [residual.clone() for residual in self._last[kind]]  # diffusers adds other ControlNets' in place

    def _now(self, what: str) -> tuple[int, int]:
        if self.step is None:
            raise UsageError(f"{what} need to know the step: call FaceSnap's own pipelines")
        return self.step()


def _half(rows: Tensor) -> Tensor:
    """The second half of a map's rows, if the first is equal; otherwise all of them."""
    first, second = rows.chunk(2)
    return second if torch.equal(first, second) else rows


def in_regions(residuals: Sequence[Sequence[Tensor]], regions: Sequence[Tensor | None]) -> list[Tensor]:
    """The faces' residuals, each in its region: per face a list of (rows, C, h, w) -> one such list.

    Where regions overlap, the faces share the place; where there is none, nothing is added to the base.
    """
    if len(residuals) == 1 and regions[0] is None:
        return list(residuals[0])
    return [_shared(list(same), regions) for same in zip(*residuals, strict=True)]


def _shared(residuals: list[Tensor], regions: Sequence[Tensor | None]) -> Tensor:
    first = residuals[0]
    weights = [
        first.new_ones(first.shape[-2:]) if region is None else _shrunk(region.to(first), first.shape[-2:])
        for region in regions
    ]
    crowd = torch.stack(weights).sum(0).clamp(min=1.0)
    return torch.stack([r * (w / crowd) for r, w in zip(residuals, weights, strict=True)]).sum(0)


def _shrunk(region: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(region[None, None], size=tuple(size), mode="area")[0, 0]
