"""Spectacles as swept tubes and flat lenses, built on the rest head and carried by an affine fit of the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.world.head import HEAD_ORIGIN


@dataclass(frozen=True)
class Frame:
    """Shape of a pair: half width and height of a lens, superellipse power, tube radius (cm)."""

    half_width: float
    half_height: float
    power: float
    tube: float


FRAMES: dict[str, Frame] = {
    "round": Frame(2.15, 2.1, 2.0, 0.15),
    "rectangular": Frame(2.5, 1.6, 4.5, 0.17),
    "sunglasses": Frame(2.6, 2.0, 3.0, 0.20),
}
_EYE = (3.2, 3.25)


def _plane(x: np.ndarray) -> np.ndarray:
    """Depth z of the frame over x: it wraps round the face a little."""
    return 11.35 - 0.040 * x**2


def _rim(frame: Frame, side: float, points: int = 28) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = side * (_EYE[0] + frame.half_width * np.sign(c) * np.abs(c) ** (2 / frame.power))
    y = _EYE[1] + frame.half_height * np.sign(s) * np.abs(s) ** (2 / frame.power)
    return np.stack([x, y, _plane(x)], axis=1)


def _tube(path: np.ndarray, radius: float, closed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sweep a 6-gon along a path (K, 3): vertices, normals, triangles."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    reference = np.where(np.abs(ahead[:, 2:3]) > 0.8, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    u = np.cross(ahead, reference)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    w = np.cross(ahead, u)
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    normals = np.cos(angle)[None, :, None] * u[:, None] + np.sin(angle)[None, :, None] * w[:, None]
    vertices = path[:, None] + radius * normals
    rings = np.arange(len(path) if closed else len(path) - 1)
    a = (rings[:, None] * 6 + np.arange(6)).ravel()
    b = (rings[:, None] * 6 + (np.arange(6) + 1) % 6).ravel()
    c, d = (a + 6) % (len(path) * 6), (b + 6) % (len(path) * 6)
    return (
        vertices.reshape(-1, 3),
        normals.reshape(-1, 3),
        np.concatenate([np.stack([a, b, c], 1), np.stack([c, b, d], 1)]),
    )


def build(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (N, 6) f32 (position, normal) in head space, frame indices (I,), lens indices (J,)."""
    frame = FRAMES[kind]
    paths: list[tuple[np.ndarray, bool]] = []
    for side in (1.0, -1.0):
        paths.append((_rim(frame, side), True))
        outer = side * (_EYE[0] + frame.half_width)
        hinge = [outer, _EYE[1] + 0.45 * frame.half_height, float(_plane(np.array(outer)))]
        paths.append(
            (
                np.array(
                    [
                        hinge,
                        [side * 7.0, 4.1, 6.5],
                        [side * 7.9, 4.0, 2.5],
                        [side * 8.2, 3.6, 0.0],
                        [side * 8.2, 2.4, -1.6],
                    ]
                ),
                False,
            )
        )
    inner = _EYE[0] - frame.half_width
    bridge = np.array([[-inner, 3.8, 0], [-inner / 2, 4.15, 0], [0, 4.25, 0], [inner / 2, 4.15, 0], [inner, 3.8, 0]])
    bridge[:, 2] = _plane(bridge[:, 0]) + [0, 0.3, 0.4, 0.3, 0]
    paths.append((bridge, False))
    vertices, indices, start = [], [], 0
    for path, closed in paths:
        v, n, t = _tube(path, frame.tube, closed)
        vertices.append(np.concatenate([v, n], axis=1))
        indices.append(t.ravel() + start)
        start += len(v)
    lenses = []
    for side in (1.0, -1.0):
        rim = _rim(frame, side)
        middle = rim.mean(axis=0, keepdims=True) + [[0, 0, 0.15]]
        v = np.concatenate([middle, rim])
        vertices.append(np.concatenate([v, np.tile([0.0, 0.0, 1.0], (len(v), 1))], axis=1))
        k = np.arange(len(rim))
        lenses.append((np.stack([np.zeros_like(k), k + 1, (k + 1) % len(rim) + 1], 1) + start).ravel())
        start += len(v)
    out = np.concatenate(vertices).astype(np.float32)
    out[:, :3] -= HEAD_ORIGIN
    return out, np.concatenate(indices).astype(np.int32), np.concatenate(lenses).astype(np.int32)
