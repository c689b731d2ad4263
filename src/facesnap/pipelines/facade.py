"""FaceSnap: one object from photograph to portrait, in one inference pass."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import torch

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.machine import choose_device
from facesnap.core.pose import Pose
from facesnap.core.weights import MODEL_NAME, mini_folder, sha256_12
from facesnap.faces.encode import FaceEncoder, FaceRecogniser
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.models.checkpoint import AdapterConfig
from facesnap.pipelines.conditions import IDENTITY_GUIDANCE, Analyser, Conditions, as_list
from facesnap.pipelines.loading import choose_dtype, find_adapter, find_base, load_pipeline
from facesnap.pipelines.prompts import CARRIED, check_carry, check_prompt, fits, with_looks
from facesnap.pipelines.result import Judgement, Result
from facesnap.pipelines.sd import FaceSnapPipeline
from facesnap.pipelines.sdxl import FaceSnapXLPipeline

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: Where an adapter doesn't say otherwise.
DEFAULTS: Final[Mapping[str, Any]] = {"num_inference_steps": 20, "guidance_scale": 5.0}

Step = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Enrolled:
    """What an identity file doesn't hold, remembered as long as the Identity object lives: the first photo's
    ``pose``, and the judge's ``vector`` (D,) of the person, None without a judge.
    """

    pose: Pose
    vector: np.ndarray | None


class FaceSnap:
    """Portraits of one person from a photo and a prompt.

    Example:
        >>> snap = FaceSnap.from_pretrained("mini")
        >>> me = snap.enroll("me.jpg")
        >>> result = snap("a portrait of a person in a red jacket", me, pose=Pose(yaw=20), seed=1)
        >>> result.images[0].save("out.png")

    Attributes:
        pipeline: the diffusers pipeline; schedulers, LoRAs, offloading and so on are set on it.
        analyser: the frozen encoders.
        config: what the adapter says of itself.
    """

    def __init__(
        self,
        pipeline: FaceSnapPipeline | FaceSnapXLPipeline,
        analyser: Analyser,
        config: AdapterConfig,
        sources: Mapping[str, Path] | None = None,
    ) -> None:
        """``sources``: name -> file or folder of the weights, whose hashes go into the pictures' metadata."""
        config.check_encoders(analyser.encoders)
        self.pipeline, self.analyser, self.config = pipeline, analyser, config
        self._sources = dict(sources or {})
        self._enrolled: WeakKeyDictionary[Identity, Enrolled] = WeakKeyDictionary()

    @classmethod
    def from_pretrained(
        cls,
        base: str | Path = "mini",
        adapter: str | Path | None = None,
        device: str = "auto",
        dtype: str | torch.dtype = "auto",
    ) -> FaceSnap:
        """Load a base and an adapter.

        Args:
            base: ``"mini"``, a diffusers folder, a hub id, or a single ``.safetensors`` file.
            adapter: a folder or hub id; None takes the embedded one (which fits mini and its fine-tunes).
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            dtype: ``auto``, ``float32``, ``bfloat16``, ``float16``, or torch's own.

        Raises:
            AdapterError: base or adapter is missing or damaged, or they don't fit each other.
            EncoderMismatchError: the adapter was trained with other encoders than those at hand.
            UsageError: no such device or dtype.
        """
        where = choose_device(device)
        path, folder = find_base(base), find_adapter(adapter)
        pipeline, config = load_pipeline(path, folder, choose_dtype(dtype, where))
        sources = {
            "base": path / "unet" if path.is_dir() else path,
            "ffrnet": folder / "ffrnet",
            "mixer": folder / "mixer",
        }
        return cls(pipeline.to(where), Analyser.from_pretrained("mini"), config, sources)

    @property
    def predictor(self) -> LandmarkPredictor:
        """The Landmark Predictor."""
        return self.analyser.predictor

    @property
    def default_steps(self) -> int:
        """Denoising steps of a call that doesn't say how many."""
        return int(self._defaults["num_inference_steps"])

    def enroll(self, photos: ImageSource | Sequence[ImageSource], face: int | None = None) -> Identity:
        """Get to know a person.

        Args:
            photos: one photo or several of the same person; paths, PIL pictures or (H, W, 3) uint8 arrays.
            face: which face of each photo, from 0, the largest first; None takes the largest.

        Raises:
            ImageError, NoFaceError, FaceTooSmallError: a photo can't be used.
            UsageError: no photo, or no face of that number.
            AdapterError: the judge is damaged.
        """
        readings = [self.analyser.read(photo, face) for photo in as_list(photos)]
        identity = self.analyser.identity(readings)
        vector = None
        if self.judge is not None:
            mean = self.judge.encode([reading.crop() for reading in readings]).mean(axis=0)
            vector = mean / max(float(np.linalg.norm(mean)), 1e-12)
        self._enrolled[identity] = Enrolled(readings[0].fitted.pose.framed(None), vector)
        return identity

    def pose_of(self, identity: Identity, pose: Pose | ImageSource | None = None) -> Pose:
        """What a call's ``pose`` stands for.

        A pose is itself (with its camera, if it has one). A photo gives pose and expression in the default
        composition: usual photos show faces smaller than the model draws them; ``Pose.from_image(photo,
        keep_framing=True)`` asks for its framing too. None is the reference's own pose and expression, in the default
        composition (straight and neutral if the identity comes from a file, which holds no pose).
        """
        if isinstance(pose, Pose):
            return pose
        if pose is not None:
            return self.analyser.pose_from(pose)
        known = self._enrolled.get(identity)
        return known.pose if known else Pose()

    def conditions(
        self,
        identity: Identity,
        pose: Pose | ImageSource | None = None,
        size: tuple[int, int] | None = None,
        identity_scale: float = 1.0,
        identity_guidance: float = IDENTITY_GUIDANCE,
    ) -> Conditions:
        """Face tokens and landmark map of a call, to be looked at before anything is sampled.

        Args:
            identity: of the person.
            pose: see :meth:`pose_of`.
            size: (width, height); None is the base's own.
            identity_scale: see :meth:`Conditions.of`.
            identity_guidance: the same.

        Raises:
            EncoderMismatchError: the identity was made with other encoders; names both.
        """
        identity.check(self.analyser.encoders)
        size = size or self.size()
        asked, mixer = self.pose_of(identity, pose), self.pipeline.mixer
        return Conditions.of(identity, asked, size, mixer, self.predictor, identity_scale, identity_guidance)

    def __call__(
        self,
        prompt: str,
        identity: Identity,
        pose: Pose | ImageSource | None = None,
        *,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        num_images_per_prompt: int = 1,
        width: int | None = None,
        height: int | None = None,
        identity_scale: float = 1.0,
        identity_guidance: float = IDENTITY_GUIDANCE,
        landmark_scale: float = 1.0,
        carry: Collection[str] = CARRIED,
        callback_on_step_end: Step | None = None,
        output_type: str = "pil",
        **options: Any,
    ) -> Result:
        """Make portraits.

        Args:
            prompt: what the portrait shows.
            identity: who, from :meth:`enroll` or :meth:`Identity.load`.
            pose: a Pose, a driving photo, or None for the reference's own; see :meth:`pose_of`.
            negative_prompt: what it should not show.
            num_inference_steps: None takes the adapter's default.
            guidance_scale: the same.
            seed: of the first picture; picture i has ``seed + i``. None draws one (it is in the result's settings).
            num_images_per_prompt: how many pictures.
            width: in pixels, a multiple of the VAE's factor; None is the base's own.
            height: the same.
            identity_scale: weight of the person, see :meth:`Conditions.of`.
            identity_guidance: how much of the guidance acts on the face, from 0 to 1; see there.
            landmark_scale: weight of FFRNet's residuals (diffusers' ``controlnet_conditioning_scale``).
            carry: what of the reference is said where the prompt is silent of it, see :meth:`full_prompt`.
            callback_on_step_end: as in diffusers.
            output_type: as in diffusers.
            options: anything else that the diffusers pipeline takes.

        Raises:
            PromptError: an empty prompt, or one longer than the text encoder takes.
            EncoderMismatchError: the identity was made with other encoders.
            UsageError: a size, seed or option that can't be, or something to carry that isn't known.
        """
        self._check_options(options)
        check_prompt(self.pipeline, prompt, "prompt")
        if negative_prompt:
            check_prompt(self.pipeline, negative_prompt, "negative prompt")
        full_prompt = self.full_prompt(prompt, identity, carry)
        size = self.size(width, height)
        asked = self.pose_of(identity, pose)
        conditions = self.conditions(identity, asked, size, identity_scale, identity_guidance)
        seeds = _seeds(seed, num_images_per_prompt)
        call = {**self._defaults, "controlnet_conditioning_scale": float(landmark_scale), **options}
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        call |= {name: value for name, value in given.items() if value is not None}
        images = self.pipeline(
            full_prompt,
            image=_as_control(conditions.landmark_map),
            face_tokens=conditions.tokens,
            null_tokens=conditions.null_tokens,
            negative_prompt=negative_prompt or None,
            num_images_per_prompt=num_images_per_prompt,
            # On the CPU, so that a seed's noise doesn't depend on the device that samples.
            generator=[torch.Generator("cpu").manual_seed(each) for each in seeds],
            callback_on_step_end=callback_on_step_end,
            output_type=output_type,
            **call,
        ).images
        settings = {
            **{name: value for name, value in call.items() if isinstance(value, str | int | float | bool | None)},
            "prompt": prompt,
            "full_prompt": full_prompt,
            "negative_prompt": negative_prompt or "",
            "seeds": seeds,
            "width": size[0],
            "height": size[1],
            "identity_scale": identity_scale,
            "identity_guidance": identity_guidance,
            "pose": asked.to_json(),
            "scheduler": type(self.pipeline.scheduler).__name__,
            "dtype": str(self.pipeline.unet.dtype).removeprefix("torch."),
        }
        return Result(
            images=images,
            landmark_map=conditions.landmark_map,
            landmarks=conditions.landmarks,
            settings=settings,
            judge=lambda: self._judgement(identity, asked, conditions.landmarks),
            provenance=lambda: {"models": self.hashes, "identity": identity_hash(identity)},
        )

    def full_prompt(self, prompt: str, identity: Identity, carry: Collection[str] = CARRIED) -> str:
        """What the base is told: the prompt, and the reference's hair and beard where it says nothing of them.

        Args:
            prompt: of the call.
            identity: of the person.
            carry: out of :data:`~facesnap.pipelines.prompts.CARRIED`; none of them leaves every prompt as it is.

        Raises:
            UsageError: something else to carry.
        """
        check_carry(carry)
        reader = self.analyser.looks
        if reader is None or not carry:
            return prompt
        longer = with_looks(prompt, reader.read(identity.appearance), carry)
        return longer if fits(self.pipeline, longer) else prompt

    def size(self, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """(width, height) of a call in pixels; what isn't given is the base's own. UsageError if it can't be."""
        factor = self.pipeline.vae_scale_factor
        own = self.pipeline.unet.config.sample_size
        own_height, own_width = (own, own) if isinstance(own, int) else own
        size = (width or own_width * factor, height or own_height * factor)
        if any(side < 8 * factor or side % factor for side in size):
            raise UsageError(f"width and height must be multiples of {factor}, from {8 * factor} on, not {size}")
        return size

    @cached_property
    def judge(self) -> FaceRecogniser | None:
        """The recogniser that took no part in conditioning or training; None if it isn't installed.

        Raises:
            AdapterError: it is there, but damaged.
        """
        folder = mini_folder() / "judge_face"
        return FaceEncoder.from_pretrained(folder) if (folder / MODEL_NAME).is_file() else None

    @cached_property
    def hashes(self) -> dict[str, str]:
        """First 12 hex digits of the SHA-256 of each part's weights, as loaded from disk."""
        return {name: sha256_12(path) for name, path in self._sources.items()}

    @property
    def _defaults(self) -> dict[str, Any]:
        return {**DEFAULTS, **self.config.defaults}

    def _judgement(self, identity: Identity, pose: Pose, landmarks: np.ndarray) -> Judgement:
        known = self._enrolled.get(identity)
        judge, vector, note = self.judge, known.vector if known else None, ""
        if vector is None or judge is None:
            judge, vector = self.analyser.face_encoder, identity.face_embedding
            why = "no judge is installed" if self.judge is None else "an identity file holds no judge's vector"
            note = f"{why}, so the encoder that guides the model judged, which flatters"
        return Judgement(self.analyser.detector, self.analyser.fitter, judge, vector, pose, landmarks, note)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """Diffusers ignores names that it doesn't know, so that a slip of the pen would go unnoticed."""
        known = self.pipeline.stock_options() - {"prompt", "image", "generator"}
        if unknown := sorted(set(options) - known):
            raise UsageError(f"unknown option {unknown[0]}: use one of {', '.join(sorted(known))}")


def identity_hash(identity: Identity) -> str:
    """First 12 hex digits of a SHA-256 over an identity's arrays."""
    total = hashlib.sha256()
    for array in (identity.face_embedding, identity.appearance, identity.shape):
        total.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return total.hexdigest()[:12]


def _seeds(seed: int | None, count: int) -> list[int]:
    if count < 1:
        raise UsageError(f"at least one picture must be made, not {count}")
    first = secrets.randbelow(2**31) if seed is None else seed
    if first < 0:
        raise UsageError(f"seed={first} must not be negative")
    if first + count > 2**63:
        raise UsageError(f"seed={first} is too large: use at most {2**63 - count} for {count} picture(s)")
    return [first + i for i in range(count)]


def _as_control(landmark_map: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(landmark_map).permute(2, 0, 1)[None].float() / 255
