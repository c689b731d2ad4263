"""Options that several commands share, so that they are named and explained once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facesnap.core.errors import UsageError

if TYPE_CHECKING:
    from facesnap.core.pose import Pose

_POSE = "Pose and expression"
MODEL = "Model"

Face = Annotated[
    int | None, typer.Option("--face", min=0, help="Which face, where a photo shows several: 0 is the largest.")
]
PoseFrom = Annotated[
    Path | None,
    typer.Option(
        "--pose-from",
        metavar="PHOTO|JSON",
        rich_help_panel=_POSE,
        help="Take pose and expression from this photo (anyone's), or the expression from ARKit's blendshapes.",
    ),
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
Gaze = Annotated[
    str | None,
    typer.Option(
        "--gaze",
        metavar="YAW,PITCH",
        rich_help_panel=_POSE,
        help="Of the eyes in the head, degrees; --yaw 20 --gaze -20,0 asks for a look into the camera. Lids follow.",
    ),
]
FaceScale = Annotated[
    float | None,
    typer.Option("--face-scale", rich_help_panel=_POSE, help="Height of the face, as a share of the picture (0.53)."),
]
FaceCentre = Annotated[
    str | None,
    typer.Option("--face-centre", metavar="X,Y", rich_help_panel=_POSE, help="Its middle, as shares (0.5,0.515)."),
]
Base = Annotated[
    str,
    typer.Option("--base", rich_help_panel=MODEL, help="mini, a folder, a hub id, or a .safetensors file."),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        rich_help_panel=MODEL,
        help="Adapter of another base than mini: FaceSnap's, InstantID's, FaceID's; a folder, file or hub id.",
    ),
]
BaseConfig = Annotated[
    str | None,
    typer.Option(
        "--base-config",
        metavar="FOLDER|HUB_ID",
        rich_help_panel=MODEL,
        help="Whose configs and tokenizer go with a single file as base, where none are found.",
    ),
]
FaceEncoder = Annotated[
    Path | None,
    typer.Option("--face-encoder", rich_help_panel=MODEL, help="E_f of the adapter, an ArcFace ONNX file."),
]
ImageEncoder = Annotated[
    Path | None,
    typer.Option("--image-encoder", rich_help_panel=MODEL, help="E_c of FaceID-Plus, a CLIP vision folder."),
]
Carry = Annotated[
    str,
    typer.Option(
        "--carry",
        metavar="hair,beard|none",
        help="What of the reference is kept where the prompt says nothing of it.",
    ),
]
Device = Annotated[str, typer.Option("--device", rich_help_panel=MODEL, help="auto, cpu, cuda or mps.")]
DType = Annotated[str, typer.Option("--dtype", rich_help_panel=MODEL, help="auto, float32, bfloat16 or float16.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@dataclass
class Posed:
    """Every way to say a pose."""

    pose_from: PoseFrom = None
    yaw: Yaw = None
    pitch: Pitch = None
    roll: Roll = None
    expression: Expression = None
    gaze: Gaze = None
    face_scale: FaceScale = None
    face_centre: FaceCentre = None

    def parse(self) -> Pose | Path | None:
        """A pose, a driving photo (read once), or None; see :func:`parse_pose` for errors."""
        spelled = {name: value for name, value in vars(self).items() if name != "pose_from"}
        pose = parse_pose(self.pose_from, **spelled)
        if pose is None:
            check_photos(self.pose_from)
        return pose or self.pose_from


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


def parse_pair(option: str, words: str | None) -> tuple[float, float] | None:
    """``"10,-5"`` as two numbers.

    Raises:
        UsageError: something else.
    """
    if words is None:
        return None
    try:
        first, second = (float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"{option} {words}: write two numbers, for example {option} 0.5,0.5") from None
    return first, second


def parse_pose(
    pose_from: Path | None,
    *,
    yaw: float | None = None,
    pitch: float | None = None,
    roll: float | None = None,
    expression: list[str] | None = None,
    gaze: str | None = None,
    face_scale: float | None = None,
    face_centre: str | None = None,
) -> Pose | None:
    """The pose that the options spell out, or None when they don't (a photo as ``--pose-from``, or no option at all).

    Raises:
        UsageError: a photo as ``--pose-from`` beside a spelled-out pose, two sources of the expression, an unknown
            expression, a value out of its range.
        InputError: blendshapes that can't be read.
    """
    pairs = {"gaze": parse_pair("--gaze", gaze), "centre": parse_pair("--face-centre", face_centre)}
    said: dict[str, Any] = {"yaw": yaw, "pitch": pitch, "roll": roll, "scale": face_scale, **pairs}
    said = {name: value for name, value in said.items() if value is not None}
    if expression:
        said["expression"] = parse_expression(expression)
    from_json = pose_from is not None and pose_from.suffix.lower() == ".json"
    if not said and not from_json:
        return None
    if pose_from is not None and not from_json:
        raise UsageError("--pose-from sets pose and expression: leave out the options that spell a pose out")
    from facesnap.core.arkit import blendshapes
    from facesnap.core.pose import Pose

    if pose_from is not None:
        if "expression" in said:
            raise UsageError(f"{pose_from.name} says the expression: leave out --expression")
        read = blendshapes(pose_from)
        looks = {} if "gaze" not in said else {name for name in read if name.startswith("eyeLook")}
        said["expression"] = {name: weight for name, weight in read.items() if name not in looks}
    return Pose(**said)


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
