"""The head model out of a checkout of ICT-FaceKit: 156 OBJ files become the arrays of the model.

:mod:`facesnap.world.facekit.head` reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from facesnap.core.errors import InputError, one_line
from facesnap.core.folders import cache_folder, check_readable
from facesnap.world.facekit.layout import LIGHT, Layout
from facesnap.world.facekit.obj import Mesh, read_mesh, read_vertices

#: Folder of the checkout that holds the meshes, and the head they are all offsets of.
FOLDER: Final = "FaceXModel"
NEUTRAL: Final = "generic_neutral_mesh"
#: No point of a head lies further from its place on the neutral one, cm (the light model's: 3.8).
FURTHEST: Final = 50.0
#: Entries that say where a model comes from; they don't count when models are compared.
NOTES: Final = ("licence", "source")

Model = dict[str, np.ndarray]


def cached_model() -> Path:
    """The converted model's place in the user's cache."""
    return cache_folder() / "ict_facekit_light.npz"


def convert(checkout: Path, layout: Layout = LIGHT, step: Callable[[], None] = lambda: None) -> Model:
    """The packed head model of a checkout.

    Args:
        checkout: folder with ``FaceXModel`` and ``LICENSE``.
        layout: what to expect in it.
        step: called once per mesh read, ``1 + len(layout.shapes)`` times.

    Returns:
        Arrays for V vertices and E expressions: ``mean`` (V, 3) f32 in cm; ``identity``, ``expression``, ``pupil``
        (n, V, 3) f16 offsets; ``uv``; ``tri``, ``tri_uv``, ``quad`` u16; ``tri_material`` u8; landmark and jaw line
        vertices i32; names; half-open vertex ``part_range``; the text of the ``licence``.

    Raises:
        InputError: a file is missing, damaged, or not of that layout.
    """
    folder = find_meshes(checkout)
    licence = _licence(folder.parent)
    mesh = _neutral(folder / f"{NEUTRAL}.obj", layout)
    step()

    def offsets(names: tuple[str, ...]) -> np.ndarray:
        found = np.zeros((len(names), layout.vertices, 3), dtype=np.float16)
        for i, name in enumerate(names):
            found[i] = _offsets(folder / f"{name}.obj", mesh.vertices)
            step()
        return found

    return {
        "mean": mesh.vertices.astype(np.float32),
        "identity": offsets(layout.identity_names),
        "expression": offsets(layout.expressions),
        "pupil": offsets(layout.pupils),
        "expression_names": np.array(layout.expressions),
        **_topology(mesh, layout),
        **_tables(layout),
        "licence": np.array(licence),
    }


def find_meshes(checkout: Path) -> Path:
    """The folder of the meshes in a checkout (which may be that folder itself).

    Raises:
        InputError: there is none.
    """
    for folder in (checkout / FOLDER, checkout):
        if (folder / f"{NEUTRAL}.obj").is_file():
            return folder.absolute()
    check_readable(checkout)
    raise InputError(f"{checkout} is no checkout of ICT-FaceKit: {FOLDER}/{NEUTRAL}.obj is not in it")


def checksum(model: Model, keys: tuple[str, ...] | None = None) -> str:
    """SHA-256 of a model's contents (``keys``: of these arrays), however the file that held them was packed.

    Hashed for each key in alphabetic order: ``key dtype shape`` and the little-endian values; of names the UTF-8
    text, one per line. :data:`NOTES` are left out.
    """
    digest = hashlib.sha256()
    for key in sorted(keys or set(model) - set(NOTES)):
        values = model[key]
        if values.dtype.kind == "U":
            content, kind = "\n".join(values.ravel().tolist()).encode(), "text"
        else:
            values = values.astype(values.dtype.newbyteorder("<"), copy=False)
            content, kind = values.tobytes(), values.dtype.name
        digest.update(f"{key} {kind} {values.shape}\n".encode() + content)
    return digest.hexdigest()


def _licence(checkout: Path) -> str:
    path = checkout / "LICENSE"
    try:
        return path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the licence travels with the model") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {one_line(error)}") from error


def _neutral(path: Path, layout: Layout) -> Mesh:
    """The neutral head, checked against the layout."""
    mesh = read_mesh(path)
    _check_count(path, "vertices", len(mesh.vertices), layout.vertices)
    _check_count(path, "texture points", len(mesh.texture_points), layout.texture_points)
    _check_count(path, "faces", len(mesh.faces), layout.faces)
    if mesh.face_points.min() < 0:
        raise InputError(f"{path} has faces without texture points: it is not of the light model")
    unknown = sorted(set(mesh.materials) - set(layout.materials))
    if unknown:
        raise InputError(f"{path} has an unknown material {unknown[0]!r}: it is not of the light model")
    return mesh


def _offsets(path: Path, neutral: np.ndarray) -> np.ndarray:
    """How far a morph target's vertices are from the neutral head's, (V, 3) cm."""
    vertices = read_vertices(path)
    _check_count(path, "vertices", len(vertices), len(neutral))
    offsets: np.ndarray = vertices - neutral
    if np.abs(offsets).max() > FURTHEST:
        raise InputError(f"{path} is not a shape of the neutral head: a vertex is {np.abs(offsets).max():.3g} cm away")
    return offsets


def _check_count(path: Path, what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise InputError(f"{path} has {found} {what}, not {wanted}: it is cut short or not of the light model")


def _topology(mesh: Mesh, layout: Layout) -> Model:
    """Faces, and the triangles they are cut into from their first corner, in the order of the faces."""
    whole = mesh.faces[:, 2] != mesh.faces[:, 3]
    # (F, 2, 3): both halves of each face; the second half of a triangle is dropped.
    halves = np.array([[0, 1, 2], [0, 2, 3]])
    kept = np.column_stack([np.ones_like(whole), whole])
    material = np.array([layout.materials.index(name) for name in mesh.materials], dtype=np.uint8)
    return {
        "uv": mesh.texture_points.astype(np.float32),
        "tri": mesh.faces[:, halves][kept].astype(np.uint16),
        "tri_uv": mesh.face_points[:, halves][kept].astype(np.uint16),
        "tri_material": np.repeat(material[:, None], 2, axis=1)[kept],
        "material_names": np.array(layout.materials),
        "quad": mesh.faces.astype(np.uint16),
    }


def _tables(layout: Layout) -> Model:
    ends = np.cumsum([count for _, count in layout.parts])
    return {
        "landmarks68": np.array(layout.landmarks68, dtype=np.int32),
        "jaw_right17": np.array(layout.jaw_right17, dtype=np.int32),
        "jaw_left17": np.array(layout.jaw_left17, dtype=np.int32),
        "part_names": np.array([name for name, _ in layout.parts]),
        "part_range": np.column_stack([ends - [count for _, count in layout.parts], ends]).astype(np.int32),
    }
