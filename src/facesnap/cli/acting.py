"""How the face acts on a picture: the knobs of ``FaceControls``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from facesnap.cli import options
from facesnap.core.errors import UsageError

_PANEL = "How the face acts"


@dataclass
class Acting:
    """Weights of person and landmarks, and when they count."""

    identity_scale: Annotated[
        float, typer.Option("--identity-scale", min=0, max=2, rich_help_panel=_PANEL, help="Weight of the person.")
    ] = 1.0
    identity_guidance: Annotated[
        float | None,
        typer.Option(
            "--identity-guidance", rich_help_panel=_PANEL, help="Share of the guidance that acts on the face, 0 to 1."
        ),
    ] = None
    landmark_scale: Annotated[
        float,
        typer.Option(
            "--landmark-scale", min=0, max=2, rich_help_panel=_PANEL, help="Weight of FFRNet: map and person together."
        ),
    ] = 1.0
    map_scale: Annotated[
        float,
        typer.Option("--map-scale", min=0, max=2, rich_help_panel=_PANEL, help="Strength of the landmark map alone."),
    ] = 1.0
    identity_window: Annotated[
        str | None,
        typer.Option(
            "--identity-window", metavar="A,B", rich_help_panel=_PANEL, help="The person acts from A to B of the steps."
        ),
    ] = None
    landmark_window: Annotated[
        str | None,
        typer.Option("--landmark-window", metavar="A,B", rich_help_panel=_PANEL, help="The same for the landmarks."),
    ] = None
    level_scales: Annotated[
        str | None,
        typer.Option(
            "--level-scales",
            metavar="A,B,...",
            rich_help_panel=_PANEL,
            help="Weights of FFRNet's levels, the finest first, the middle last.",
        ),
    ] = None
    abstract_scale: Annotated[
        float, typer.Option("--abstract-scale", min=0, rich_help_panel=_PANEL, help="Weight of f_id in the mixer.")
    ] = 1.0
    detail_scale: Annotated[
        float, typer.Option("--detail-scale", min=0, rich_help_panel=_PANEL, help="Weight of f_clip in the mixer.")
    ] = 1.0

    def call(self) -> dict[str, Any]:
        """What a call is given of these. UsageError for one that is no number, or out of its range."""
        from facesnap.models.controls import FaceControls

        scales = ("identity_scale", "landmark_scale", "map_scale", "abstract_scale", "detail_scale")
        knobs: dict[str, Any] = {name: getattr(self, name) for name in (*scales, "identity_guidance")}
        for name in ("identity_window", "landmark_window"):
            if (pair := options.parse_pair("--" + name.replace("_", "-"), getattr(self, name))) is not None:
                knobs[name] = pair
        if self.level_scales is not None:
            knobs["level_scales"] = _numbers("--level-scales", self.level_scales)
        FaceControls(**knobs)
        return knobs


def _numbers(option: str, words: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"{option} {words}: write numbers, for example {option} 1,0.5,0") from None
