"""FaceSnap: one object from photograph to portrait, in one inference pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch

from facesnap.core.errors import FaceTooSmallError, NoFaceError, UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import load_image
from facesnap.core.machine import choose_device
from facesnap.core.pose import Pose
from facesnap.core.weights import MODEL_NAME, mini_folder, sha256_12
from facesnap.faces.encode import FaceEncoder, FaceRecogniser
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.models.checkpoint import save_adapter
from facesnap.models.controls import FaceControls
from facesnap.pipelines.adapters import FaceAdapter, MixerAdapter, guidance_of
from facesnap.pipelines.assembly import load_parts, parts_around
from facesnap.pipelines.binding import execution_device
from facesnap.pipelines.conditions import Analyser, Conditions, as_list
from facesnap.pipelines.prompts import CARRIED, check_carry, fits, with_looks
from facesnap.pipelines.request import check_options, check_prompts, seeds_of, take_controls
from facesnap.pipelines.result import Judgement, Result
from facesnap.pipelines.roads import NAMED_MASKS, Source, check_source, size_like, source_image, take_mask, take_road
from facesnap.pipelines.sampling import Job, sample, second_pass
from facesnap.pipelines.small_faces import SmallFaces
from facesnap.pipelines.subjects import Subject, everyone

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: Where an adapter doesn't say otherwise.
DEFAULTS: Final[Mapping[str, Any]] = {"num_inference_steps": 20, "guidance_scale": 5.0}

#: How much of an image is lost to noise where the call doesn't say, and there is no mask.
STRENGTH: Final = 0.8


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
        adapter: what makes tokens and a control image of a person.
    """

    def __init__(
        self, pipeline: Any, analyser: Analyser, adapter: FaceAdapter, sources: Mapping[str, Path] | None = None
    ) -> None:
        """``sources``: name -> file or folder of the weights, whose hashes go into the pictures' metadata."""
        adapter.check(analyser)
        self.pipeline, self.analyser, self.adapter = pipeline, analyser, adapter
        self._sources = dict(sources or {})
        self._enrolled: WeakKeyDictionary[Identity, Enrolled] = WeakKeyDictionary()

    @classmethod
    def from_pretrained(
        cls,
        base: str | Path = "mini",
        adapter: str | Path | None = None,
        device: str = "auto",
        dtype: str | torch.dtype = "auto",
        *,
        base_config: str | Path | None = None,
        controlnets: Sequence[str | Path] = (),
        face_encoder: str | Path | None = None,
        image_encoder: str | Path | None = None,
    ) -> FaceSnap:
        """Load a base and an adapter.

        Args:
            base: ``"mini"``, a diffusers folder, a hub id, or a single ``.safetensors`` file (docs/BASES.md).
            adapter: a folder or hub id of FaceSnap's own; None takes the embedded one (which fits mini and its
                fine-tunes); or InstantID's or IP-Adapter-FaceID's file or folder (docs/PUBLISHED_ADAPTERS.md).
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            dtype: ``auto``, ``float32``, ``bfloat16``, ``float16``, or torch's own.
            base_config: for a single file, the diffusers folder or hub id whose configs and tokenizer go with it.
            controlnets: others beside FFRNet, folders or hub ids; a call gives them ``control_images``.
            face_encoder: E_f, an ArcFace-style ONNX file; None is mini's.
            image_encoder: E_c for FaceID-Plus, a transformers folder; None is mini's.

        Raises:
            AdapterError: base or adapter is missing or damaged, or they don't fit each other.
            EncoderMismatchError: the adapter was trained with other encoders than those at hand.
            UsageError: no such device or dtype.
            MissingExtraError: an ONNX file needs onnxruntime, FaceID needs peft.
        """
        where = choose_device(device)
        return cls(
            *load_parts(
                *(base, adapter, where, dtype),
                base_config=base_config,
                controlnets=controlnets,
                face_encoder=face_encoder,
                image_encoder=image_encoder,
            )
        )

    @classmethod
    def from_pipe(cls, pipeline: Any, adapter: str | Path | None = None) -> FaceSnap:
        """Attach an adapter to a Stable Diffusion pipeline that is already there, with all that is set on it.

        The pipeline given stays as it is and goes on working: the two share their components, none of which changes.

        Args:
            pipeline: a diffusers pipeline of Stable Diffusion or SDXL, with ControlNets or without.
            adapter: a folder or hub id; None takes the embedded one.

        Raises:
            AdapterError: not such a pipeline, or the adapter doesn't fit it.
            EncoderMismatchError: the adapter was trained with other encoders than those at hand.
        """
        return cls(*parts_around(pipeline, adapter))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the adapter to a folder that :meth:`from_pretrained` takes as ``adapter`` (docs/ADAPTERS.md).

        Raises:
            UsageError: it is a published adapter, which stays where it is.
            OutputError: the folder can't be written.
        """
        if not isinstance(self.adapter, MixerAdapter):
            raise UsageError("only adapters of FaceSnap's own are saved: a published one stays where it is")
        save_adapter(folder, self.pipeline.ffrnet, self.adapter.mixer, self.adapter.config)

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
        identity: Identity | Subject,
        pose: Pose | ImageSource | None = None,
        size: tuple[int, int] | None = None,
        controls: FaceControls | None = None,
    ) -> Conditions:
        """Face tokens and landmark map of one person in a call, to be looked at before anything is sampled.

        Args:
            identity: of the person, or a subject with a place of their own.
            pose: see :meth:`pose_of`; a subject brings one along.
            size: (width, height); None is the base's own.
            controls: strengths of identity and guidance.

        Raises:
            EncoderMismatchError: the identity was made with other encoders; names both.
        """
        (subject,) = everyone(identity, pose)
        subject.identity.check(self.analyser.encoders)
        asked = self.pose_of(subject.identity, subject.pose)
        place = execution_device(self.pipeline)
        return Conditions.of(subject, asked, size or self.size(), self.adapter, self.predictor, controls, place)

    def __call__(
        self,
        prompt: str | Sequence[str],
        identity: Identity | Subject | Sequence[Subject],
        pose: Pose | ImageSource | None = None,
        *,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        num_images_per_prompt: int = 1,
        width: int | None = None,
        height: int | None = None,
        image: ImageSource | None = None,
        mask_image: ImageSource | None = None,
        strength: float | None = None,
        control_images: Sequence[ImageSource] = (),
        control_scales: Sequence[float] | None = None,
        carry: Collection[str] = CARRIED,
        long_prompts: bool = False,
        small_faces: SmallFaces | bool = False,
        callback_on_step_end: Any = None,
        output_type: str = "pil",
        **options: Any,
    ) -> Result:
        """Make portraits.

        Args:
            prompt: what the portrait shows; several prompts give pictures of each.
            identity: who, from :meth:`enroll` or :meth:`Identity.load`; for several people in one picture, a list of
                :class:`Subject`.
            pose: a Pose, a driving photo, or None for the reference's own; see :meth:`pose_of`. Where a call starts
                from an ``image``, None is the pose of the face found there, in its place.
            negative_prompt: what it should not show.
            num_inference_steps: None takes the adapter's default.
            guidance_scale: the same.
            seed: of the first picture; picture i has ``seed + i``. None draws one (it is in the result's settings).
            num_images_per_prompt: how many pictures of each prompt.
            width: in pixels, a multiple of the VAE's factor; None is the base's own, or the image's proportions.
            height: the same.
            image: a picture to start from (img2img).
            mask_image: what of it is made anew (inpainting): a picture that is white there, ``"face"``, or
                ``"background"`` (all but the face). The rest stays as it was.
            strength: how much of the image is lost to noise, from 0 to 1; None is 0.8, with a mask 1.
            control_images: one per ControlNet beside FFRNet, in their order.
            control_scales: their weights; None is 1 each.
            carry: what of the reference is said where the prompt is silent of it, see :meth:`full_prompt`.
            long_prompts: encode prompts longer than the text encoder takes in pieces.
            small_faces: make faces that are small in the picture anew, larger, in a second pass.
            callback_on_step_end: as in diffusers.
            output_type: as in diffusers.
            options: the knobs of :class:`FaceControls` (``identity_scale``, ``landmark_scale`` ...), and anything else
                that the diffusers pipeline takes.

        Raises:
            PromptError: an empty prompt, or one longer than the text encoder takes.
            EncoderMismatchError: the identity was made with other encoders.
            UsageError: a size, seed, place or option that can't be, or something to carry that isn't known.
            NoFaceError: a mask by name, and no face in the image.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        controls, stock = take_controls(options)
        controls = replace(controls, identity_guidance=guidance_of(self.adapter, controls))
        self.adapter.check_controls(controls)
        check_source(image, mask_image, strength)
        check_prompts(self.pipeline, prompts, negative_prompt, long_prompts)
        people = everyone(identity, pose)
        start = None if image is None else self._start(image, width, height)
        size = self.size(width, height) if start is None else (start.shape[1], start.shape[0])
        people, found = self._placed(people, start, mask_image)
        conditions = [self.conditions(person, None, size, controls) for person in people]
        source = None
        if start is not None:
            mask = take_mask(mask_image, [*(each.landmarks for each in conditions), *found], size)
            source = Source(start, mask, strength or (STRENGTH if mask is None else 1.0))
        check_options(take_road(self.pipeline, source), stock)
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        stock = {**self._defaults, **stock, **{name: value for name, value in given.items() if value is not None}}
        job = Job(
            prompts=[self.full_prompt(each, people, carry) for each in prompts],
            negative=negative_prompt or "",
            conditions=conditions,
            adapter=self.adapter,
            controls=controls,
            seeds=seeds_of(seed, num_images_per_prompt, len(prompts)),
            source=source,
            control_images=control_images,
            control_scales=control_scales,
            long_prompts=long_prompts,
            options={**stock, "callback_on_step_end": callback_on_step_end, "output_type": output_type},
        )
        images = sample(self.pipeline, job)
        if small_faces:
            settings = small_faces if isinstance(small_faces, SmallFaces) else SmallFaces()
            images = second_pass(self.pipeline, job, images, min(self.size()), settings)
        return self._result(job, images, prompts, people, stock)

    def _start(self, image: ImageSource, width: int | None, height: int | None) -> np.ndarray:
        """The picture a call starts from, of the call's size."""
        picture = load_image(image)
        if width is None and height is None:
            width, height = size_like(picture, self.size(), self.pipeline.vae_scale_factor)
        return source_image(picture, self.size(width, height))

    def _placed(
        self, people: list[Subject], start: np.ndarray | None, mask_image: Any
    ) -> tuple[list[Subject], list[np.ndarray]]:
        """The subjects, each with a Pose; and the landmarks (72, 2) of the face in the picture they start from, whose
        pose and place one without a pose takes.
        """
        found: list[np.ndarray] = []
        if start is not None and len(people) == 1 and people[0].region is None:
            try:
                fitted = self.analyser.read(start, 0).fitted
                found.append(fitted.landmarks2d)
                if people[0].pose is None:
                    people = [replace(people[0], pose=fitted.driving(keep_framing=True))]
            except (NoFaceError, FaceTooSmallError):
                if isinstance(mask_image, str) and mask_image in NAMED_MASKS:
                    raise
        return [replace(person, pose=self.pose_of(person.identity, person.pose)) for person in people], found

    def _result(
        self,
        job: Job,
        images: Any,
        prompts: Sequence[str],
        people: Sequence[Subject],
        stock: Mapping[str, Any],
    ) -> Result:
        poses = [cast("Pose", person.pose) for person in people]
        drawn = np.max([each.landmark_map for each in job.conditions], axis=0)
        settings = {
            **{name: value for name, value in stock.items() if isinstance(value, str | int | float | bool | None)},
            **asdict(job.controls),
            "prompt": prompts[0] if len(prompts) == 1 else list(prompts),
            "full_prompt": job.prompts[0] if len(prompts) == 1 else list(job.prompts),
            "negative_prompt": job.negative,
            "seeds": list(job.seeds),
            "width": drawn.shape[1],
            "height": drawn.shape[0],
            "strength": None if job.source is None else job.source.strength,
            "pose": poses[0].to_json() if len(poses) == 1 else [pose.to_json() for pose in poses],
            "scheduler": type(self.pipeline.scheduler).__name__,
            "dtype": str(self.pipeline.unet.dtype).removeprefix("torch."),
        }
        asked = list(zip(people, poses, job.conditions, strict=True))
        hashes = [person.identity.fingerprint for person in people]
        return Result(
            images=images,
            landmark_map=drawn,
            landmarks=np.squeeze(np.stack([each.landmarks for each in job.conditions])),
            settings=settings,
            judges=lambda: [self._judgement(who.identity, pose, each.landmarks) for who, pose, each in asked],
            provenance=lambda: {"models": self.hashes, "identity": hashes[0] if len(hashes) == 1 else hashes},
        )

    def full_prompt(self, prompt: str, identity: Identity | Sequence[Subject], carry: Collection[str] = CARRIED) -> str:
        """What the base is told: the prompt, and the reference's hair and beard where it says nothing of them.

        Args:
            prompt: of the call.
            identity: of the person; of several people in one picture nothing is said, since words don't know whose
                they are.
            carry: out of :data:`~facesnap.pipelines.prompts.CARRIED`; none of them leaves every prompt as it is.

        Raises:
            UsageError: something else to carry.
        """
        check_carry(carry)
        reader, people = self.analyser.looks, everyone(identity)
        if reader is None or not carry or len(people) > 1:
            return prompt
        longer = with_looks(prompt, reader.read(people[0].identity.appearance), carry)
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
        return {**DEFAULTS, **self.adapter.defaults}

    def _judgement(self, identity: Identity, pose: Pose, landmarks: np.ndarray) -> Judgement:
        known = self._enrolled.get(identity)
        judge, vector, note = self.judge, known.vector if known else None, ""
        if vector is None or judge is None:
            judge, vector = self.analyser.face_encoder, identity.face_embedding
            why = "no judge is installed" if self.judge is None else "an identity file holds no judge's vector"
            note = f"{why}, so the encoder that guides the model judged, which flatters"
        return Judgement(self.analyser.detector, self.analyser.fitter, judge, vector, pose, landmarks, note)
