"""Things in front of the face: hands, scarves, medical masks. They make encoders robust; they are never identity.

A kind's variants are built once on the rest head and carried to a picture's expressed head by its landmarks. All
follow the landmarks' least-squares affine map. A mask lies on the skin, so what the landmarks do beyond that map
moves it too: by the linear regression of the skin under it on the landmarks, over the head model's own modes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel, load_head
from facesnap.world.worn import coverings
from facesnap.world.worn.hand import Gesture, Hand

OCCLUDERS: tuple[str, ...] = ("hand", "scarf", "mask")
#: Landmarks (72 layout) that carry a kind.
LANDMARKS: dict[str, tuple[int, ...]] = {
    "mask": tuple(range(72)),
    "hand": (*range(17), *range(27, 36), *range(36, 52), *range(52, 64)),
    "scarf": (*range(17), *range(27, 36)),
}
#: What variants hide: "hand" repeats its gestures mirrored.
_GESTURES: dict[str, tuple[Gesture, tuple[float, float, float], tuple[float, float, float]]] = {
    # gesture, angles (roll about z, yaw about y, pitch about x; degrees), where the palm's middle goes (model space)
    "mouth": (Gesture((20, 24, 16), 3.0, 3.0, 46, 12), (60.0, -6.0, -4.0), (-0.2, -4.4, 14.0)),
    "chin": (Gesture((58, 62, 30), 2.0, 4.0, 20, 16), (24.0, 0.0, -16.0), (1.2, -11.6, 12.4)),
    "cheek": (Gesture((4, 8, 8), 4.0, 3.0, 22, 10), (16.0, 52.0, 2.0), (6.8, -6.4, 8.0)),
    "eye": (Gesture((16, 14, 12), 4.0, 2.0, 32, 10), (10.0, 18.0, -6.0), (4.4, 0.4, 13.4)),
}
HIDES: dict[str, tuple[str, ...]] = {
    "hand": (*_GESTURES, *(f"{name}, mirrored" for name in _GESTURES)),
    "scarf": ("neck", "mouth", "neck, other folds", "mouth, other folds"),
    "mask": ("nose and mouth", "mouth"),
}
VARIANTS: dict[str, int] = {kind: len(names) for kind, names in HIDES.items()}
#: solid.frag's u_kind and gloss of each kind.
SURFACE: dict[str, tuple[int, float]] = {"hand": (5, 0.10), "scarf": (2, 0.01), "mask": (4, 0.03)}


@dataclass(frozen=True)
class Occluder:
    """A variant: rest ``vertices`` (N, 6) f32 in head space, ``indices`` (I,) i32.

    ``carry`` (N, L) f32: displacement of the vertices per displacement of the landmarks, the same for x, y and z;
    ``detail`` (3N, 3L) f32: what is added for things that lie on the skin, or None.
    """

    vertices: np.ndarray
    indices: np.ndarray
    carry: np.ndarray
    detail: np.ndarray | None


def build(kind: str, variant: int) -> tuple[np.ndarray, np.ndarray]:
    """Rest vertices (N, 6) f32 (position, normal) in head space and indices (I,) i32.

    Args:
        kind: one of :data:`OCCLUDERS`.
        variant: taken modulo the kind's number in :data:`VARIANTS`.
    """
    made = occluder(kind, variant % VARIANTS[kind])
    return made.vertices, made.indices


def place(kind: str, variant: int, landmarks: np.ndarray) -> np.ndarray:
    """Vertices (N, 6) f32 on a head whose expressed landmarks are (72, 3), head space, not yet turned."""
    made = occluder(kind, variant % VARIANTS[kind])
    moved = landmarks[list(LANDMARKS[kind])] - _rest_landmarks(kind)
    placed = made.vertices.copy()
    placed[:, :3] += made.carry @ moved.astype(np.float32)
    if made.detail is not None:
        placed[:, :3] += (made.detail @ moved.astype(np.float32).ravel()).reshape(-1, 3)
    return placed


@lru_cache(maxsize=32)
def occluder(kind: str, variant: int) -> Occluder:
    """A variant, built on first use."""
    head = load_head()
    skin = head.mean[head.part_vertices["skin"]] + HEAD_ORIGIN
    if kind == "hand":
        vertices, triangles = _hand(skin, variant)
    elif kind == "scarf":
        vertices, triangles = coverings.scarf(skin, over_mouth=bool(variant % 2), seed=variant)
    else:
        vertices, triangles = coverings.mask(skin, lowered=bool(variant % 2))
    vertices = vertices.astype(np.float32)
    vertices[:, :3] -= HEAD_ORIGIN
    carry = _affine(kind, vertices[:, :3]).astype(np.float32)
    detail = _on_skin(head, kind, vertices[:, :3]) if kind == "mask" else None
    return Occluder(vertices, triangles.astype(np.int32).ravel(), carry, detail)


def _rest_landmarks(kind: str) -> np.ndarray:
    head = load_head()
    return np.asarray(head.mean[head.landmarks[list(LANDMARKS[kind])]])


def _affine(kind: str, points: np.ndarray) -> np.ndarray:
    """Weights (N, L) by which points follow the least-squares affine map of the landmarks."""
    rest = _rest_landmarks(kind).astype(np.float64)
    return np.column_stack([points, np.ones(len(points))]) @ np.linalg.pinv(np.column_stack([rest, np.ones(len(rest))]))


def _on_skin(head: HeadModel, kind: str, points: np.ndarray) -> np.ndarray:
    """Matrix (3N, 3L) from the landmarks' displacements to what the skin near points (N, 3) does beyond their map.

    The best linear guess when shapes are N(0, 1) and expression weights about 0.35, landmarks true to 0.3 mm.
    """
    skin = head.part_vertices["skin"]
    skin = skin[head.mean[skin, 2] > -12.0]  # in front of the ears
    distance = ((points[:, None] - head.mean[skin]) ** 2).sum(axis=2)
    nearest = np.argpartition(distance, 10, axis=1)[:, :10]
    close = np.take_along_axis(distance, nearest, 1)
    weight = np.exp(-(close - close.min(axis=1, keepdims=True)) / (2 * 0.6**2))
    weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)[None, :, :, None]
    modes = np.zeros((len(head.identity) + len(head.expression), len(head.mean), 3), np.float32)
    modes[: len(head.identity)] = head.identity.reshape(len(head.identity), -1, 3)
    modes[len(head.identity) :, head.moving] = 0.35 * head.expression.reshape(len(head.expression), -1, 3)
    marks = modes[:, head.landmarks[list(LANDMARKS[kind])]]
    moved = np.stack([(mode[skin[nearest]] * weight[0]).sum(axis=1) for mode in modes])
    at_marks = np.eye(marks.shape[1]) - _affine(kind, _rest_landmarks(kind))
    beyond = (at_marks @ marks).reshape(len(modes), -1)
    rest = (moved - _affine(kind, points) @ marks).reshape(len(modes), -1)
    solved = np.linalg.solve(beyond.T @ beyond + 0.03**2 * np.eye(beyond.shape[1]), beyond.T @ rest)
    return np.asarray((np.kron(at_marks, np.eye(3)).T @ solved).T, dtype=np.float32)


def _hand(skin: np.ndarray, variant: int) -> tuple[np.ndarray, np.ndarray]:
    """A gesture laid on the face: moved straight towards it until it touches."""
    names = list(_GESTURES)
    gesture, angles, goal = _GESTURES[names[variant % len(names)]]
    hand = Hand(gesture)
    vertices, triangles = hand.mesh()
    turn = _rotation(angles)
    outward = turn @ np.array([0.0, 0.0, 1.0])
    place = np.array(goal) - turn @ np.array([0.0, 5.0, 0.0])
    front = skin[skin[:, 2] > 0][::2]

    def depth(shift: float) -> float:
        local = (front - place - outward * shift) @ turn
        return float(-hand.distance(local).min())

    shift = next((s for s in np.arange(-4.0, 8.0, 0.15) if depth(s) < 0.3), 8.0)
    points = vertices[:, :3] @ turn.T + place + outward * (shift + 0.05)
    normals = vertices[:, 3:] @ turn.T
    if variant >= len(names):
        points, normals, triangles = points * [-1, 1, 1], normals * [-1, 1, 1], triangles[:, ::-1]
    return np.concatenate([points, normals], axis=1), triangles


def _rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Rotation (3, 3): about z, then about y, then about x, degrees."""
    z, y, x = np.radians(angles)
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return np.asarray(about_y @ about_x @ about_z)
