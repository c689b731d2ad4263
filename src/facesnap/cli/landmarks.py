"""``facesnap landmarks``: the 72 landmarks of a photo, in its own or another pose, or driven by a clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facesnap.cli import console, options
from facesnap.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from facesnap.core.pose import Pose
    from facesnap.landmarks.predict import LandmarkPredictor
    from facesnap.pipelines.analyser import Analyser, Reading

#: What the sweep shows: turns in degrees, and for each row an expression with its amount.
TURNS: Final = (-45, -30, -15, 0, 15, 30, 45)
MOODS: Final = ("neutral", "smile", "surprise", "anger", "wink")
CELL: Final = 160
#: Radius of a dot on the photo, as a share of the face's height.
DOT: Final = 0.012

SIZE_HELP = "Side of the map in another pose, in pixels."


def landmarks(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="Whose face shape.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write; with a clip, a folder of them.")],
    face: options.Face = None,
    pose_from: options.PoseFrom = None,
    yaw: options.Yaw = None,
    pitch: options.Pitch = None,
    roll: options.Roll = None,
    expression: options.Expression = None,
    gaze: options.Gaze = None,
    face_scale: options.FaceScale = None,
    face_centre: options.FaceCentre = None,
    overlay: Annotated[Path | None, typer.Option("--overlay", help="PNG: what was read, drawn on the photo.")] = None,
    sweep: Annotated[Path | None, typer.Option("--sweep", help="PNG: the face in many turns and expressions.")] = None,
    smoothing: Annotated[
        float | None, typer.Option("--smoothing", min=0, help="Of a clip's poses, in seconds; default 0.04.")
    ] = None,
    size: Annotated[int, typer.Option("--size", min=64, max=4096, help=SIZE_HELP)] = 512,
    as_json: options.Json = False,
) -> None:
    """Draw the landmark map: of the photo as it is, or of its face in another pose and expression.

    The map is what FFRNet will be asked to follow, so it can be looked at before any sampling; without pose options
    it keeps the photo's own framing, though, where `generate` uses its default composition. With a clip (or a folder of
    frames) as --pose-from, a map is drawn for each frame, and poses.json says how the head moves.
    """
    from facesnap.pipelines.video import check_clip, is_clip

    spelled: dict[str, Any] = {"yaw": yaw, "pitch": pitch, "roll": roll, "expression": expression, "gaze": gaze}
    asked = options.parse_pose(pose_from, **spelled, face_scale=face_scale, face_centre=face_centre)
    driver = None if asked else pose_from
    clip = driver if driver and is_clip(driver) else None
    if smoothing is not None and clip is None:
        raise UsageError("--smoothing is for clips: give one as --pose-from")
    pictures = {"--output": None if clip else output, "--overlay": overlay, "--sweep": sweep}
    named = {option: path for option, path in pictures.items() if path is not None}
    for option, path in named.items():
        console.check_file(path, option, (".png",))
    if len(set(named.values())) < len(named):
        raise UsageError(f"{', '.join(named)}: give each a file of its own")
    options.check_photos(photo, None if clip else driver)
    if clip:
        console.check_folder(output)
        frames = check_clip(clip)
    from facesnap.core.images import save_png
    from facesnap.landmarks.draw import draw_landmarks
    from facesnap.landmarks.draw import overlay as draw_on
    from facesnap.pipelines.analyser import Analyser

    analyser = Analyser.from_pretrained()
    reading = analyser.read(photo, face)
    shape = reading.fitted.shape
    if overlay:
        height = reading.fitted.box[3] - reading.fitted.box[1]
        save_png(overlay, draw_on(reading.image, reading.fitted.landmarks2d, max(1.0, DOT * height)))
    if sweep:
        save_png(sweep, _swept(analyser.predictor, shape))
    if clip:
        data, text = _follow(analyser, shape, clip, frames, output, size, smoothing)
    else:
        points, shown, sides = _placed(analyser, reading, asked or driver, size)
        save_png(output, draw_landmarks(points, sides))
        data = {"map": str(output), **_plain(points, shown)}
        text = f"{output}\n  {_in_words(shown)}"
    more = {name: str(path) for name, path in (("overlay", overlay), ("sweep", sweep)) if path}
    console.result({**data, **more}, "\n".join([text, *more.values()]), as_json)


def _placed(
    analyser: Analyser, reading: Reading, asked: Pose | Path | None, size: int
) -> tuple[np.ndarray, Pose, tuple[int, int]]:
    """Landmarks, their pose, and (width, height) of the map: the photo's own, or as `generate` draws a pose."""
    if asked is None:
        height, width = reading.image.shape[:2]
        return reading.fitted.landmarks2d, reading.fitted.pose, (width, height)
    pose = analyser.pose_from(asked) if isinstance(asked, Path) else asked
    return analyser.predictor.predict(reading.fitted.shape, pose, (size, size)), pose, (size, size)


def _swept(predictor: LandmarkPredictor, shape: np.ndarray) -> np.ndarray:
    """One face in every turn (columns) and mood (rows)."""
    import numpy as np

    from facesnap.core.pose import Pose

    rows = [[predictor.map(shape, Pose(yaw, expression={m: 1.0}), (CELL, CELL)) for yaw in TURNS] for m in MOODS]
    return np.vstack([np.hstack(row) for row in rows])


def _follow(
    analyser: Analyser, shape: np.ndarray, clip: Path, frames: int, folder: Path, size: int, smoothing: float | None
) -> tuple[dict[str, Any], str]:
    """A map per frame, and the poses; ``frames``: how many the clip says it has.

    Raises:
        UsageError: the folder holds maps of a longer clip, which would go on where this one ends.
    """
    from facesnap.core.images import save_png, write_atomic
    from facesnap.pipelines.video import SMOOTHING, poses_of

    smoothing = SMOOTHING if smoothing is None else smoothing
    with console.progress("frames", frames) as step:
        poses, rate = poses_of(analyser, clip, smoothing=smoothing, step=step)
    if (folder / f"{len(poses):05d}.png").exists():
        raise UsageError(f"{folder} holds maps of a longer clip: choose another --output")
    with console.progress("maps", len(poses)) as step:
        for index, pose in enumerate(poses):
            save_png(folder / f"{index:05d}.png", analyser.predictor.map(shape, pose, (size, size)))
            step()
    listed = {"frames_per_second": round(rate, 3), "poses": [pose.to_json() for pose in poses]}
    write_atomic(folder / "poses.json", json.dumps(listed, indent=1).encode())
    return {"maps": str(folder), "frames": len(poses), **listed}, f"{folder}\n  {len(poses)} maps and poses.json"


def _plain(points: np.ndarray, pose: Pose) -> dict[str, Any]:
    angles = {name: round(getattr(pose, name), 2) for name in ("yaw", "pitch", "roll")}
    expression = {name: round(float(weight), 3) for name, weight in pose.expression.items()}
    return {**angles, "expression": expression, "landmarks": points.round(2).tolist()}


def _in_words(pose: Pose) -> str:
    """Angles and the strongest expressions, on one line."""
    strongest = sorted(pose.expression.items(), key=lambda item: -item[1])[:4]
    words = [f"{name} {getattr(pose, name):.0f}" for name in ("yaw", "pitch", "roll")]
    return ", ".join([*words, *(f"{name} {weight:.2f}" for name, weight in strongest if weight >= 0.05)])
