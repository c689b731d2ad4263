"""A reader of Wavefront OBJ meshes: vertices, texture points, faces of three or four corners, material names.

Everything else in a file (comments, normals, groups, smoothing) is passed over. Errors name the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facesnap.core.errors import InputError, one_line


@dataclass(frozen=True)
class Mesh:
    """What a file holds: V vertices, T texture points, F faces. A triangle repeats its last corner."""

    vertices: np.ndarray  #: (V, 3) f64, the file's own unit
    texture_points: np.ndarray  #: (T, 2) f64
    faces: np.ndarray  #: (F, 4) i64, vertex indices from 0
    face_points: np.ndarray  #: (F, 4) i64, texture point indices from 0; -1 where a face has none
    materials: list[str]  #: (F,) material of each face, "" before the first ``usemtl``


@dataclass
class _Faces:
    """Faces as they are met."""

    corners: list[list[int]] = field(default_factory=list)
    points: list[list[int]] = field(default_factory=list)
    materials: list[str] = field(default_factory=list)


def read_vertices(path: Path) -> np.ndarray:
    """Only the vertices of an OBJ file, (V, 3) f64: what a morph target of a known mesh adds.

    Raises:
        InputError: missing, unreadable, or a line that isn't OBJ.
    """
    return _table(path, _lines(path), b"v", 3)


def read_mesh(path: Path) -> Mesh:
    """A whole OBJ file.

    Raises:
        InputError: missing, unreadable, a line that isn't OBJ, or an index that points nowhere.
    """
    lines = _lines(path)
    vertices, texture_points = _table(path, lines, b"v", 3), _table(path, lines, b"vt", 2)
    found = _faces(path, lines)
    faces = np.array(found.corners, dtype=np.int64).reshape(-1, 4)
    points = np.array(found.points, dtype=np.int64).reshape(-1, 4)
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise InputError(f"{path} has a face whose vertex is not in the file: it is damaged or cut short")
    if points.size and (points.min() < -1 or points.max() >= len(texture_points)):
        raise InputError(f"{path} has a face whose texture point is not in the file: it is damaged or cut short")
    return Mesh(vertices, texture_points, faces, points, found.materials)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {one_line(error)}") from error


def _table(path: Path, lines: list[bytes], keyword: bytes, columns: int) -> np.ndarray:
    """The first ``columns`` numbers of every line of a keyword, f64."""
    rows = [words for words in map(bytes.split, lines) if words and words[0] == keyword]
    try:
        numbers = [float(word) for words in rows for word in words[1 : columns + 1]]
    except ValueError as error:
        raise _bad_line(path, lines, keyword, columns) from error
    table = np.array(numbers, dtype=np.float64)
    if table.size != len(rows) * columns or not np.isfinite(table).all():
        raise _bad_line(path, lines, keyword, columns)
    return table.reshape(-1, columns)


def _bad_line(path: Path, lines: list[bytes], keyword: bytes, columns: int) -> InputError:
    """The error for the first line of a keyword without ``columns`` finite numbers."""
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and words[0] == keyword:
            try:
                good = len(words) > columns and all(np.isfinite(float(word)) for word in words[1 : columns + 1])
            except ValueError:
                good = False
            if not good:
                return _bad(path, number, line)
    return InputError(f"{path} is not a readable OBJ file")


def _bad(path: Path, number: int, line: bytes) -> InputError:
    text = line[:60].decode(errors="replace").strip()
    return InputError(f"{path}, line {number}, is not OBJ ({text!r}): it is damaged or cut short")


def _faces(path: Path, lines: list[bytes]) -> _Faces:
    found, material, vertices, points = _Faces(), "", 0, 0
    for number, line in enumerate(lines, start=1):
        words = line.split()
        keyword = words[0] if words else b""
        if keyword == b"v":
            vertices += 1
        elif keyword == b"vt":
            points += 1
        elif keyword == b"usemtl":
            material = b" ".join(words[1:]).decode(errors="replace")
        elif keyword == b"f":
            try:
                _add_face(found, words[1:], vertices, points)
            except ValueError as error:
                raise _bad(path, number, line) from error
            found.materials.append(material)
    return found


def _add_face(found: _Faces, words: list[bytes], vertices: int, points: int) -> None:
    """One face ``v``, ``v/vt`` or ``v/vt/vn`` per corner; indices below 0 count back from the last one so far."""
    if len(words) not in (3, 4):
        raise ValueError("a face has three or four corners")
    corners, textures = [], []
    for word in words:
        parts = word.split(b"/")
        corners.append(_index(int(parts[0]), vertices))
        textures.append(_index(int(parts[1]), points) if len(parts) > 1 and parts[1] else -1)
    found.corners.append(corners + corners[len(words) - 1 :] if len(words) == 3 else corners)
    found.points.append(textures + textures[len(words) - 1 :] if len(words) == 3 else textures)


def _index(index: int, count: int) -> int:
    if index == 0 or index < -count:
        raise ValueError("indices count from 1")
    return index - 1 if index > 0 else count + index
