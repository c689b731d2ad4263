"""What every base's binding shares: FaceSnap around a stock ControlNet pipeline, whose loop stays as it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from facesnap.core.errors import AdapterError, UsageError
from facesnap.models.controls import ALWAYS, FaceControls, Window, is_open
from facesnap.models.ffrnet import FFRNet
from facesnap.models.held import FaceInPicture
from facesnap.models.recall import saving
from facesnap.models.savings import Savings

# A saved pipeline's ControlNets; diffusers loads a component of ours only from a module that is already imported.
from facesnap.models.several import FaceControlNets as FaceControlNets

if TYPE_CHECKING:
    from torch import Tensor

    from facesnap.models.mixer import FacialAttributeMixer

Callback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


class FaceBinding:
    """Put before a stock ControlNet pipeline whose ``controlnet`` is an FFRNet, alone or among others.

    Every component is registered with the pipeline, FFRNet and mixer among them, so that diffusers' own saving,
    offloading and casting include them. Nothing of the base is changed.
    """

    controlnet: Any
    unet: Any
    mixer: FacialAttributeMixer | None
    _optional_components: list[str]
    num_timesteps: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls._stock_call() is not None:
            stock: Any = cls
            cls._optional_components = [*stock._optional_components, "mixer"]
            cls.__call__ = cls._call_with_signature()  # type: ignore[method-assign]

    @property
    def nets(self) -> list[Any]:
        """The pipeline's ControlNets in their order; one of them is the FFRNet."""
        return list(getattr(self.controlnet, "nets", [self.controlnet]))

    @property
    def ffrnet(self) -> FFRNet:
        """The pipeline's FFRNet."""
        for net in self.nets:
            if isinstance(net, FFRNet):
                return net
        raise AdapterError("this pipeline has no FFRNet: load it with an adapter")

    def call_with_faces(
        self,
        *,
        prompt: str | Sequence[str] | None = None,
        face_tokens: Tensor | None = None,
        null_tokens: Tensor | None = None,
        faces: Sequence[FaceInPicture] = (),
        controls: FaceControls | None = None,
        savings: Savings | None = None,
        num_images_per_prompt: int = 1,
        callback_on_step_end: Callback | PipelineCallback | MultiPipelineCallbacks | None = None,
        **options: Any,
    ) -> Any:
        """The stock pipeline's call, in one pass, with one face or several.

        Args:
            prompt: as in the stock pipeline; its control image (among the options) is the landmark map.
            face_tokens: ``f_mix`` (1 or prompts, N, W) of the mixer.
            null_tokens: (1, N, W) for the unguided half.
            faces: in place of the tokens: everyone in the picture.
            controls: windows, levels and the map's strength, see :class:`FaceControls`.
            savings: work that is left out, see :class:`Savings`; None leaves out what changes nothing.
            num_images_per_prompt: as in the stock pipeline.
            callback_on_step_end: as there.
            options: everything else that the stock pipeline takes, by name.

        Raises:
            UsageError: neither ``face_tokens`` nor ``faces``, or both; a saving that a compiled UNet can't make.
        """
        if (face_tokens is None) == (not faces):
            raise UsageError("give either face_tokens or faces")
        if face_tokens is not None:
            prompts = _prompts(prompt, options.get("prompt_embeds"))
            faces = [FaceInPicture(face_tokens.expand(prompts, -1, -1), null_tokens)]
        clock, savings = _Clock(self, callback_on_step_end), savings or Savings()
        windows = controls is not None and controls.timed
        if windows or savings.timed:
            if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
                options["callback_on_step_end_tensor_inputs"] = callback_on_step_end.tensor_inputs
            callback_on_step_end = clock.tick
            # Without a mixer the UNet reads the face's tokens, too; with one, an IP-Adapter there is the user's own.
            if controls is not None and controls.identity_window != ALWAYS and self.mixer is None:
                clock.decoupled = _DecoupledAttention(options, controls.identity_window)
                options["cross_attention_kwargs"] = clock.decoupled.options
        with (
            self.ffrnet.attend_to_all(faces, num_images_per_prompt, controls, clock.step, savings) as held,
            saving(self.unet, savings, held.images, clock.step),
        ):
            return self._stock_call()(
                self,
                prompt=prompt,
                num_images_per_prompt=num_images_per_prompt,
                callback_on_step_end=callback_on_step_end,
                **options,
            )

    @classmethod
    def _stock_call(cls) -> Any:
        """``__call__`` of the stock pipeline behind this class; None for a class without one."""
        stock = (base.__dict__.get("__call__") for base in cls.__mro__ if not issubclass(base, FaceBinding))
        return next(filter(None, stock), None)

    @classmethod
    def _call_with_signature(cls) -> Callable[..., Any]:
        """``__call__``: :meth:`call_with_faces` under the stock call's names and order, plus our own by name.

        Who inspects a pipeline (diffusers' tests, interfaces, completion) sees what it takes.
        """
        stock = inspect.signature(cls._stock_call())
        ours = inspect.signature(FaceBinding.call_with_faces).parameters.values()
        named = [p for p in stock.parameters.values() if p.kind is not p.VAR_KEYWORD]
        added = [p for p in ours if p.kind is p.KEYWORD_ONLY and p.name not in stock.parameters]
        merged = inspect.Signature([*named, *added])

        def __call__(self: FaceBinding, *args: Any, **kwargs: Any) -> Any:
            given = merged.bind(self, *args, **kwargs).arguments
            given.pop("self")
            return self.call_with_faces(**given)

        __call__.__signature__ = merged  # type: ignore[attr-defined]
        __call__.__doc__ = FaceBinding.call_with_faces.__doc__
        return __call__


class _Clock:
    """Which step a pipeline is at: told by its own callback, since a ControlNet only sees the timestep."""

    def __init__(self, pipeline: FaceBinding, callback: Any) -> None:
        self.pipeline, self.callback, self.index = pipeline, callback, 0
        self.decoupled: _DecoupledAttention | None = None

    def step(self) -> tuple[int, int]:
        """(step, steps). FFRNet asks for it at the beginning of each step, before the UNet runs."""
        now = self.index, int(self.pipeline.num_timesteps)
        if self.decoupled is not None:
            self.decoupled.at(now)
        return now

    def tick(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """At the end of a step."""
        self.index = step + 1
        return {} if self.callback is None else dict(self.callback(pipeline, step, timestep, tensors) or {})


class _DecoupledAttention:
    """A published adapter's attention to the face in the UNet, which is silent outside of the identity's window.

    It is silenced by masks that are zero everywhere. They belong to the call, while the attention's scale belongs to
    the UNet and so to everyone who uses it.

    Args:
        options: of the stock pipeline's call, ``ip_adapter_image_embeds`` (each (rows, faces, N, W)) among them.
        window: shares of the steps between which it acts.
    """

    def __init__(self, options: dict[str, Any], window: Window) -> None:
        self.options: dict[str, Any] = dict(options.get("cross_attention_kwargs") or {})
        self.window, self.given = window, self.options.get("ip_adapter_masks")
        size = options.get("height") or 64, options.get("width") or 64
        self.silence = [torch.zeros(1, each.shape[1], *size) for each in options["ip_adapter_image_embeds"]]

    def at(self, now: tuple[int, int]) -> None:
        """Set the masks of step ``(step, steps)`` in the dictionary that the pipeline hands to its UNet."""
        masks = self.given if is_open(self.window, *now) else self.silence
        if masks is None:
            self.options.pop("ip_adapter_masks", None)
        else:
            self.options["ip_adapter_masks"] = masks


def stock_options(pipeline: Any) -> set[str]:
    """Names of what the call of a stock pipeline (or its class) takes, be it ours around it or itself."""
    kind = pipeline if isinstance(pipeline, type) else type(pipeline)
    call = kind._stock_call() if issubclass(kind, FaceBinding) else kind.__call__
    return set(inspect.signature(call).parameters) - {"self", "kwargs"}


def execution_device(pipeline: Any) -> torch.device:
    """Where a pipeline computes, offloaded or not."""
    return torch.device(pipeline._execution_device)


def _prompts(prompt: str | Sequence[str] | None, embeddings: Tensor | None) -> int:
    if prompt is None:
        return 1 if embeddings is None else len(embeddings)
    return 1 if isinstance(prompt, str) else len(prompt)
