"""Morphing on the card: a neutral mesh and expression weights -> positions and normals, in two compute passes."""

from __future__ import annotations

import moderngl
import numpy as np

from facesnap.world.render.mesh import Mesh, corner_rings

_GROUP = 64


class Morpher:
    """Holds the linear model on the card and writes the moved mesh into :attr:`moved`.

    Args:
        gl: the context.
        mesh: what is morphed.
        morph, normals: sources of the two compute shaders.
    """

    def __init__(self, gl: moderngl.Context, mesh: Mesh, morph: str, normals: str) -> None:
        self.gl = gl
        self.vertices, self.moving = len(mesh.mean), len(mesh.moving)
        self._morph, self._normals = gl.compute_shader(morph), gl.compute_shader(normals)
        starts, corners = corner_rings(mesh.triangles, self.vertices)
        self._positions = gl.buffer(mesh.mean.tobytes())
        #: (V, 6) f32 on the card: position, normal.
        self.moved = gl.buffer(reserve=self.vertices * 24)
        self._bound = [
            gl.buffer(mesh.moving.tobytes()), gl.buffer(mesh.expression.tobytes()), self._positions,
            gl.buffer(starts.tobytes()), gl.buffer(corners.tobytes()), self.moved,
        ]  # fmt: skip
        self._morph["u_moving"] = self.moving
        self._normals["u_vertices"] = self.vertices

    def run(self, neutral: np.ndarray, expression: np.ndarray) -> None:
        """Move a neutral mesh (V, 3) by expression weights (53,)."""
        self._positions.write(np.ascontiguousarray(neutral, np.float32).tobytes())
        used = np.flatnonzero(expression)
        rows, weights = np.zeros(53, np.int32), np.zeros(53, np.float32)
        rows[: len(used)], weights[: len(used)] = used, expression[used]
        self._morph["u_count"] = len(used)
        self._morph["u_rows"].write(rows.tobytes())  # type: ignore[union-attr]
        self._morph["u_weights"].write(weights.tobytes())  # type: ignore[union-attr]
        for binding, buffer in enumerate(self._bound):
            buffer.bind_to_storage_buffer(binding)
        self._morph.run(group_x=-(-self.moving // _GROUP))
        self.gl.memory_barrier()
        self._normals.run(group_x=-(-self.vertices // _GROUP))
        self.gl.memory_barrier()
