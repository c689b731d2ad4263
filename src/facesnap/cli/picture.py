"""What a picture is made with: sampling, and the picture it starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from facesnap.cli import options
from facesnap.core.errors import UsageError

_PANEL = "Sampling"
_START = "From a picture"


@dataclass
class Sampling:
    """Steps, guidance, seed, size."""

    negative_prompt: Annotated[
        str, typer.Option("--negative-prompt", rich_help_panel=_PANEL, help="What it should not show.")
    ] = ""
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, max=1000, rich_help_panel=_PANEL, help="Denoising steps.")
    ] = None
    guidance: Annotated[
        float | None, typer.Option("--guidance", min=0, rich_help_panel=_PANEL, help="Guidance scale of the prompt.")
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, rich_help_panel=_PANEL, help="The same seed gives the same files; default: drawn."
        ),
    ] = None
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=1000, rich_help_panel=_PANEL, help="How many portraits.")
    ] = 1
    width: Annotated[
        int | None, typer.Option("--width", min=64, rich_help_panel=_PANEL, help="Pixels; default: the model's own.")
    ] = None
    height: Annotated[int | None, typer.Option("--height", min=64, rich_help_panel=_PANEL, help="Pixels.")] = None
    small_faces: Annotated[
        bool,
        typer.Option("--small-faces", rich_help_panel=_PANEL, help="Make small faces anew, afterwards."),
    ] = False
    speed: Annotated[
        str,
        typer.Option(
            "--speed", metavar="exact|balanced|fast", rich_help_panel=_PANEL, help="How much work is left out."
        ),
    ] = "exact"
    long_prompts: Annotated[
        bool, typer.Option("--long-prompts", rich_help_panel=_PANEL, help="Encode longer prompts in pieces.")
    ] = False

    def call(self) -> dict[str, Any]:
        """What a call is given of these."""
        return {
            "negative_prompt": self.negative_prompt,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "seed": self.seed,
            "num_images_per_prompt": self.count,
            "width": self.width,
            "height": self.height,
            "speed": self.speed,
            "small_faces": self.small_faces,
            "long_prompts": self.long_prompts,
        }


@dataclass
class Start:
    """The picture it starts from, and what becomes of it."""

    image: Annotated[
        Path | None,
        typer.Option("--image", rich_help_panel=_START, help="A picture to start from; its face drives, in its place."),
    ] = None
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask", metavar="PICTURE|face|background", rich_help_panel=_START, help="What of it is made anew: white."
        ),
    ] = None
    strength: Annotated[
        float | None,
        typer.Option("--strength", rich_help_panel=_START, help="How much of it is lost to noise: 0.8; masked 1."),
    ] = None

    def check(self) -> None:
        """Refuse, before any model is loaded, what can't be.

        Raises:
            UsageError: a mask or strength without an image, or a strength out of its range.
            ImageError: a picture that can't be read.
        """
        mask = self.call()["mask_image"]
        for option, given in (("--mask", mask), ("--strength", self.strength)):
            if self.image is None and given is not None:
                raise UsageError(f"{option} says what becomes of a picture: give --image, too")
        options.check_photos(self.image, mask if isinstance(mask, Path) else None)
        if mask is not None or self.strength is not None:
            from facesnap.pipelines.call.start import check_source

            check_source(self.image, mask, self.strength)

    def call(self) -> dict[str, Any]:
        """What a call is given of these."""
        mask = Path(self.mask) if self.mask and self.mask not in ("face", "background") else self.mask
        return {"image": self.image, "mask_image": mask, "strength": self.strength}

    def steps_of(self, steps: int) -> int:
        """How many of the steps are taken: from a picture, those that its noise is for."""
        if self.image is None:
            return steps
        from facesnap.pipelines.call.start import strength_of

        return max(1, min(steps, int(steps * strength_of(self.strength, bool(self.mask)))))
