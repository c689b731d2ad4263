"""The 53 expression names: ARKit's, with left and right (the **subject's**) split as in ICT-FaceKit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from facesnap.core.errors import InputError, UsageError

EXPRESSIONS: Final[tuple[str, ...]] = (
    *("browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R"),
    *("cheekPuff_L", "cheekPuff_R", "cheekSquint_L", "cheekSquint_R"),
    *("eyeBlink_L", "eyeBlink_R", "eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R"),
    *("eyeLookOut_L", "eyeLookOut_R", "eyeLookUp_L", "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R"),
    *("eyeWide_L", "eyeWide_R", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimple_L", "mouthDimple_R", "mouthFrown_L", "mouthFrown_R", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R"),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    *("mouthShrugUpper", "mouthSmile_L", "mouthSmile_R", "mouthStretch_L", "mouthStretch_R"),
    *("mouthUpperUp_L", "mouthUpperUp_R", "noseSneer_L", "noseSneer_R"),
)

NUM_EXPRESSIONS: Final = len(EXPRESSIONS)

#: Name -> position in an expression vector.
INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(EXPRESSIONS)}

#: Everyday words that stand for several weights at once (each multiplied by the amount given).
PRESETS: Final[dict[str, dict[str, float]]] = {
    "neutral": {},
    "smile": {"mouthSmile_L": 0.8, "mouthSmile_R": 0.8, "cheekSquint_L": 0.4, "cheekSquint_R": 0.4},
    "laugh": {
        **{"mouthSmile_L": 0.9, "mouthSmile_R": 0.9, "jawOpen": 0.35},
        **{"mouthUpperUp_L": 0.4, "mouthUpperUp_R": 0.4, "cheekSquint_L": 0.6, "cheekSquint_R": 0.6},
    },
    "surprise": {
        **{"jawOpen": 0.5, "eyeWide_L": 0.8, "eyeWide_R": 0.8},
        **{"browInnerUp_L": 0.8, "browInnerUp_R": 0.8, "browOuterUp_L": 0.8, "browOuterUp_R": 0.8},
    },
    "anger": {
        **{"browDown_L": 0.9, "browDown_R": 0.9, "eyeSquint_L": 0.4, "eyeSquint_R": 0.4},
        **{"mouthPress_L": 0.5, "mouthPress_R": 0.5, "noseSneer_L": 0.4, "noseSneer_R": 0.4},
    },
    "sad": {
        **{"mouthFrown_L": 0.7, "mouthFrown_R": 0.7, "browInnerUp_L": 0.7, "browInnerUp_R": 0.7},
    },
    "talk": {"jawOpen": 0.25, "mouthFunnel": 0.3},
    "blink": {"eyeBlink_L": 1.0, "eyeBlink_R": 1.0},
    "pout": {"mouthPucker": 0.75, "mouthShrugLower": 0.2, "browInnerUp_L": 0.2, "browInnerUp_R": 0.2},
    "wink": {"eyeBlink_L": 1.0, "mouthSmile_L": 0.4, "mouthSmile_R": 0.3, "cheekSquint_L": 0.5},
}

#: What the phone and MediaPipe say beside our expressions, and a head without a tongue can't show.
_IGNORED: Final = ("tongueOut", "_neutral")
#: Keys under which known files keep the weights.
_NESTED: Final = ("blendShapes", "blendshapes", "face_blendshapes", "faceBlendshapes", "categories")


def mirrored_name(name: str) -> str:
    """The expression that a mirror shows: left and right exchanged."""
    for one, other in (("_L", "_R"), ("Left", "Right")):
        for side, opposite in ((one, other), (other, one)):
            if name.endswith(side):
                return name.removesuffix(side) + opposite
    return name


def blendshapes(source: Mapping[str, Any] | str | Path) -> dict[str, float]:
    """Our weights for ARKit's 52 blendshapes; ``tongueOut`` is left out.

    Args:
        source: name -> weight; or that under ``blendShapes``; or MediaPipe's list of ``categoryName`` and ``score``;
            or a JSON file of any of these. Names may begin in capitals, as Live Link Face writes them.

    Raises:
        UsageError: a name that isn't ARKit's, or no weights at all.
        InputError: a file that can't be read, isn't JSON, has another layout, or several faces or frames.
    """
    if isinstance(source, str | Path):
        try:
            source = json.loads(Path(source).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"can't read {source}: {error.strerror}") from None
        except ValueError:
            raise InputError(f"{source} is not JSON") from None
    try:
        said = _pairs(source)
    except (KeyError, TypeError, ValueError):
        raise InputError("blendshapes are names with weights, or a list of categoryName and score") from None
    weights = {ours: value for name, value in said for ours in _ours(name)}
    if not weights:
        raise UsageError("no blendshapes: give ARKit's names with weights, such as jawOpen and mouthSmileLeft")
    return weights


def _pairs(source: Any) -> Iterable[tuple[str, float]]:
    """Names and weights, wherever the known layouts keep them."""
    if isinstance(source, Mapping):
        for key in _NESTED:
            if key in source:
                return _pairs(source[key])
        return [(str(n), float(v)) for n, v in source.items() if isinstance(v, int | float) and not isinstance(v, bool)]
    if isinstance(source, list) and source:
        named = next((k for k in ("categoryName", "category_name") if k in source[0]), None)
        if named:
            return [(str(each[named]), float(each["score"])) for each in source]
        if len(source) > 1:
            raise InputError(f"{len(source)} faces or frames of blendshapes: give one")
        return _pairs(source[0])
    return []


def _ours(name: str) -> list[str]:
    """Our names for one of ARKit's; none for what we can't show."""
    known = name[:1].lower() + name[1:]
    if known in INDEX or known in _IGNORED:
        return [known] if known in INDEX else []
    for side in ("Left", "Right"):
        if known.endswith(side) and (ours := f"{known.removesuffix(side)}_{side[0]}") in INDEX:
            return [ours]
    both = [f"{known}_L", f"{known}_R"]  # browInnerUp and cheekPuff are one in ARKit
    if both[0] in INDEX:
        return both
    raise UsageError(f"unknown blendshape {name!r}: ARKit's 52 names are known, such as jawOpen and mouthSmileLeft")
