"""Which model draws: base, adapter and encoders, what else is put onto it, and where it computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facesnap.cli import options
from facesnap.core.errors import UsageError

if TYPE_CHECKING:
    from facesnap.pipelines.facade import FaceSnap
    from facesnap.pipelines.loading.choice import ModelChoice

_PANEL = options.MODEL


@dataclass
class Networks:
    """Base, adapter, encoders; LoRAs, scheduler; device."""

    base: options.Base = "mini"
    adapter: options.Adapter = None
    base_config: options.BaseConfig = None
    face_encoder: options.FaceEncoder = None
    image_encoder: options.ImageEncoder = None
    lora: Annotated[
        list[str] | None,
        typer.Option(
            "--lora",
            metavar="FILE[=WEIGHT]",
            rich_help_panel=_PANEL,
            help="A LoRA on the base; several times for several.",
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="NAME", rich_help_panel=_PANEL, help="Diffusers' name of another sampler."),
    ] = None
    device: options.Device = "auto"
    dtype: options.DType = "auto"
    offload: Annotated[
        str,
        typer.Option(
            "--offload",
            metavar="none|model|sequential|group",
            rich_help_panel=_PANEL,
            help="Keep weights on the CPU while they rest, for models larger than the card's memory.",
        ),
    ] = "none"

    def check(self) -> None:
        """Refuse, before anything is loaded, what can be told to be wrong.

        Raises:
            UsageError: no number as weight, an unknown scheduler.
            AdapterError: no such base, adapter or LoRA.
            MissingExtraError: LoRAs need peft.
        """
        options.check_model(self.base, self.adapter)
        loras = [_parse_lora(words) for words in self.lora or []]
        if loras or self.scheduler is not None:
            from facesnap.pipelines.loading.customise import check_loras, find_scheduler

            check_loras([file for file, _ in loras])
            if self.scheduler is not None:
                find_scheduler(self.scheduler)

    def choice(self) -> ModelChoice:
        """What is to be loaded."""
        from facesnap.pipelines.loading.choice import ModelChoice

        return ModelChoice(
            base=self.base,
            adapter=self.adapter,
            dtype=self.dtype,
            base_config=self.base_config,
            face_encoder=None if self.face_encoder is None else str(self.face_encoder),
            image_encoder=None if self.image_encoder is None else str(self.image_encoder),
            offload=self.offload,
            loras=tuple((str(file), weight) for file, weight in map(_parse_lora, self.lora or [])),
            scheduler=self.scheduler,
        )

    def load(self) -> FaceSnap:
        """The model, with all that is set on it; see :meth:`FaceSnap.from_pretrained` for errors."""
        return self.choice().load(self.device)


@dataclass
class Model(Networks):
    """The same, and other ControlNets beside FFRNet."""

    controlnet: Annotated[
        list[str] | None,
        typer.Option(
            "--controlnet",
            metavar="FOLDER|HUB_ID",
            rich_help_panel=_PANEL,
            help="Another one, beside FFRNet; repeatable.",
        ),
    ] = None
    control_image: Annotated[
        list[Path] | None,
        typer.Option("--control-image", rich_help_panel=_PANEL, help="What a --controlnet is shown, in their order."),
    ] = None
    control_scale: Annotated[
        list[float] | None,
        typer.Option("--control-scale", rich_help_panel=_PANEL, help="Its weight (1), in the same order."),
    ] = None

    def check(self) -> None:
        """The same.

        Raises:
            UsageError: not as many control images or scales as ControlNets. And what is wrong with the rest.
            ImageError: a control image that can't be read.
        """
        nets, images, scales = self.controlnet or [], self.control_image or [], self.control_scale or []
        if len(images) != len(nets):
            raise UsageError(f"{len(nets)} --controlnet and {len(images)} --control-image: give each an image")
        if scales and len(scales) != len(nets):
            raise UsageError(f"{len(nets)} --controlnet and {len(scales)} --control-scale: give each a weight, or none")
        super().check()
        options.check_photos(*images)

    def choice(self) -> ModelChoice:
        """The same."""
        return replace(super().choice(), controlnets=tuple(self.controlnet or ()))

    def call(self) -> dict[str, Any]:
        """What a call is given of these."""
        return {"control_images": self.control_image or (), "control_scales": self.control_scale}


def _parse_lora(words: str) -> tuple[Path, float]:
    """``style.safetensors=0.7``; a file alone (whose name may hold a =) has the weight 1."""
    if Path(words).is_file():
        return Path(words), 1.0
    file, equals, weight = words.rpartition("=")
    if not equals:
        return Path(words), 1.0
    try:
        return Path(file), float(weight)
    except ValueError:
        raise UsageError(f"--lora {words}: {weight!r} is not a number; write for example {file}=0.7") from None
