"""The OBJ reader: what it takes, and one line for what it doesn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facesnap.core.errors import InputError
from facesnap.world.facekit.obj import read_mesh, read_vertices

MESH = b"""# made by hand\r
mtllib any.mtl\r
g everything\r
v 0 0 0\r
v 1 0 0 1.0\r
\tv 1e0 1 -0.5\r
v 0 1 0\r
vt 0 0\r
vt 1 0 0\r
vn 0 0 1\r
s off\r
f 1//1 2//1 3//1\r
usemtl skin of the face\r
f 1/1/1 2/2/1 3/1/1 4/2/1\r
f -4/-2 -3/-1 -1/-1\r
"""


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "mesh.obj"
    path.write_bytes(content)
    return path


def test_reads_what_others_write(tmp_path: Path) -> None:
    path = _write(tmp_path, MESH)
    mesh = read_mesh(path)
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, -0.5], [0, 1, 0]]
    assert mesh.texture_points.tolist() == [[0, 0], [1, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2, 2], [0, 1, 2, 3], [0, 1, 3, 3]]
    assert mesh.face_points.tolist() == [[-1, -1, -1, -1], [0, 1, 0, 1], [0, 1, 1, 1]]
    assert mesh.materials == ["", "skin of the face", "skin of the face"]
    assert np.array_equal(read_vertices(path), mesh.vertices)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"v 0 0 0\nv 1 2\n", "line 2, is not OBJ ('v 1 2')"),
        (b"v 0 0 0\nv 1 2 three\n", "line 2, is not OBJ"),
        (b"v 0 0 0\nvt 0 0\nv 1 2 nan\n", "line 3, is not OBJ"),
        (b"v 0 0 0\nf 1 1\n", "line 2, is not OBJ"),
        (b"v 0 0 0\nf 1 1 1 1 1\n", "line 2, is not OBJ"),
        (b"v 0 0 0\nf 1/x 1/1 1/1\n", "line 2, is not OBJ"),
        (b"v 0 0 0\nf 0 1 1\n", "line 2, is not OBJ"),
        (b"v 0 0 0\nf -2 1 1\n", "line 2, is not OBJ"),
        (b"v 0 0 0\nf 1 1 2\n", "a face whose vertex is not in the file"),
        (b"v 0 0 0\nvt 0 0\nf 1/1 1/1 1/2\n", "a face whose texture point is not in the file"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_mesh(_write(tmp_path, content))
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "mesh.obj"))
    assert said in message
    assert "\n" not in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.obj is missing"):
        read_vertices(tmp_path / "none.obj")
    with pytest.raises(InputError, match="can't be read"):
        read_vertices(tmp_path)
