"""Pose: where a head looks and what its face does, a plain value. Signs and "left" as in :mod:`facesnap.core.types`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from facesnap.core.arkit import EXPRESSIONS, INDEX, NUM_EXPRESSIONS, PRESETS, blendshapes, mirrored_name
from facesnap.core.errors import UsageError
from facesnap.core.types import Camera, rotation_matrix

#: Largest angles a pose may ask for, in degrees.
MAX_ANGLE: Final = {"yaw": 60.0, "pitch": 45.0, "roll": 60.0}
#: Largest turns of the eyes in the head (sideways; up and down), in degrees; lids are fully there by then.
MAX_GAZE: Final = (30.0, 25.0)
#: The default composition, which is also the portrait world's usual one: height of the frontal, neutral head's
#: landmark box as a share of the picture's shorter side, and where its middle lies in the picture. (Means over 600
#: of the world's pictures: 0.528 +- 0.034, and 0.514 +- 0.018 from the top.)
SCALE: Final = 0.53
CENTRE: Final = (0.5, 0.515)
#: What a face may fill of the picture's shorter side.
SCALE_RANGE: Final = (0.05, 1.5)


@dataclass(frozen=True)
class Pose:
    """Where a head looks, what its face does, and how it sits in the picture.

    Attributes:
        yaw: degrees, see :mod:`facesnap.core.types` for the signs.
        pitch: the same.
        roll: the same.
        expression: ARKit-named weights in [0, 1]; presets such as ``smile`` may be named too, scaled by their amount.
        gaze: (yaw, pitch) of the eyes in the head, degrees, same signs; None leaves them to the expression's
            ``eyeLook`` weights. The landmarks know lids, no pupils: the lids move as for that gaze, the eyes follow as
            far as the model goes by them. ``Pose(yaw=20, gaze=(-20, 0))`` asks for a look into the camera.
        scale: height of the face (brows to chin, straight and neutral) as a share of the picture's shorter side.
        centre: where its middle lies, (x, y) as shares of the picture's width and height.
        camera: all of a framing, for example a driving photograph's, relative to the picture's size (see
            :meth:`Camera.relative`); then ``scale`` and ``centre`` have no say.

    Example:
        >>> Pose(yaw=20, expression={"smile": 0.8}).mirrored()

    Raises:
        UsageError: an unknown expression name, or a value out of its range (both named).
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    expression: Mapping[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] | None = None
    scale: float = SCALE
    centre: tuple[float, float] = CENTRE
    camera: Camera | None = None

    def __post_init__(self) -> None:
        for name, limit in MAX_ANGLE.items():
            _check(name, getattr(self, name), -limit, limit, " degrees")
        _check("scale", self.scale, *SCALE_RANGE)
        object.__setattr__(self, "centre", _pair("centre", self.centre))
        for name, value in zip(("centre x", "centre y"), self.centre, strict=True):
            _check(name, value, 0.0, 1.0)
        object.__setattr__(self, "expression", MappingProxyType(_expand(self.expression)))
        if self.gaze is not None:
            object.__setattr__(self, "gaze", _pair("gaze", self.gaze))
            for name, value, limit in zip(("yaw", "pitch"), self.gaze, MAX_GAZE, strict=True):
                _check(f"gaze {name}", value, -limit, limit, " degrees")
            if twice := [name for name in self.expression if name.startswith("eyeLook")]:
                raise UsageError(f"gaze turns the eyes, and so does {twice[0]}: leave one of them out")

    def __reduce__(self) -> tuple[object, ...]:
        shown = {**vars(self), "expression": dict(self.expression)}
        return (Pose, tuple(shown.values()))

    def rotation(self) -> np.ndarray:
        """Head rotation (3, 3)."""
        return rotation_matrix(self.yaw, self.pitch, self.roll)

    def weights(self) -> np.ndarray:
        """Expression weights (53,) in the order of :data:`facesnap.core.arkit.EXPRESSIONS`; lids follow the gaze."""
        vector = np.zeros(NUM_EXPRESSIONS, dtype=np.float32)
        for name, value in self.expression.items():
            vector[INDEX[name]] = value
        if self.gaze is not None:
            move_lids(vector, self.gaze)
        return vector

    def framed(self, camera: Camera | None) -> Pose:
        """The same pose under another camera."""
        return replace(self, camera=camera)

    def mirrored(self) -> Pose:
        """What a mirror shows: the other side's movements, turned and placed the other way."""
        x, y = self.centre
        camera = self.camera and replace(self.camera, cx=1.0 - self.camera.cx)
        return Pose(
            yaw=-self.yaw,
            pitch=self.pitch,
            roll=-self.roll,
            expression={mirrored_name(name): weight for name, weight in self.expression.items()},
            gaze=self.gaze and (-self.gaze[0], self.gaze[1]),
            scale=self.scale,
            centre=(1.0 - x, y),
            camera=camera,
        )

    def towards(self, other: Pose, share: float) -> Pose:
        """On the way to another pose: 0 is this one, 1 the other. A gaze becomes its lids' weights.

        Raises:
            UsageError: ``share`` is not from 0 to 1, or only one of the poses has a camera.
        """
        _check("share", share, 0.0, 1.0)
        if (self.camera is None) != (other.camera is None):
            raise UsageError("one pose has a camera and the other hasn't: give both one, or neither (framed(None))")

        def mix(a: Any, b: Any) -> Any:
            return tuple(mix(x, y) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + share * (b - a)

        plain = {name: mix(getattr(self, name), getattr(other, name)) for name in (*MAX_ANGLE, "scale", "centre")}
        if self.camera and other.camera:
            ends = zip(asdict(self.camera).items(), asdict(other.camera).values(), strict=True)
            plain["camera"] = Camera(**{name: mix(a, b) for (name, a), b in ends})
        weights = mix(tuple(self.weights().tolist()), tuple(other.weights().tolist()))
        return Pose(**plain, expression=dict(zip(EXPRESSIONS, weights, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; what has its default is left out."""
        plain = {n: getattr(self, n) for n in (*MAX_ANGLE, "scale") if getattr(self, n) != getattr(Pose, n)}
        plain = {name: float(value) for name, value in plain.items()}
        pairs = {n: [float(v) for v in getattr(self, n)] for n in ("gaze", "centre")
                 if getattr(self, n) is not None and getattr(self, n) != getattr(Pose, n)}  # fmt: skip
        expression = {name: float(weight) for name, weight in sorted(self.expression.items())}
        camera = {name: float(value) for name, value in asdict(self.camera).items()} if self.camera else None
        several = {"expression": expression, "camera": camera}
        return {**plain, **pairs, **{name: value for name, value in several.items() if value}}

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Pose:
        """Inverse of :meth:`to_json`.

        Raises:
            UsageError: an unknown name, or a value out of its range.
        """
        try:
            camera = plain.get("camera")
            return Pose(**{**plain, "camera": Camera(**camera) if camera else None})
        except (TypeError, AttributeError) as error:
            raise UsageError(f"not a pose: {error}") from None

    @staticmethod
    def from_arkit(
        source: Mapping[str, Any] | str | Path, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0
    ) -> Pose:
        """Expression from ARKit's 52 blendshapes, as iPhone captures and MediaPipe's face landmarker name them.

        Args:
            source: name -> weight, such as ``{"jawOpen": 0.3, "mouthSmileLeft": 0.6}``, or a JSON file of that; see
                :func:`facesnap.core.arkit.blendshapes` for the layouts that are read.
            yaw: of the head, degrees, which blendshapes don't say.
            pitch: the same.
            roll: the same.

        Raises:
            UsageError: unknown names, weights out of [0, 1], or no weights at all.
            InputError: a file that can't be read, or isn't JSON.
        """
        return Pose(yaw, pitch, roll, blendshapes(source))

    @staticmethod
    def from_image(photo: object, keep_framing: bool = False) -> Pose:
        """Read pose and expression from a driving photograph (a path, PIL image or (H, W, 3) array).

        Args:
            photo: whose largest face is read.
            keep_framing: take the face's size and place in the photograph too. Without it, the portrait has the
                default composition, which is what the embedded model draws best.

        Raises:
            ImageError, NoFaceError, FaceTooSmallError: the photo can't be used.
            AdapterError: the embedded weights are missing.
        """
        from facesnap.pipelines.analyser import pose_from_image  # core stays below: only this one call

        return pose_from_image(photo, keep_framing)


def move_lids(weights: np.ndarray, gaze: tuple[float, float]) -> None:
    """Add the lid movements (``eyeLook*``) of a gaze (yaw, pitch) in degrees to expression weights (53,), in place.

    They are fully there at :data:`MAX_GAZE`.
    """
    right, up = gaze[0] / MAX_GAZE[0], gaze[1] / MAX_GAZE[1]  # a positive gaze yaw looks to the subject's right
    lids = {
        "eyeLookIn_L": max(right, 0.0), "eyeLookOut_R": max(right, 0.0),
        "eyeLookOut_L": max(-right, 0.0), "eyeLookIn_R": max(-right, 0.0),
        "eyeLookUp_L": max(up, 0.0), "eyeLookUp_R": max(up, 0.0),
        "eyeLookDown_L": max(-up, 0.0), "eyeLookDown_R": max(-up, 0.0),
    }  # fmt: skip
    for name, weight in lids.items():  # a closed lid stays where it is
        weights[INDEX[name]] += weight * (1.0 - weights[INDEX[f"eyeBlink_{name[-1]}"]])


def _check(name: str, value: Any, low: float, high: float, unit: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{name}={value!r} must be a number from {low:g} to {high:g}{unit}")
    if not low <= float(value) <= high:  # nor does a NaN
        raise UsageError(f"{name}={value:g} is out of range: use {low:g} to {high:g}{unit}")


def _pair(name: str, value: Any) -> tuple[float, float]:
    try:
        first, second = (float(number) for number in value)
    except (TypeError, ValueError):
        raise UsageError(f"{name}={value!r} must be two numbers") from None
    return first, second


def _expand(expression: Mapping[str, float]) -> dict[str, float]:
    """Replace presets by their weights, check names and ranges, and drop zeros."""
    if not isinstance(expression, Mapping):
        raise UsageError(f'expression={expression!r} must give names their amounts, such as {{"smile": 0.8}}')
    weights: dict[str, float] = {}
    for name, amount in expression.items():
        if name not in INDEX and name not in PRESETS:
            raise UsageError(
                f"unknown expression {name!r}: use one of {', '.join(PRESETS)}, or an ARKit name such as jawOpen"
                f" (all {len(EXPRESSIONS)} are in facesnap.core.arkit)"
            )
        _check(f"expression {name}", amount, 0.0, 1.0)
        for part, weight in PRESETS.get(name, {name: 1.0}).items():
            weights[part] = min(1.0, weights.get(part, 0.0) + float(amount) * weight)
    return {name: value for name, value in weights.items() if value > 0.0}
