"""Ambient occlusion of the rest head, baked once per process from depth maps seen from all sides."""

from __future__ import annotations

import moderngl
import numpy as np

from facesnap.world.facekit.head import HeadModel

VIEWS = 64
SIZE = 192
SOLID_PARTS = ("skin", "socket", "eye_l", "eye_r", "mouth")
_VERTEX = """#version 330
in vec3 in_position;
uniform mat4 u_view;
void main() { gl_Position = u_view * vec4(in_position, 1.0); }
"""
_FRAGMENT = "#version 330\nvoid main() {}"


def bake_ambient(gl: moderngl.Context, head: HeadModel) -> np.ndarray:
    """Openness (V,) in [0, 1] of every vertex: the cosine-weighted share of directions that see it."""
    program = gl.program(_VERTEX, _FRAGMENT)
    texture = gl.depth_texture((SIZE, SIZE))
    target = gl.framebuffer(depth_attachment=texture)
    solid = np.concatenate([head.triangles[head.part_triangles[p]] for p in SOLID_PARTS])
    array = gl.vertex_array(
        program,
        [(gl.buffer(head.mean.tobytes()), "3f", "in_position")],
        index_buffer=gl.buffer(solid.astype(np.int32).tobytes()),
    )
    normals = head.normals(head.mean)
    seen = np.zeros(len(head.mean))
    total = np.full(len(head.mean), 1e-6)
    middle = head.mean.mean(axis=0)
    gl.enable_only(moderngl.DEPTH_TEST)
    for direction in _directions(VIEWS):
        right = np.cross([0.2, 0.9, 0.1], direction)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(direction, right), -direction]) / 24.0
        view = np.eye(4)
        view[:3, :3], view[:3, 3] = rotation, -rotation @ middle
        program["u_view"].write(view.T.astype(np.float32).tobytes())  # type: ignore[union-attr]
        target.use()
        target.clear(depth=1.0)
        array.render()
        depth = np.frombuffer(texture.read(), np.float32).reshape(SIZE, SIZE)
        spot = (head.mean @ view[:3, :3].T + view[:3, 3] + 1) / 2
        column, row = (np.clip((spot[:, i] * SIZE).astype(int), 0, SIZE - 1) for i in range(2))
        weight = np.maximum(normals @ direction, 0)
        seen += weight * (depth[row, column] > spot[:, 2] - 0.012)
        total += weight
    for item in (array, target, texture, program):
        item.release()
    return np.asarray(np.clip(0.08 + 1.0 * seen / total, 0.05, 1.0), dtype=np.float32)


def _directions(count: int) -> np.ndarray:
    """Evenly spread unit vectors (count, 3) (a Fibonacci sphere)."""
    i = np.arange(count) + 0.5
    y = 1 - 2 * i / count
    angle = np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - y**2)
    return np.stack([radius * np.cos(angle), y, radius * np.sin(angle)], axis=1)
