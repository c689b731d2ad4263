"""FaceSnap: one object from photograph to portrait, in one inference pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from facesnap.core.errors import UsageError
from facesnap.core.identity import Identity
from facesnap.core.images import load_image
from facesnap.core.machine import choose_device
from facesnap.core.pose import Pose
from facesnap.core.weights import sha256_12
from facesnap.landmarks.predict import LandmarkPredictor
from facesnap.models.checkpoint import save_adapter
from facesnap.models.controls import FaceControls
from facesnap.models.savings import Savings
from facesnap.pipelines.acquaintances import Acquaintances
from facesnap.pipelines.adapters import FaceAdapter, MixerAdapter, check_blind
from facesnap.pipelines.analyser import Analyser
from facesnap.pipelines.bindings.binding import execution_device
from facesnap.pipelines.bindings.roads import road_class
from facesnap.pipelines.call.conditions import Conditions
from facesnap.pipelines.call.outcome import outcome
from facesnap.pipelines.call.prompts import CARRIED, check_carry, fits, with_looks
from facesnap.pipelines.call.request import (
    check_control_images,
    check_options,
    check_strength,
    merged,
    noise_of,
    steps_of,
    take_controls,
    take_speed,
    whole,
)
from facesnap.pipelines.call.result import Result
from facesnap.pipelines.call.sampling import Job, sample
from facesnap.pipelines.call.start import Opened, check_source, size_like
from facesnap.pipelines.call.subjects import Subject, everyone
from facesnap.pipelines.call.texts import TOKENIZING, take_texts
from facesnap.pipelines.loading.assembly import load_parts, parts_around
from facesnap.pipelines.loading.compiling import compile_blocks
from facesnap.pipelines.loading.offload import Offload
from facesnap.pipelines.passes.many import Portrait, paint
from facesnap.pipelines.passes.second_pass import second_pass
from facesnap.pipelines.passes.small_faces import SmallFaces

if TYPE_CHECKING:
    from facesnap.core.images import ImageSource

#: Where an adapter doesn't say otherwise.
DEFAULTS: Final[Mapping[str, Any]] = {"num_inference_steps": 20, "guidance_scale": 5.0}


class FaceSnap(Acquaintances):
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
        super().__init__(analyser)
        self.pipeline, self.adapter = pipeline, adapter
        self._sources = dict(sources or {})

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
        offload: Offload = "none",
    ) -> FaceSnap:
        """Load a base and an adapter.

        Args:
            base: ``"mini"``, a diffusers folder, a hub id, or a single ``.safetensors`` file (docs/BASES.md).
            adapter: a folder or hub id of FaceSnap's own; None takes the embedded one (which fits mini and its
                fine-tunes); or InstantID's or IP-Adapter-FaceID's file, folder, hub id, or one file of a hub repository
                (``owner/name/file``; docs/PUBLISHED_ADAPTERS.md).
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            dtype: ``auto``, ``float32``, ``bfloat16``, ``float16``, or torch's own.
            base_config: for a single file, the diffusers folder or hub id whose configs and tokenizer go with it.
            controlnets: others beside FFRNet, folders or hub ids; a call gives them ``control_images``.
            face_encoder: E_f, an ArcFace-style ONNX file; None is mini's.
            image_encoder: E_c for FaceID-Plus, a transformers folder; None is mini's.
            offload: where weights lie between their turns, for models larger than the accelerator's memory: ``none``
                (all of them on the accelerator), ``model``, ``sequential``, ``group`` (docs/USING.md).

        Raises:
            AdapterError: base, adapter or ControlNet is missing or damaged, or they don't fit each other.
            EncoderMismatchError: the adapter was trained with other encoders than those at hand.
            UsageError: no such device, dtype or offload; offloading from the CPU; ControlNets with an adapter that
                works without.
            MissingExtraError: an ONNX file needs onnxruntime, FaceID needs peft, offloading needs accelerate.
        """
        where = choose_device(device)
        return cls(
            *load_parts(
                *(base, adapter, where, dtype),
                base_config=base_config,
                controlnets=controlnets,
                face_encoder=face_encoder,
                image_encoder=image_encoder,
                offload=offload,
            )
        )

    @classmethod
    def from_pipe(
        cls,
        pipeline: Any,
        adapter: str | Path | None = None,
        *,
        face_encoder: str | Path | None = None,
        image_encoder: str | Path | None = None,
    ) -> FaceSnap:
        """Attach an adapter to a Stable Diffusion pipeline that is already there, with all that is set on it.

        The two pipelines share their components. With an adapter of FaceSnap's own none of them changes, and the one
        given goes on working; a published adapter changes their UNet, until ``snap.adapter.adapter.detach(pipeline)``.

        Args:
            pipeline: a stock diffusers pipeline of Stable Diffusion or SDXL, of any road, with ControlNets or without.
                Offload it afterwards, by ``snap.pipeline``.
            adapter: as in :meth:`from_pretrained`; None takes the embedded one.
            face_encoder: the same.
            image_encoder: the same.

        Raises:
            AdapterError: not such a pipeline, or the adapter doesn't fit it.
            EncoderMismatchError: the adapter was trained with other encoders than those at hand.
            UsageError: the pipeline is offloaded, or has something beside which a published adapter doesn't work.
            MissingExtraError: an ONNX file needs onnxruntime, FaceID needs peft.
        """
        return cls(*parts_around(pipeline, adapter, face_encoder=face_encoder, image_encoder=image_encoder))

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write the adapter to a folder that :meth:`from_pretrained` takes as ``adapter`` (docs/ADAPTERS.md).

        Args:
            folder: where to; a model card in it is brought up to date, but for what was written below its marks.
            dtype: what the weights are stored as; None keeps theirs.

        Raises:
            UsageError: it is a published adapter, which stays where it is; or its weights are offloaded in a way that
                leaves nothing to save.
            OutputError: the folder can't be written.
        """
        if not isinstance(self.adapter, MixerAdapter):
            raise UsageError("only adapters of FaceSnap's own are saved: a published one stays where it is")
        save_adapter(folder, self.pipeline.ffrnet, self.adapter.mixer, self.adapter.config, dtype)

    def compile(self, **options: Any) -> int:
        """Compile the blocks of UNet and FFRNet in place, for a card; see
        :func:`facesnap.pipelines.loading.compiling.compile_blocks`. The next picture takes longer.
        """
        return compile_blocks(self.pipeline, **options)

    @property
    def predictor(self) -> LandmarkPredictor:
        """The Landmark Predictor."""
        return self.analyser.predictor

    @property
    def default_steps(self) -> int:
        """Denoising steps of a call that doesn't say how many."""
        return int(self.defaults["num_inference_steps"])

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
            UsageError: several people, or a place that can't be.
        """
        people = everyone(identity, pose)
        if len(people) > 1:
            raise UsageError(f"conditions are of one person, not {len(people)}: ask for each subject's")
        subject = people[0]
        subject.identity.check(self.analyser.encoders)
        asked = self.pose_of(subject.identity, subject.pose)
        place = execution_device(self.pipeline)
        return Conditions.of(subject, asked, size or self.size(), self.adapter, self.predictor, controls, place)

    def __call__(
        self,
        prompt: str | Sequence[str] | None,
        identity: Identity | Subject | Sequence[Subject],
        pose: Pose | ImageSource | None = None,
        *,
        negative_prompt: str | Sequence[str] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        seed: int | Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_images_per_prompt: int = 1,
        width: int | None = None,
        height: int | None = None,
        image: ImageSource | None = None,
        mask_image: ImageSource | None = None,
        strength: float | None = None,
        control_images: Sequence[ImageSource] = (),
        control_scales: Sequence[float] | None = None,
        carry: Collection[str] = CARRIED,
        speed: str | Savings = "exact",
        long_prompts: bool = False,
        small_faces: SmallFaces | bool = False,
        callback_on_step_end: Any = None,
        output_type: str = "pil",
        **options: Any,
    ) -> Result:
        """Make portraits.

        Args:
            prompt: what the portrait shows; several prompts give pictures of each. None where ``prompt_embeds`` are
                given among the options.
            identity: who, from :meth:`enroll` or :meth:`Identity.load`; for several people in one picture, a list of
                :class:`Subject`.
            pose: a Pose, a driving photo, or None for the reference's own; see :meth:`pose_of`. Where a call starts
                from an ``image``, None is the pose of the face found there, in its place.
            negative_prompt: what it should not show; one for all, or one per prompt.
            num_inference_steps: None takes the adapter's default.
            guidance_scale: the same.
            seed: of the first picture; picture i has ``seed + i``. A list has one per picture. None draws one.
            generator: in place of a seed, as in diffusers: one, or a list of one per picture.
            num_images_per_prompt: how many pictures of each prompt.
            width: in pixels, a multiple of the VAE's factor; what isn't given is the base's own, or follows the image's
                proportions (see :meth:`size_for`).
            height: the same.
            image: a picture to start from (img2img).
            mask_image: what of it is made anew (inpainting): a picture of the same proportions that is white there,
                ``"face"``, or ``"background"`` (all but the faces in it). The rest stays as it was.
            strength: how much of the image is lost to noise, from 0 to 1; None is 0.8, with a mask 1.
            control_images: one per ControlNet beside FFRNet, in their order.
            control_scales: their weights; None is 1 each.
            carry: what of the reference is said where the prompt is silent of it, see :meth:`full_prompt`.
            speed: ``exact``, ``balanced``, ``fast``, or :class:`Savings` of one's own (docs/PERFORMANCE.md).
            long_prompts: encode prompts longer than the text encoder takes in pieces.
            small_faces: make faces that are small in the picture anew, larger, in a second pass.
            callback_on_step_end: as in diffusers; it is given the pipeline of this call, and called in a second pass,
                too.
            output_type: as in diffusers.
            options: the knobs of :class:`FaceControls` (``identity_scale``, ``landmark_scale`` ...), and anything else
                that the diffusers pipeline takes.

        Raises:
            PromptError: an empty prompt, or one longer than the text encoder takes.
            EncoderMismatchError: the identity was made with other encoders.
            UsageError: a size, seed, place, speed or option that can't be, or something to carry that isn't known.
            NoFaceError: a mask by name, and no face in the image.
        """
        controls, stock = take_controls(options)
        check_source(image, mask_image, strength)
        check_control_images(control_images, control_scales)
        texts = take_texts(self.pipeline, prompt, negative_prompt, stock, long_prompts)
        noise = noise_of(seed, generator, num_images_per_prompt, len(texts))
        people = everyone(identity, pose)
        self.adapter.check_controls(controls, posed=any(person.pose is not None for person in people))
        savings = take_speed(speed, self.adapter)
        check_blind(self.adapter, image, small_faces, control_images or control_scales)
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        stock = merged(self.defaults, stock, given)
        steps = steps_of(stock)
        opened = None
        if image is not None:
            picture = load_image(image)
            opened = Opened.of(picture, self.size_for(picture, width, height), people, self.analyser)
            people = opened.posed(people)
        size = self.size(width, height) if opened is None else opened.size
        people = [replace(person, pose=self.pose_of(person.identity, person.pose)) for person in people]
        conditions = [self.conditions(person, None, size, controls) for person in people]
        asked = [each.landmarks for each in conditions]
        source = None if opened is None else opened.source(mask_image, strength, asked)
        if source is not None:
            check_strength(source.strength, steps)
        check_options(road_class(self.pipeline, source), {**stock, "output_type": output_type}, self.adapter.sets)
        job = Job(
            texts=replace(
                texts, prompts=[self.full_prompt(each, people, carry, texts.long_prompts) for each in texts.prompts]
            ),
            conditions=conditions,
            adapter=self.adapter,
            controls=controls,
            savings=savings,
            noise=noise,
            source=source,
            control_images=control_images,
            control_scales=control_scales,
            options={**stock, "callback_on_step_end": callback_on_step_end, "output_type": output_type},
        )
        images, interrupted = sample(self.pipeline, job)
        closer = SmallFaces() if small_faces is True else small_faces or None
        if closer is not None and not interrupted:
            images = second_pass(self.pipeline, job, images, min(self.size()), closer)
        return outcome(
            self,
            job,
            images,
            texts.prompts,
            negative_prompt,
            people,
            carry=carry,
            image=None if opened is None else opened.picture,
            mask_image=mask_image,
            small_faces=closer,
        )

    def many(self, portraits: Sequence[Portrait], **settings: Any) -> list[Result]:
        """Portraits of several people at once, each in a picture of their own: see
        :func:`facesnap.pipelines.passes.many.paint`.
        """
        return paint(self, portraits, **settings)

    def full_prompt(
        self,
        prompt: str,
        identity: Identity | Sequence[Subject],
        carry: Collection[str] = CARRIED,
        long_prompts: bool = False,
    ) -> str:
        """What the base is told: the prompt, and the reference's hair and beard where it says nothing of them.

        Args:
            prompt: of the call.
            identity: of the person; of several people in one picture nothing is said, since words don't know whose
                they are.
            carry: out of :data:`~facesnap.pipelines.call.prompts.CARRIED`; none of them leaves every prompt as it is.
            long_prompts: whether more may be said than the text encoder takes at once.

        Raises:
            UsageError: something else to carry.
        """
        check_carry(carry)
        reader, people = self.analyser.looks, everyone(identity)
        if reader is None or not carry or len(people) > 1:
            return prompt
        longer = with_looks(prompt, reader.read(people[0].identity.appearance), carry)
        with TOKENIZING:
            return longer if fits(self.pipeline, longer, long_prompts) else prompt

    def size(self, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """(width, height) of a call in pixels; what isn't given is the base's own. UsageError if it can't be."""
        factor = self.pipeline.vae_scale_factor
        own = self.pipeline.unet.config.sample_size or 0  # a base that doesn't say is asked for no size of its own
        own_height, own_width = (own, own) if isinstance(own, int) else own
        size = (
            own_width * factor if width is None else whole("width", width),
            own_height * factor if height is None else whole("height", height),
        )
        if any(side < 8 * factor or side % factor for side in size):
            raise UsageError(f"width and height must be multiples of {factor}, from {8 * factor} on, not {size}")
        return size

    def size_for(self, image: ImageSource, width: int | None = None, height: int | None = None) -> tuple[int, int]:
        """(width, height) of what a call makes of an ``image``, in pixels: regions refer to it.

        With neither side given it has the image's proportions and about the base's own area; with one, the other
        follows from the proportions; with both, the image is cut to them around its middle.

        Raises:
            ImageError: not a picture. UsageError: a size that can't be.
        """
        self.size(width, height)
        like = size_like(load_image(image), self.size(), self.pipeline.vae_scale_factor, width, height)
        return self.size(*like)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """First 12 hex digits of the SHA-256 of each part's weights, as loaded from disk."""
        return {name: sha256_12(path) for name, path in self._sources.items()}

    @property
    def defaults(self) -> dict[str, Any]:
        """Settings of a call that doesn't say, by diffusers' names."""
        return {**DEFAULTS, **self.adapter.defaults}
