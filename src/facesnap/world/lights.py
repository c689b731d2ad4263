"""Light set-ups: direction towards each light in the posed space, and linear colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.world.characters import Conditions


@dataclass(frozen=True)
class Light:
    """One set-up."""

    key_direction: tuple[float, float, float]
    key: tuple[float, float, float]
    fill: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    rim: tuple[float, float, float] = (0.10, 0.10, 0.11)


_SETUPS: dict[str, Light] = {
    "soft": Light((0.35, 0.55, 1.0), (0.78, 0.765, 0.75), (0.17, 0.17, 0.18), (0.30, 0.30, 0.31), (0.13, 0.125, 0.12)),
    "left": Light((-1.0, 0.40, 0.62), (1.05, 1.02, 0.98), (0.07, 0.07, 0.08), (0.20, 0.20, 0.21), (0.10, 0.10, 0.10)),
    "right": Light((1.0, 0.40, 0.62), (1.05, 1.02, 0.98), (0.07, 0.07, 0.08), (0.20, 0.20, 0.21), (0.10, 0.10, 0.10)),
    "top": Light((0.12, 1.0, 0.55), (1.02, 1.0, 0.98), (0.10, 0.10, 0.10), (0.26, 0.26, 0.27), (0.10, 0.10, 0.10)),
    "warm": Light((0.7, 0.45, 0.8), (1.05, 0.76, 0.46), (0.20, 0.14, 0.10), (0.32, 0.24, 0.18), (0.18, 0.13, 0.09),
                  (0.22, 0.13, 0.06)),
    "cold": Light((-0.6, 0.55, 0.8), (0.58, 0.70, 0.94), (0.11, 0.15, 0.21), (0.19, 0.23, 0.30), (0.11, 0.13, 0.16),
                  (0.06, 0.10, 0.18)),
}  # fmt: skip


def set_up(conditions: Conditions) -> dict[str, tuple[float, ...]]:
    """Uniforms of the light for a picture ("left" and "right" are the picture's sides)."""
    light = _SETUPS[conditions.light]
    direction = np.array(light.key_direction) + conditions.light_jitter
    direction /= np.linalg.norm(direction)
    fill = np.array([-direction[0], 0.15, 0.9])
    fill /= np.linalg.norm(fill)
    return {
        "u_key_direction": tuple(direction), "u_key": light.key, "u_fill_direction": tuple(fill), "u_fill": light.fill,
        "u_sky": light.sky, "u_ground": light.ground, "u_rim": light.rim,
    }  # fmt: skip
