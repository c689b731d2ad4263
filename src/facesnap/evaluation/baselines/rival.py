"""What every method of the arena is: a module that tells a frozen base of a face, trained and asked in one way.

All get the same: E_f's and E_c's view of the reference, the prompt's states, a control image drawn from landmarks (if
they want one), the same pairs, steps and noise. A method differs in what it makes of them, which is one file here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.faces.appearance import AppearanceEncoder
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.landmarks.layout import five_points
from facesnap.training.adapter.objective import Frozen, Residuals, residuals
from facesnap.training.config import AdapterConfig
from facesnap.training.losses import NoiseSchedule

#: The noun of the world's captions; it stands where a person is spoken of.
CLASS_WORD: Final = "person"


@dataclass(frozen=True)
class References:
    """What a method may look at of the references, a row per picture.

    Attributes:
        f_id: (B, D) unit vectors of E_f.
        f_clip: (B, T, C) E_c's last hidden states.
        nobody: (B,) bool; rows that are to show nobody, as the unguided half does.
    """

    f_id: Tensor
    f_clip: Tensor
    nobody: Tensor

    def no_one(self) -> References:
        """The same rows, all of them nobody's."""
        return References(self.f_id, self.f_clip, torch.ones_like(self.nobody))

    def vectors(self) -> Tensor:
        """``f_id``, zeros for nobody."""
        return torch.where(self.nobody[:, None], torch.zeros_like(self.f_id), self.f_id)


@dataclass(frozen=True)
class Texts:
    """``states`` (B, L, W) of the prompts; ``words`` (B,): where :data:`CLASS_WORD` stands in each, -1 if nowhere."""

    states: Tensor
    words: Tensor


@dataclass(frozen=True)
class Parts:
    """What a method is built for.

    Attributes:
        unet: the base's, frozen; this method's own copy, which it may put trainable parts into.
        appearance: E_c.
        face_dim: D of E_f.
        config: the settings of the training, those of the mixer and FFRNet among them.
        factor: pixels per latent.
    """

    unet: Any
    appearance: AppearanceEncoder
    face_dim: int
    config: AdapterConfig
    factor: int

    @property
    def width(self) -> int:
        """W of the text states."""
        return int(self.unet.config["cross_attention_dim"])

    @property
    def appearance_dim(self) -> int:
        """C of E_c's hidden states."""
        return self.appearance.shape[1]


Align = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Training:
    """What a loss of a method's own may use, for a batch that was drawn.

    ``aligned``: pictures (R, 3, H, W) of rows (R,) of the batch -> matrices (R, 2, 3) that cut out the faces in them.
    """

    frozen: Frozen
    schedule: NoiseSchedule
    batch: Mapping[str, Tensor]
    seen: References
    texts: Texts
    tokens: Tensor
    aligned: Align


class Rival(nn.Module, ABC):
    """A method. What it trains is its parameters.

    Attributes:
        name: in tables and on the command line.
        paper: where it comes from.
        deviations: from that source, one line each.
        settings: of the training, where they aren't what all others have.
        wants_map: whether it reads a control image.
        predicts_shape: whether that image shows the reference's face in the driver's pose (the Landmark Predictor), or
            the driver's own landmarks.
        identity_guidance: share of the guidance that acts on the face, too, as its project has it.
        guidances: the shares that it can be asked with.
        strength: how much it acts; 1 is as trained, 0 leaves the base.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    deviations: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[Mapping[str, Any]] = {"lambda_id": 0.0}
    wants_map: ClassVar[bool] = False
    predicts_shape: ClassVar[bool] = False
    identity_guidance: ClassVar[float] = 1.0
    guidances: ClassVar[tuple[float, ...]] = (0.5, 1.0)

    strength = 1.0

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        del parts  # every method takes what it needs of them

    @staticmethod
    def draw_map(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Its control image (H, W, 3) uint8 of landmarks (72, 2)."""
        return draw_landmarks(landmarks, size)

    @abstractmethod
    def tokens(self, seen: References) -> Tensor:
        """What the base (or a network beside it) reads of the references, (B, N, W)."""

    @abstractmethod
    def predict(
        self, unet: Any, noisy: Tensor, timesteps: Tensor, texts: Texts, tokens: Tensor, maps: Tensor
    ) -> Tensor:
        """What the base predicts (B, C, h, w) of noisy latents.

        Args:
            unet: the one this method was built for.
            noisy: (B, C, h, w).
            timesteps: (B,).
            texts: of the prompts.
            tokens: as :meth:`tokens` made them.
            maps: (B, 3, H, W) control images in [0, 1]; only read if :attr:`wants_map`.
        """

    def own_losses(self, training: Training) -> dict[str, Tensor]:
        """Further losses by name, each with its weight applied; they are added to the others."""
        del training
        return {}


def weighed_residuals(
    net: Any, tokens: Tensor, noisy: Tensor, timesteps: Tensor, maps: Tensor, strength: float
) -> Residuals:
    """What an FFRNet (or IdentityNet, which is one) adds to the base while it holds these tokens."""
    with net.attend_to(tokens):
        down, mid = residuals(net, noisy, timesteps, maps)
    return tuple(strength * each for each in down), strength * mid


def five_point_map(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """InstantID's control image (H, W, 3) uint8 of landmarks (72, 2): five keypoints with their limbs."""
    return draw_keypoints(five_points(landmarks), size)


def pooled(appearance: AppearanceEncoder, f_clip: Tensor) -> Tensor:
    """CLIP's image embedding (B, P) of its last hidden states (B, T, C), as the model itself makes it."""
    vision = appearance.model.vision_model
    with torch.no_grad():
        embedding: Tensor = appearance.model.visual_projection(vision.post_layernorm(f_clip[:, 0]))
    return embedding
