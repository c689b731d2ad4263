"""Between sliders and a pose: plain functions, so that what the page shows is what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from facesnap.core.arkit import PRESETS
from facesnap.core.pose import CENTRE, MAX_GAZE, SCALE
from facesnap.serving.requests import CameraRequest, PoseRequest


@dataclass(frozen=True)
class Move:
    """One slider of the expression: what it is called, and the ARKit weights that it sets together."""

    label: str
    names: tuple[str, ...]

    @property
    def shown(self) -> str:
        """Label with the name that ARKit has for it, both sides as one."""
        return f"{self.label} ({self.names[0].removesuffix('_L') if len(self.names) > 1 else self.names[0]})"


def _both(label: str, name: str) -> Move:
    return Move(label, (f"{name}_L", f"{name}_R"))


MOVES: Final = (
    _both("Smile", "mouthSmile"),
    Move("Mouth open", ("jawOpen",)),
    _both("Mouth corners down", "mouthFrown"),
    Move("Lips pursed", ("mouthPucker",)),
    Move("Lips rounded", ("mouthFunnel",)),
    _both("Upper lip up", "mouthUpperUp"),
    Move("Mouth to the left", ("mouthLeft",)),
    Move("Mouth to the right", ("mouthRight",)),
    Move("Left eye closed", ("eyeBlink_L",)),
    Move("Right eye closed", ("eyeBlink_R",)),
    _both("Eyes wide", "eyeWide"),
    _both("Eyes narrowed", "eyeSquint"),
    _both("Inner brows up", "browInnerUp"),
    _both("Outer brows up", "browOuterUp"),
    _both("Brows down", "browDown"),
    _both("Cheeks raised", "cheekSquint"),
    _both("Cheeks puffed", "cheekPuff"),
    _both("Nose wrinkled", "noseSneer"),
)

#: Yaw, pitch, roll, gaze to the side and up, size, place across and down: as the sliders stand at first.
STRAIGHT: Final = (0.0, 0.0, 0.0, 0.0, 0.0, SCALE, *CENTRE)

#: Sliders move in hundredths; what is nearer than half of one was not moved.
SAME: Final = 0.005


def shown(weights: Mapping[str, float]) -> list[float]:
    """Where the sliders of :data:`MOVES` stand for some weights: the mean of both sides."""
    return [round(sum(weights.get(name, 0.0) for name in move.names) / len(move.names), 2) for move in MOVES]


def moved(weights: Mapping[str, float], values: Sequence[float]) -> dict[str, float]:
    """The weights after sliders moved to ``values``.

    What no slider shows stays, and so does the difference between two sides until their slider is touched: a preset's
    or a photo's expression is more than the sliders.
    """
    after = dict(weights)
    for move, value, before in zip(MOVES, values, shown(weights), strict=True):
        if abs(value - before) > SAME:
            after.update(dict.fromkeys(move.names, float(value)))
    return {name: value for name, value in after.items() if value > 0.0}


def preset(name: str, amount: float) -> dict[str, float]:
    """The weights of a preset such as ``smile``, times an amount in [0, 1]."""
    return {part: weight * amount for part, weight in PRESETS[name].items() if weight * amount > 0.0}


def pose_of(head: Sequence[float], weights: Mapping[str, float], camera: CameraRequest | None = None) -> PoseRequest:
    """The pose that the sliders show.

    Args:
        head: as :data:`STRAIGHT`.
        weights: of the expression. A gaze that was set takes the place of their ``eyeLook``.
        camera: a photo's framing, in the place of size and place.

    Raises:
        ValidationError: a value out of its range.
    """
    yaw, pitch, roll, side, up, scale, across, down = head
    gaze = (side, up) if side or up else None
    kept = {name: value for name, value in weights.items() if gaze is None or not name.startswith("eyeLook")}
    return PoseRequest(
        yaw=yaw, pitch=pitch, roll=roll, expression=kept, gaze=gaze, scale=scale, centre=(across, down), camera=camera
    )


def head_of(pose: PoseRequest) -> tuple[float, ...]:
    """Inverse of :func:`pose_of` for the sliders of the head."""
    side, up = pose.gaze or (0.0, 0.0)
    return tuple(round(value, 2) for value in (pose.yaw, pose.pitch, pose.roll, side, up, pose.scale, *pose.centre))


def into_camera(yaw: float, pitch: float) -> tuple[float, float]:
    """The gaze that looks into the camera from a turned head, as far as eyes go."""
    side, up = MAX_GAZE
    return max(-side, min(side, -yaw)), max(-up, min(up, -pitch))


def said(pose: PoseRequest) -> str:
    """A pose in words, for those who can't see the map."""
    parts = [f"turned {pose.yaw:g}°", f"up {pose.pitch:g}°", f"tilted {pose.roll:g}°"]
    strongest = sorted(pose.expression.items(), key=lambda pair: -pair[1])[:4]
    return ", ".join(parts + [f"{name} {value:.2f}" for name, value in strongest])
