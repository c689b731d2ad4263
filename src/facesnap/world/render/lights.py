"""Light set-ups: direction towards each light in the posed space, and linear colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facesnap.world.characters import Conditions

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """One set-up: key with shadows, fill from the other side, rim from behind, hemisphere of sky and ground."""

    key_direction: Triple
    key: Triple
    fill: Triple
    sky: Triple
    ground: Triple
    rim: Triple = (0.10, 0.10, 0.11)
    rim_direction: Triple = (-0.5, 0.5, -0.8)


LIGHTS: dict[str, Light] = {
    "soft": Light((0.35, 0.55, 1.0), (0.86, 0.84, 0.82), (0.17, 0.17, 0.18), (0.30, 0.30, 0.31), (0.15, 0.14, 0.13)),
    "left": Light((-1.0, 0.40, 0.62), (1.12, 1.08, 1.03), (0.09, 0.09, 0.10), (0.20, 0.20, 0.21), (0.11, 0.105, 0.10),
                  rim_direction=(0.9, 0.4, -0.6)),
    "right": Light((1.0, 0.40, 0.62), (1.12, 1.08, 1.03), (0.09, 0.09, 0.10), (0.20, 0.20, 0.21), (0.11, 0.105, 0.10),
                   rim_direction=(-0.9, 0.4, -0.6)),
    "top": Light((0.12, 1.0, 0.55), (1.10, 1.08, 1.05), (0.11, 0.11, 0.11), (0.26, 0.26, 0.27), (0.12, 0.115, 0.11)),
    "warm": Light((0.7, 0.45, 0.8), (1.12, 0.86, 0.58), (0.20, 0.15, 0.11), (0.32, 0.25, 0.19), (0.18, 0.13, 0.09),
                  (0.35, 0.20, 0.08)),
    "cold": Light((-0.6, 0.55, 0.8), (0.66, 0.79, 1.02), (0.13, 0.17, 0.23), (0.20, 0.25, 0.32), (0.12, 0.14, 0.17),
                  (0.10, 0.16, 0.28)),
    "back": Light((0.5, 0.55, 0.75), (0.36, 0.355, 0.35), (0.22, 0.22, 0.23), (0.30, 0.30, 0.31), (0.17, 0.165, 0.16),
                  (1.25, 1.15, 1.0), (-0.65, 0.55, -0.55)),
    "dramatic": Light((-0.85, 0.75, 0.55), (1.30, 1.22, 1.12), (0.03, 0.03, 0.035), (0.07, 0.07, 0.08),
                      (0.04, 0.038, 0.036), (0.25, 0.27, 0.32), (0.9, 0.3, -0.6)),
    "neon": Light((-0.9, 0.25, 0.45), (1.30, 0.18, 1.00), (0.06, 0.34, 0.45), (0.11, 0.10, 0.18), (0.14, 0.05, 0.13),
                  (0.08, 1.15, 1.45), (0.85, 0.25, -0.20)),
}  # fmt: skip
#: Share of the surroundings' mean colour in the hemisphere's light.
SPILL = 0.35


def set_up(conditions: Conditions, surroundings: np.ndarray, darkness: float) -> dict[str, Any]:
    """Uniforms of a picture's light ("left" and "right" are the picture's sides).

    ``surroundings``: mean linear colour (3,) of the background, which tints the light from all round;
    ``darkness``: of the skin, 0 to 1, to which the camera sets its exposure in part.
    """
    light = LIGHTS[conditions.light]
    key = _unit(np.array(light.key_direction) + conditions.light_jitter)
    if conditions.light == "neon" and conditions.background_seed % 2:  # the two colours change sides
        key = key * [-1, 1, 1]
    rim = _unit(
        np.array(light.rim_direction) * ([-1, 1, 1] if np.sign(key[0]) == np.sign(light.rim_direction[0]) else 1)
    )
    tint = surroundings / max(float(surroundings.mean()), 0.02)
    tint = 1 + SPILL * (np.clip(tint, 0, 2.2) - 1)
    return {
        "u_key_direction": tuple(key), "u_key": light.key, "u_fill_direction": tuple(_unit([-key[0], 0.15, 0.9])),
        "u_fill": light.fill, "u_rim_direction": tuple(rim), "u_rim": light.rim,
        "u_sky": tuple(np.array(light.sky) * tint), "u_ground": tuple(np.array(light.ground) * tint),
        "u_exposure": (0.92 + 0.32 * darkness) * conditions.exposure,
    }  # fmt: skip


def _unit(vector: list[float] | np.ndarray) -> np.ndarray:
    return np.asarray(vector, np.float64) / np.linalg.norm(vector)
