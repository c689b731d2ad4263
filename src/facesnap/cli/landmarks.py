"""``facesnap landmarks``: the 72 landmarks of a photo, in its own or another pose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facesnap.cli import console, options
from facesnap.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from facesnap.core.pose import Pose


def landmarks(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Whose face shape.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")],
    face: options.Face = None,
    pose_from: options.PoseFrom = None,
    yaw: options.Yaw = None,
    pitch: options.Pitch = None,
    roll: options.Roll = None,
    expression: options.Expression = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw on the photo; only in its own pose.")] = False,
    size: Annotated[int, typer.Option("--size", min=64, max=4096, help="Side of the map in another pose.")] = 512,
    as_json: options.Json = False,
) -> None:
    """Draw the landmark map: of the photo as it is, or of its face in another pose and expression.

    The map is what FFRNet will be asked to follow, so it can be looked at before any sampling; without pose options
    it keeps the photo's own framing, though, where `generate` uses its default composition.
    """
    asked = options.parse_pose(pose_from, yaw, pitch, roll, expression) or pose_from
    if overlay and asked is not None:
        raise UsageError("--overlay draws on the photo itself: leave out the options that change the pose")
    console.check_file(output, endings=(".png",))
    options.check_photos(photo, pose_from)
    from facesnap.core.images import save_png
    from facesnap.landmarks.draw import draw_landmarks
    from facesnap.landmarks.draw import overlay as draw_on
    from facesnap.pipelines.conditions import Analyser

    analyser = Analyser.from_pretrained()
    reading = analyser.read(photo, face)
    points, shown = reading.fitted.landmarks2d, reading.fitted.pose
    width, height = reading.image.shape[1], reading.image.shape[0]
    if asked is not None:  # in the default composition, as `generate` draws it
        shown = analyser.pose_from(asked) if isinstance(asked, Path) else asked
        width = height = size
        points = analyser.predictor.predict(reading.fitted.shape, shown, (width, height))
    picture = draw_on(reading.image, points) if overlay else draw_landmarks(points, (width, height))
    save_png(output, picture)
    console.result({"map": str(output), **_plain(points, shown)}, f"{output}\n  {_in_words(shown)}", as_json)


def _plain(points: np.ndarray, pose: Pose) -> dict[str, Any]:
    angles = {name: round(getattr(pose, name), 2) for name in ("yaw", "pitch", "roll")}
    expression = {name: round(float(weight), 3) for name, weight in pose.expression.items()}
    return {**angles, "expression": expression, "landmarks": points.round(2).tolist()}


def _in_words(pose: Pose) -> str:
    """Angles and the strongest expressions, on one line."""
    strongest = sorted(pose.expression.items(), key=lambda item: -item[1])[:4]
    words = [f"{name} {getattr(pose, name):.0f}" for name in ("yaw", "pitch", "roll")]
    return ", ".join([*words, *(f"{name} {weight:.2f}" for name, weight in strongest if weight >= 0.05)])
