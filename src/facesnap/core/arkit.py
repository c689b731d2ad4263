"""The 53 expression names: ARKit's, with left and right (the **subject's**) split as in ICT-FaceKit."""

from __future__ import annotations

from typing import Final

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
