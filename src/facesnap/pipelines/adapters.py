"""What an adapter makes of a person: tokens, and a control image from the landmarks.

:class:`MixerAdapter` is FaceSnap's own, as the paper has it; :class:`PublishedFace` stands for those that others
published. The rest of the pipeline doesn't know which of them it works with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor

from facesnap.core.errors import EncoderMismatchError, UsageError
from facesnap.landmarks.draw import draw_landmarks
from facesnap.landmarks.keypoints import draw_keypoints
from facesnap.landmarks.layout import five_points
from facesnap.models.published import InstantID, PublishedAdapter

if TYPE_CHECKING:
    from facesnap.core.identity import Identity
    from facesnap.models.checkpoint import AdapterConfig
    from facesnap.models.controls import FaceControls
    from facesnap.models.mixer import FacialAttributeMixer
    from facesnap.pipelines.analyser import Analyser
    from facesnap.pipelines.call.conditions import Conditions


#: What of a face CLIP sees for FaceID-Plus, and which of its states are read: the last but one.
PLUS_CROP: Final[Mapping[str, Any]] = {"layer": -2, "zoom": 1.0, "crop_size": 224}


@dataclass(frozen=True)
class FaceTokens:
    """(1, N, W) each: the person's (at the scale asked for), the unguided half's, and nobody's."""

    tokens: Tensor
    null_tokens: Tensor
    nobody: Tensor

    @staticmethod
    def between(nobody: Tensor, person: Tensor, scale: float, guidance: float) -> FaceTokens:
        """On the line from nobody to a person: the tokens at ``scale``, and of the unguided half ``1 - guidance`` of
        the way there.
        """
        tokens = nobody + scale * (person - nobody)
        return FaceTokens(tokens, nobody + (1.0 - guidance) * (tokens - nobody), nobody)


class FaceAdapter(Protocol):
    """What the pipelines need of an adapter.

    Attributes:
        defaults: settings for generation, by diffusers' names.
        identity_guidance: share of the guidance that acts on the face where a call doesn't say.
        control_scale: weight of its ControlNet at ``landmark_scale`` 1; None for an adapter without one.
        sets: options of diffusers' call that it gives by itself.
    """

    defaults: Mapping[str, Any]
    identity_guidance: float
    control_scale: float | None
    sets: frozenset[str]

    def check(self, analyser: Analyser) -> None:
        """EncoderMismatchError if it can't read what these encoders see."""

    def check_controls(self, controls: FaceControls, posed: bool = False) -> None:
        """UsageError for a knob that it doesn't have, and for a call that is ``posed`` if it has no spatial control."""

    def tokens(self, identity: Identity, controls: FaceControls, device: torch.device) -> FaceTokens:
        """What the attentions read of a person."""

    def draw(self, landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Landmarks (72, 2) as its control image (H, W, 3) uint8 of ``size`` (width, height)."""

    def options(self, pipeline: Any, people: Sequence[Conditions], prompts: int, guided: bool) -> dict[str, Any]:
        """What else its pipeline's call takes."""


class MixerAdapter:
    """FaceSnap's own: the Facial Attribute Mixer, and a map of 72 landmarks."""

    #: In full, skin gets too dark or too pale and glasses stay away; not at all, likeness falls (docs/LOG.md).
    identity_guidance = 0.5
    control_scale: float | None = 1.0
    sets: frozenset[str] = frozenset()

    def __init__(self, mixer: FacialAttributeMixer, config: AdapterConfig) -> None:
        self.mixer, self.config, self.defaults = mixer, config, config.defaults

    def check(self, analyser: Analyser) -> None:
        """The mixer reads only what it was trained on."""
        self.config.check_encoders(analyser.encoders)

    def check_controls(self, controls: FaceControls, posed: bool = False) -> None:
        """It has all of them."""

    @torch.no_grad()
    def tokens(self, identity: Identity, controls: FaceControls, device: torch.device) -> FaceTokens:
        """``f_mix`` of the paper's figure."""
        arrays = identity.face_embedding, identity.appearance
        # Twice, the second time as nobody: its tokens are asked of the network, which may have to be loaded first.
        f_id, f_clip = (torch.from_numpy(np.stack([array] * 2)).to(device, self.mixer.dtype) for array in arrays)
        drop = torch.tensor([False, True], device=device)
        person, nobody = self.mixer(f_id, f_clip, drop, streams=controls.streams).split(1)
        return FaceTokens.between(nobody, person, controls.identity_scale, guidance_of(self, controls))

    def draw(self, landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Coloured dots on black."""
        return draw_landmarks(landmarks, size)

    def options(self, pipeline: Any, people: Sequence[Conditions], prompts: int, guided: bool) -> dict[str, Any]:
        """Nothing: its tokens reach FFRNet alone."""
        return {}


class PublishedFace:
    """InstantID, or one of IP-Adapter-FaceID's kinds: their tokens are read in the UNet by decoupled attention, too.

    Args:
        adapter: attached to the pipeline that it is used with.
        empty: E_c's tokens (1, T, C) of an empty picture, where the adapter reads any.
    """

    identity_guidance = 1.0  # as in their projects
    sets = frozenset({"ip_adapter_image", "ip_adapter_image_embeds"})

    def __init__(self, adapter: PublishedAdapter, empty: Callable[[], np.ndarray]) -> None:
        self.adapter, self.empty, self.defaults = adapter, empty, adapter.defaults
        self.control_scale = adapter.control_scale if isinstance(adapter, InstantID) else None

    def check(self, analyser: Analyser) -> None:
        """They were trained on ArcFace's vectors, which no file names; their length at least can be told."""
        reads, gives = self.adapter.layout, analyser.face_encoder.dim
        if gives != reads.face_dim:
            raise EncoderMismatchError(
                f"this {self.adapter.kind} reads face vectors of {reads.face_dim} numbers, but"
                f" {analyser.encoders['face']} gives {gives}: name its ArcFace file as face_encoder"
                " (docs/PUBLISHED_ADAPTERS.md)"
            )
        if reads.appearance_dim not in (None, analyser.appearance_encoder.shape[1]):
            raise EncoderMismatchError(
                f"this {self.adapter.kind} reads CLIP tokens of {reads.appearance_dim} numbers, but"
                f" {analyser.encoders['appearance']} gives {analyser.appearance_encoder.shape[1]}: name its CLIP folder"
                " as image_encoder (docs/PUBLISHED_ADAPTERS.md)"
            )

    def check_controls(self, controls: FaceControls, posed: bool = False) -> None:
        """They have one stream of tokens; without a ControlNet nothing depends on landmarks, step or level."""
        if controls.abstract_scale != controls.detail_scale:
            raise UsageError(f"{self.adapter.kind} has no mixer: leave out abstract_scale and detail_scale")
        if self.control_scale is not None:
            return
        if controls.timed or controls.level_scales is not None:
            raise UsageError(f"{self.adapter.kind} has no ControlNet: leave out windows and level_scales")
        if (controls.landmark_scale, controls.map_scale) != (1.0, 1.0):
            raise UsageError(f"{self.adapter.kind} has no ControlNet: leave out landmark_scale and map_scale")
        if posed:
            raise UsageError(f"{self.adapter.kind} has no ControlNet, so that no pose can be asked for: leave it out")

    def tokens(self, identity: Identity, controls: FaceControls, device: torch.device) -> FaceTokens:
        """Resampled, or projected, face vectors."""
        f_id, f_clip, null_clip = torch.from_numpy(identity.face_embedding)[None], None, None
        if self.adapter.layout.appearance_dim is not None:
            f_clip, null_clip = torch.from_numpy(identity.appearance)[None], torch.from_numpy(self.empty())
        person, nobody = (each.to(device) for each in self.adapter.tokens(f_id, f_clip, null_clip))
        return FaceTokens.between(nobody, person, controls.identity_scale, guidance_of(self, controls))

    def draw(self, landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """InstantID's five keypoints, from the reference's own head."""
        return draw_keypoints(five_points(landmarks), size)

    def options(self, pipeline: Any, people: Sequence[Conditions], prompts: int, guided: bool) -> dict[str, Any]:
        """The tokens for the UNet; of several people, each set in its region, which they share where regions overlap.

        UsageError if the adapter is no longer on the pipeline.
        """
        self.adapter.check_attached(pipeline)

        def rows(tokens: Tensor) -> Tensor:
            return tokens.expand(prompts, -1, -1)

        person = [rows(each.tokens) for each in people]
        nobody = [rows(each.null_tokens) for each in people] if guided else None
        given: dict[str, Any] = {"ip_adapter_image_embeds": self.adapter.image_embeds(pipeline, person, nobody)}
        if any(each.region is not None for each in people):
            shape = people[0].landmark_map.shape[-3:-1]
            regions = [np.ones(shape, np.float32) if each.region is None else each.region for each in people]
            shares = np.stack(regions) / np.maximum(1.0, np.sum(regions, axis=0))
            masks = torch.from_numpy(shares)[None].to(pipeline.unet.dtype)
            given["cross_attention_kwargs"] = {"ip_adapter_masks": [masks]}
        return given


def guidance_of(adapter: FaceAdapter, controls: FaceControls) -> float:
    """Share of the guidance that acts on the face: the call's, or else the adapter's own."""
    given = controls.identity_guidance
    return adapter.identity_guidance if given is None else given


def check_blind(adapter: FaceAdapter, image: Any, small_faces: Any, controls: Any) -> None:
    """UsageError for what an adapter without a ControlNet can't do: other ControlNets, and to find small faces again
    where no ``image`` showed them.
    """
    if adapter.control_scale is not None:
        return
    if controls:
        raise UsageError("this adapter's pipeline has no ControlNets: leave out control_images and control_scales")
    if small_faces and image is None:
        raise UsageError("this adapter has no ControlNet, so faces may be anywhere: leave out small_faces")
