"""Spectacles as swept tubes and curved lenses, built on the rest head and carried by an affine fit of the eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.world.facekit.head import HEAD_ORIGIN

CLEAR, SMOKED, BROWN = (0.55, 0.60, 0.65, 0.07), (0.010, 0.010, 0.012, 0.90), (0.050, 0.022, 0.008, 0.84)


@dataclass(frozen=True)
class Frame:
    """Shape of a pair: half width and height of a lens, superellipse power, tube radius (cm), outline, lens.

    ``outline``: "even", "cat-eye" or "drop"; ``half``: no rim below; ``pads``: pads on the nose;
    ``lens``: linear colour and opacity of the glass.
    """

    half_width: float
    half_height: float
    power: float
    tube: float
    outline: str = "even"
    half: bool = False
    pads: bool = False
    lens: tuple[float, float, float, float] = CLEAR

    @property
    def dark(self) -> bool:
        """Sunglasses: the eyes can't be seen."""
        return self.lens[3] > 0.5


FRAMES: dict[str, Frame] = {
    "round": Frame(2.15, 2.1, 2.0, 0.13, pads=True),
    "rectangular": Frame(2.5, 1.6, 4.5, 0.17),
    "thick-rimmed": Frame(2.55, 1.95, 3.2, 0.31),
    "cat-eye": Frame(2.55, 1.75, 2.6, 0.22, "cat-eye"),
    "half-rim": Frame(2.5, 1.55, 3.6, 0.15, half=True, pads=True),
    "aviator": Frame(2.6, 2.2, 2.5, 0.11, "drop", pads=True),
    "sunglasses": Frame(2.6, 2.0, 3.0, 0.24, lens=SMOKED),
    "aviator sunglasses": Frame(2.75, 2.35, 2.5, 0.12, "drop", pads=True, lens=BROWN),
    "round sunglasses": Frame(2.2, 2.15, 2.0, 0.14, pads=True, lens=SMOKED),
}
_EYE = (3.2, 3.25)
_SIDES = 8  # of a tube's cross-section


def _plane(x: np.ndarray) -> np.ndarray:
    """Depth z of the frame over x: it wraps round the face a little."""
    return 11.35 - 0.040 * x**2


def _rim(frame: Frame, side: float, points: int = 36) -> np.ndarray:
    """Outline of a lens (points, 3), from the temple over the brow to the nose and back below."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    across = np.sign(c) * np.abs(c) ** (2 / frame.power)
    up = np.sign(s) * np.abs(s) ** (2 / frame.power)
    if frame.outline == "cat-eye":
        corner = np.clip(across, 0, 1) ** 2 * np.clip(up + 0.25, 0, 1.25)
        across, up = across + 0.20 * corner, up + 0.75 * corner
    if frame.outline == "drop":
        low = np.clip(-up, 0, 1) ** 1.5
        across, up = across * (1 - 0.20 * low) + 0.10 * low, np.where(up > 0, 0.86 * up, 1.1 * up)
    x = side * (_EYE[0] + frame.half_width * across)
    return np.stack([x, _EYE[1] + frame.half_height * up, _plane(x)], axis=1)


def tube(path: np.ndarray, radius: float, closed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sweep a polygon of 8 sides and ``radius`` along a path (K, 3), in the path's units; ``closed`` joins its ends.

    Returns vertices (8K, 3), their unit normals (8K, 3) and triangles (F, 3), 16 for each step of the path; open ends
    have no caps.
    """
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    reference = np.where(np.abs(ahead[:, 2:3]) > 0.8, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    u = np.cross(ahead, reference)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    w = np.cross(ahead, u)
    angle = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    normals = np.cos(angle)[None, :, None] * u[:, None] + np.sin(angle)[None, :, None] * w[:, None]
    vertices = path[:, None] + radius * normals
    rings = np.arange(len(path) if closed else len(path) - 1)
    a = (rings[:, None] * _SIDES + np.arange(_SIDES)).ravel()
    b = (rings[:, None] * _SIDES + (np.arange(_SIDES) + 1) % _SIDES).ravel()
    c, d = (a + _SIDES) % (len(path) * _SIDES), (b + _SIDES) % (len(path) * _SIDES)
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([c, b, d], 1)])
    return vertices.reshape(-1, 3), normals.reshape(-1, 3), triangles


def _paths(frame: Frame) -> list[tuple[np.ndarray, float, bool]]:
    """Everything that is swept: path, radius, whether it closes."""
    paths: list[tuple[np.ndarray, float, bool]] = []
    for side in (1.0, -1.0):
        rim = _rim(frame, side)
        if frame.half:
            paths.append((rim[: len(rim) // 2 + 1], frame.tube * 1.25, False))
        else:
            paths.append((rim, frame.tube, True))
        hinge = rim[np.argmax(np.abs(rim[:, 0]) + 0.35 * rim[:, 1])]
        arm = [hinge, [side * 7.0, 4.1, 6.5], [side * 7.9, 4.0, 2.5], [side * 8.2, 3.6, 0.0], [side * 8.2, 2.4, -1.6]]
        paths.append((np.array(arm), max(frame.tube * 0.85, 0.11), False))
        if frame.pads:
            inner = side * (_EYE[0] - frame.half_width)
            pad = [[inner * 1.02, 3.0, _plane(np.array(inner))], [inner * 0.95, 2.7, 10.85], [inner * 1.05, 2.3, 10.75],
                   [inner * 1.2, 1.9, 10.65]]  # fmt: skip
            paths.append((np.array(pad, dtype=float), 0.10, False))
    inner = _EYE[0] - frame.half_width
    lift = 0.35 if frame.outline == "drop" else 0.0
    for rise in (0.0, 0.85) if frame.outline == "drop" else (0.0,):
        x = np.array([-inner, -inner / 2, 0.0, inner / 2, inner]) * (1.0 + 0.5 * (rise > 0))
        bridge = np.stack([x, np.array([3.8, 4.15, 4.25, 4.15, 3.8]) + rise - lift, 0 * x], axis=1)
        bridge[:, 2] = _plane(x) + [0, 0.3, 0.4, 0.3, 0]
        paths.append((bridge, frame.tube, False))
    return paths


def _lens(rim: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """A domed lens inside a rim: vertices with normals (N, 6) and indices; it mirrors a wide piece of the room."""
    middle = rim.mean(axis=0)
    rings = [middle + (rim - middle) * share + [0, 0, 0.22 * (1 - share**2)] for share in (1.0, 0.6)]
    points = np.concatenate([*rings, middle[None] + [[0, 0, 0.22]]])
    normals = (points - middle) * [0.16, 0.16, 0.0] + [0.0, 0.0, 1.0]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    count = len(rim)
    k, following = np.arange(count), (np.arange(count) + 1) % count
    outer = [np.stack([k, following, count + k], 1), np.stack([count + k, following, count + following], 1)]
    fan = np.stack([count + k, count + following, np.full(count, 2 * count)], 1)
    return np.concatenate([points, normals], axis=1), np.concatenate([*outer, fan]).ravel() + start


def build(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (N, 6) f32 (position, normal) in head space, frame indices (I,), lens indices (J,)."""
    frame = FRAMES[kind]
    vertices, indices, lenses, start = [], [], [], 0
    for path, radius, closed in _paths(frame):
        v, n, t = tube(path, radius, closed)
        vertices.append(np.concatenate([v, n], axis=1))
        indices.append(t.ravel() + start)
        start += len(v)
    for side in (1.0, -1.0):
        lens, index = _lens(_rim(frame, side), start)
        vertices.append(lens)
        lenses.append(index)
        start += len(lens)
    out = np.concatenate(vertices).astype(np.float32)
    out[:, :3] -= HEAD_ORIGIN
    return out, np.concatenate(indices).astype(np.int32), np.concatenate(lenses).astype(np.int32)
