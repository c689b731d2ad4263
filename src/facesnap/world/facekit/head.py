"""The head model: ICT-FaceKit light, reduced to the vertices we draw, in the head's own space.

Space: centimetres, x to the subject's left, y up, z out of the face, origin at :data:`HEAD_ORIGIN` of the
model's own coordinates (about the centroid of the mean head's landmarks). A head is
``mean + identity . coefficients + expression . weights``; eyeballs are turned by the renderer, which morphs on
the card (:mod:`facesnap.world.render.mesh`, :mod:`facesnap.world.render.morph`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from facesnap.core.errors import InputError
from facesnap.landmarks.layout import HEAD_ORIGIN as ORIGIN_CM
from facesnap.landmarks.morphable import landmark_vertices
from facesnap.world.facekit.convert import cached_model
from facesnap.world.geometry import vertex_normals

#: Origin of the head's space in the model's coordinates, cm.
HEAD_ORIGIN = np.array(ORIGIN_CM, dtype=np.float32)
#: Names the head model's file; without it the user's cache is looked at, then the defaults.
ENVIRONMENT = "FACESNAP_ICT_FACEKIT"
DEFAULT_FILES = ("../shared/ict_facekit_light.npz",)
#: Parts that are drawn, in drawing order, and the model's vertex ranges they are made of.
PARTS: dict[str, tuple[str, ...]] = {
    "skin": ("face", "head_neck"),
    "socket": ("eye_socket_l", "eye_socket_r"),
    "eye_l": ("sclera_l",),
    "eye_r": ("sclera_r",),
    "lash": ("lash_l", "lash_r"),
    "mouth": ("mouth_socket",),
    "gums": ("gums_tongue",),
    "teeth": ("teeth",),
}


@dataclass(frozen=True, eq=False)  # compared and cached as the one object it is
class HeadModel:
    """Arrays of the head model; V kept vertices, M of them moved by expressions."""

    mean: np.ndarray  #: (V, 3) f32, head space
    identity: np.ndarray  #: (100, V * 3) f32
    expression: np.ndarray  #: (53, M * 3) f32
    moving: np.ndarray  #: (M,) vertices that expressions move
    triangles: np.ndarray  #: (F, 3) i32, sorted by part
    part_triangles: dict[str, slice]  #: part -> slice of ``triangles``
    part_vertices: dict[str, np.ndarray]  #: part -> vertex indices
    landmarks: np.ndarray  #: (72,) vertex indices in the order of landmarks.layout
    landmark_expression: np.ndarray  #: (53, 72, 3) f32

    def express_landmarks(self, neutral: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The 72 landmarks (72, 3) of a neutral head (V or more, 3) with expression ``weights`` (53,)."""
        return np.asarray(neutral[self.landmarks] + np.tensordot(weights, self.landmark_expression, 1))

    def normals(self, vertices: np.ndarray, triangles: np.ndarray | None = None) -> np.ndarray:
        """Area-weighted unit vertex normals (V, 3); ``triangles`` (F, 3) default to the head's."""
        return vertex_normals(vertices, self.triangles if triangles is None else triangles).astype(np.float32)


def chosen_file() -> Path:
    """Where ``facesnap world fetch`` puts the head model and the world looks first; it may not exist."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else cached_model()


def find_head_file() -> Path:
    """Path of the head model's npz: what the environment variable names, else the user's cache, else the defaults.

    Raises:
        InputError: it is at none of these places.
    """
    chosen, named = chosen_file(), os.environ.get(ENVIRONMENT)
    package_root = Path(__file__).resolve().parents[4]
    defaults = [root / name for name in DEFAULT_FILES for root in (Path.cwd(), package_root)]
    for place in [chosen] if named else [chosen, *defaults]:
        if place.is_file():
            return place
    if named:
        raise InputError(
            f"{ENVIRONMENT} is wrong, no file is at {chosen}: `facesnap world fetch` puts the head model there, or "
            f"change the variable"
        )
    raise InputError(
        f"the head model is absent (looked at {chosen}): `facesnap world fetch` gets it, or set {ENVIRONMENT}"
    )


@lru_cache(maxsize=1)
def load_head() -> HeadModel:
    """The head model, read once per process.

    Raises:
        InputError: the file is absent or is not the packed ICT-FaceKit light model.
    """
    path = find_head_file()
    try:
        with np.load(path) as data:
            return _build({name: data[name] for name in data.files})
    except Exception as error:  # a cut or foreign zip file raises whatever its reader met first
        raise InputError(f"{path} is not the packed ICT-FaceKit light head model (see docs/WORLD.md)") from error


def _build(data: dict[str, np.ndarray]) -> HeadModel:
    """Keep the drawn parts, renumber their vertices and move the origin."""
    ranges = {str(name): range(*bounds) for name, bounds in zip(data["part_names"], data["part_range"], strict=True)}
    kept = np.concatenate([np.array(ranges[name]) for names in PARTS.values() for name in names])
    renumber = np.full(len(data["mean"]), -1, dtype=np.int32)
    renumber[kept] = np.arange(len(kept))
    triangles, part_triangles, part_vertices = [], {}, {}
    start = 0
    owner = data["tri"].max(axis=1)  # seams are drawn with the part of their highest vertex
    for part, names in PARTS.items():
        inside = np.isin(owner, np.concatenate([np.array(ranges[name]) for name in names]))
        chosen = renumber[data["tri"][inside].astype(np.int64)]
        chosen = chosen[(chosen >= 0).all(axis=1)]
        triangles.append(chosen)
        part_triangles[part] = slice(start, start + len(chosen))
        part_vertices[part] = renumber[np.concatenate([np.array(ranges[name]) for name in names])]
        start += len(chosen)
    expression = data["expression"].astype(np.float32)[:, kept]
    landmarks = renumber[landmark_vertices(data["mean"], data["landmarks68"])]
    moving = np.flatnonzero(np.abs(expression).max(axis=(0, 2)) > 1e-4)
    return HeadModel(
        mean=data["mean"][kept].astype(np.float32) - HEAD_ORIGIN,
        identity=data["identity"].astype(np.float32)[:, kept].reshape(len(data["identity"]), -1),
        expression=np.ascontiguousarray(expression[:, moving]).reshape(len(expression), -1),
        moving=moving,
        triangles=np.concatenate(triangles).astype(np.int32),
        part_triangles=part_triangles,
        part_vertices=part_vertices,
        landmarks=landmarks,
        landmark_expression=np.ascontiguousarray(expression[:, landmarks]),
    )
