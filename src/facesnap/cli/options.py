"""Options that several commands share, so that they are named and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facesnap.core.errors import UsageError

if TYPE_CHECKING:
    from facesnap.core.pose import Pose

_POSE = "Pose and expression"
_MODEL = "Model"

Face = Annotated[
    int | None, typer.Option("--face", min=0, help="Which face, where a photo shows several: 0 is the largest.")
]
PoseFrom = Annotated[
    Path | None,
    typer.Option("--pose-from", rich_help_panel=_POSE, help="Take pose and expression from this photo (anyone's)."),
]
Yaw = Annotated[
    float | None,
    typer.Option("--yaw", rich_help_panel=_POSE, help="Degrees; above 0 the person's left cheek comes forward."),
]
Pitch = Annotated[float | None, typer.Option("--pitch", rich_help_panel=_POSE, help="Degrees; above 0 looks up.")]
Roll = Annotated[
    float | None,
    typer.Option("--roll", rich_help_panel=_POSE, help="Degrees; above 0 tips to the person's left shoulder."),
]
Expression = Annotated[
    list[str] | None,
    typer.Option(
        "--expression",
        metavar="NAME=AMOUNT",
        rich_help_panel=_POSE,
        help="smile=0.8, surprise=1 ... or an ARKit name such as jawOpen=0.5. Can be given several times.",
    ),
]
Base = Annotated[
    str,
    typer.Option("--base", rich_help_panel=_MODEL, help="mini, a folder, a hub id, or a .safetensors file."),
]
Adapter = Annotated[
    str | None,
    typer.Option("--adapter", rich_help_panel=_MODEL, help="Adapter (FAM and FFRNet) for another base than mini."),
]
Carry = Annotated[
    str,
    typer.Option(
        "--carry",
        metavar="hair,beard|none",
        help="What of the reference is kept where the prompt says nothing of it.",
    ),
]
Device = Annotated[str, typer.Option("--device", rich_help_panel=_MODEL, help="auto, cpu, cuda or mps.")]
DType = Annotated[str, typer.Option("--dtype", rich_help_panel=_MODEL, help="auto, float32, bfloat16 or float16.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def parse_expression(words: list[str] | None) -> dict[str, float]:
    """``["smile=0.8", "jawOpen=0.2"]`` as a dictionary; a name alone means 1.

    Raises:
        UsageError: an amount that isn't a number.
    """
    weights: dict[str, float] = {}
    for word in words or []:
        name, _, amount = word.partition("=")
        try:
            weights[name.strip()] = float(amount or 1.0)
        except ValueError:
            raise UsageError(f"--expression {word}: {amount!r} is not a number; write for example smile=0.8") from None
    return weights


def parse_carry(words: str) -> tuple[str, ...]:
    """``"hair,beard"`` as a tuple; ``"none"`` is empty. What the words are is checked by the call."""
    return () if words.strip().lower() == "none" else tuple(word.strip() for word in words.split(",") if word.strip())


def wants_pose(yaw: float | None, pitch: float | None, roll: float | None, expression: list[str] | None) -> bool:
    """Whether any of the options that spell out a pose was given."""
    return any(angle is not None for angle in (yaw, pitch, roll)) or bool(expression)


def parse_pose(
    pose_from: Path | None,
    yaw: float | None,
    pitch: float | None,
    roll: float | None,
    expression: list[str] | None,
) -> Pose | None:
    """The pose that the options spell out, or None when they don't (``--pose-from``, or no option at all).

    Raises:
        UsageError: ``--pose-from`` beside a spelled-out pose, an unknown expression, a value out of its range.
    """
    if not wants_pose(yaw, pitch, roll, expression):
        return None
    if pose_from is not None:
        raise UsageError("--pose-from sets pose and expression: leave out --yaw, --pitch, --roll and --expression")
    from facesnap.core.pose import Pose

    return Pose(yaw or 0.0, pitch or 0.0, roll or 0.0, parse_expression(expression))


def check_model(base: str, adapter: str | None) -> None:
    """Refuse a base or an adapter that is neither a file, nor a folder, nor a hub id, before anything is loaded.

    Raises:
        AdapterError: there is no such base or adapter.
    """
    from facesnap.core.weights import find_local

    if base != "mini":
        find_local(base, "base model")
    if adapter is not None:
        find_local(adapter, "adapter")


def check_photos(*photos: Path | None) -> None:
    """Read each photo once, so that an unusable file is refused before any model is loaded.

    Raises:
        ImageError: a photo can't be read.
    """
    from facesnap.core.images import load_image

    for photo in photos:
        if photo is not None:
            load_image(photo)
