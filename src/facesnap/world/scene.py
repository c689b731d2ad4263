"""What the graphics card holds: programs, textures and buffers, all made once per process."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import moderngl
import numpy as np

from facesnap.core.errors import FaceSnapError
from facesnap.world import background, glasses, occluders
from facesnap.world.ambient import bake_ambient
from facesnap.world.clothes import GARMENTS, Torso, fold_map
from facesnap.world.hair import grow
from facesnap.world.head import HEAD_ORIGIN, HeadModel
from facesnap.world.masks import mask_textures, scalp_height

SHADOW_SIZE = 256
NOISE_SIZE = 32
#: Program -> (vertex shader, fragment shader).
PROGRAMS = {
    "skin": ("head.vert", "skin.frag"),
    "inner": ("head.vert", "inner.frag"),
    "head_depth": ("head.vert", "depth.frag"),
    "hair": ("hair.vert", "hair.frag"),
    "hair_depth": ("hair.vert", "depth.frag"),
    "beard": ("beard.vert", "hair.frag"),
    "solid": ("solid.vert", "solid.frag"),
    "solid_depth": ("solid.vert", "depth.frag"),
    "background": ("background.vert", "background.frag"),
}
#: Which texture unit each sampler reads.
UNITS = {"u_noise": 0, "u_shadow_map": 1, "u_mask_a": 2, "u_mask_b": 3, "u_picture": 4, "u_folds": 5}


class HairArrays(NamedTuple):
    """One grown hair style on the card: for the picture and for the shadow map."""

    shaded: moderngl.VertexArray
    depth: moderngl.VertexArray


class Scene:
    """OpenGL context and everything static in it.

    Args:
        head: the head model.
        side: side of the square picture that is drawn, in pixels.

    Raises:
        FaceSnapError: no OpenGL through EGL on this machine.
    """

    def __init__(self, head: HeadModel, side: int) -> None:
        self.head = head
        self.gl = open_context()
        self.target = self.gl.framebuffer(
            [self.gl.renderbuffer((side, side), 4)], self.gl.depth_renderbuffer((side, side))
        )
        self.programs = {name: self._program(*shaders) for name, shaders in PROGRAMS.items()}
        self.programs |= {made: self._program("cloth.vert", "cloth.frag", made) for made in sorted(cloth_defines())}
        self._make_textures()
        self.torso = Torso(head)
        self.triangles = np.concatenate([head.triangles, self.torso.triangles])
        self._make_head()
        self._make_solids()
        self._occluders: dict[tuple[str, int], tuple[moderngl.Buffer, moderngl.VertexArray, moderngl.VertexArray]] = {}
        self._hair: dict[tuple[str, int], HairArrays | None] = {}

    def _program(self, vertex: str, fragment: str, defines: str = "") -> moderngl.Program:
        lit = fragment not in ("depth.frag", "background.frag")
        before = ("common.glsl",) if vertex != "background.vert" else ()
        return self.gl.program(
            _source(*before, vertex), _source(*(("common.glsl", "light.glsl") * lit), fragment, defines=defines)
        )

    def _make_textures(self) -> None:
        self.shadow_map = self.gl.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow_map.compare_func = ""
        self.shadow_target = self.gl.framebuffer(depth_attachment=self.shadow_map)
        noise = np.random.default_rng(11).random((NOISE_SIZE,) * 3 + (4,))
        volume = self.gl.texture3d((NOISE_SIZE,) * 3, 4, (noise * 255).astype(np.uint8).tobytes())
        masks = [
            self.gl.texture(mask.shape[:2], 4, mask.astype(np.float16).tobytes(), dtype="f2")
            for mask in mask_textures(self.head)
        ]
        self.backdrop = self.gl.texture((background.SIZE, background.SIZE), 3)
        folds = fold_map()
        self.folds = self.gl.texture(folds.shape[1::-1], 4, folds.tobytes())
        flat = (self.shadow_map, *masks, self.backdrop, self.folds)
        for texture in flat:
            texture.repeat_x = texture.repeat_y = False
        volume.use(0)
        for unit, texture in enumerate(flat, start=1):
            texture.use(unit)
        for name, unit in UNITS.items():
            self.set(name, unit)

    def _make_head(self) -> None:
        """The head with the torso below it: positions and normals change per picture, the rest never."""
        head = self.head
        rest = np.concatenate([head.mean + HEAD_ORIGIN, self.torso.static[:, :3]])
        ambient = np.ones(len(rest), np.float32)
        ambient[: len(head.mean)] = bake_ambient(self.gl, head)
        static = np.concatenate([rest, ambient[:, None], scalp_height(rest)[:, None]], axis=1).astype(np.float32)
        self._static = self.gl.buffer(static.tobytes())
        self.moving = self.gl.buffer(reserve=len(rest) * 24)
        skin = head.triangles[head.part_triangles["skin"]]
        self.parts = {
            name: self.head_array("skin" if name == "skin" else "inner", head.triangles[part])
            for name, part in head.part_triangles.items()
        }
        cloth = np.concatenate([np.zeros((len(head.mean), 12), np.float32), self.torso.static])
        self._cloth = self.gl.buffer(cloth.tobytes())
        pieces = {
            name: self.gl.buffer(self.torso.triangles[part].tobytes()) for name, part in self.torso.pieces.items()
        }
        self.cloth = {
            (made, name): self._cloth_array(made, index) for made in cloth_defines() for name, index in pieces.items()
        }
        trunk = self.torso.triangles[self.torso.pieces["trunk"]]
        self.parts["shadow"] = self.head_array("head_depth", np.concatenate([skin, trunk]))

    def head_array(self, program: str, triangles: np.ndarray) -> moderngl.VertexArray:
        """A vertex array that draws ``triangles`` (F, 3) of the head (or torso) with a program."""
        used = self.programs[program]
        content = [
            (self.moving, *_layout(used, (("in_position", 3), ("in_normal", 3)))),
            (self._static, *_layout(used, (("in_rest", 4), ("in_scalp", 1)))),
        ]
        return self.gl.vertex_array(used, content, index_buffer=self.gl.buffer(triangles.astype(np.int32).tobytes()))

    def _cloth_array(self, program: str, index: moderngl.Buffer) -> moderngl.VertexArray:
        used = self.programs[program]
        content = [
            (self.moving, *_layout(used, (("in_position", 3), ("in_normal", 3)))),
            (self._cloth, *_layout(used, (("in_rest", 4), ("in_cloth", 4), ("in_shade", 4)))),
        ]
        return self.gl.vertex_array(used, content, index_buffer=index)

    def _make_solids(self) -> None:
        quad = self.gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32).tobytes())
        self.backdrop_array = self.gl.vertex_array(self.programs["background"], [(quad, "2f", "in_position")])
        solid = self.programs["solid"]
        layout = _layout(solid, (("in_position", 3), ("in_normal", 3)))
        self.glasses: dict[str, tuple[moderngl.VertexArray, moderngl.VertexArray]] = {}
        for kind in glasses.FRAMES:
            vertices, frame, lens = glasses.build(kind)
            buffer = self.gl.buffer(vertices.tobytes())
            frame_array, lens_array = (
                self.gl.vertex_array(solid, [(buffer, *layout)], index_buffer=self.gl.buffer(part.tobytes()))
                for part in (frame, lens)
            )
            self.glasses[kind] = (frame_array, lens_array)

    def occluder_arrays(
        self, kind: str, variant: int, placed: np.ndarray
    ) -> tuple[moderngl.VertexArray, moderngl.VertexArray]:
        """The arrays (shaded, shadow) of an occluder whose vertices (N, 6) are written for this picture."""
        key = (kind, variant % occluders.VARIANTS[kind])
        if key not in self._occluders:
            buffer = self.gl.buffer(reserve=placed.nbytes)
            index = self.gl.buffer(occluders.build(*key)[1].tobytes())
            shaded, shadow = (
                self.gl.vertex_array(
                    program, [(buffer, *_layout(program, (("in_position", 3), ("in_normal", 3))))], index_buffer=index
                )
                for program in (self.programs["solid"], self.programs["solid_depth"])
            )
            self._occluders[key] = buffer, shaded, shadow
        buffer, shaded, shadow = self._occluders[key]
        buffer.write(placed.astype(np.float32).tobytes())
        return shaded, shadow

    def beard_array(self, strands: int) -> tuple[moderngl.Buffer, moderngl.VertexArray]:
        """Instanced short ribbons: the buffer of roots to fill per picture, and the array to draw."""
        corner = np.array([(along, side, 0) for along in (0.0, 0.5, 1.0) for side in (-1.0, 1.0)], np.float32)
        index = np.array([0, 1, 2, 2, 1, 3, 2, 3, 4, 4, 3, 5], np.int32)
        roots = self.gl.buffer(reserve=strands * 32)
        content = [
            (self.gl.buffer(corner.tobytes()), "3f", "in_corner"),
            (roots, "3f 3f 2f/i", "in_root", "in_direction", "in_kind"),
        ]
        array = self.gl.vertex_array(self.programs["beard"], content, index_buffer=self.gl.buffer(index.tobytes()))
        return roots, array

    def hair(self, style: str, variant: int) -> HairArrays | None:
        """A hair style, grown and kept on first use; None for a bald head."""
        key = (style, variant)
        if key not in self._hair:
            ribbons = grow(self.head, style, variant)
            buffer = self.gl.buffer(ribbons.vertices.tobytes()) if len(ribbons.vertices) else None
            index = self.gl.buffer(ribbons.indices.tobytes()) if buffer else None
            fields = (("in_position", 3), ("in_tangent", 4), ("in_strand", 4))
            made = [
                self.gl.vertex_array(program, [(buffer, *_layout(program, fields))], index_buffer=index)
                for program in (self.programs["hair"], self.programs["hair_depth"])
                if buffer
            ]
            self._hair[key] = HairArrays(*made) if made else None
        return self._hair[key]

    def with_torso(self, vertices: np.ndarray) -> np.ndarray:
        """Append the torso's vertices to the head's (V, 3)."""
        return np.concatenate([vertices, self.torso.vertices(vertices)])

    def set(self, name: str, value: Any) -> None:
        """Set a uniform in every program that has it; matrices (R, C) are given as in mathematics."""
        for program in self.programs.values():
            if name not in program:
                continue
            uniform: Any = program[name]
            if isinstance(value, np.ndarray):
                columns = value.T if value.ndim == 2 else value
                uniform.write(np.ascontiguousarray(columns, dtype=np.float32).tobytes())
            else:
                uniform.value = value

    def set_all(self, values: dict[str, Any]) -> None:
        """Set several uniforms."""
        for name, value in values.items():
            self.set(name, value)


def cloth_defines() -> set[str]:
    """Defines of the cloth programs that garments need."""
    return {layer.defines for layers in GARMENTS.values() for layer in layers}


def open_context() -> moderngl.Context:
    """A windowless OpenGL context.

    Raises:
        FaceSnapError: no OpenGL through EGL on this machine.
    """
    try:
        made: moderngl.Context = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        return made
    except Exception as error:  # moderngl raises plain Exception
        needed = "install libegl1, libgl1-mesa-dri and libgles2"
        raise FaceSnapError(f"no OpenGL through EGL on this machine ({error}): {needed}") from error


def _source(*names: str, defines: str = "") -> str:
    folder = files("facesnap.world") / "glsl"
    return "#version 330\n" + defines + "\n".join((folder / name).read_text() for name in names)


def _layout(program: moderngl.Program, fields: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Buffer layout that skips attributes the compiler dropped."""
    kinds = [f"{count}f" if name in program else f"{count}x4" for name, count in fields]
    return (" ".join(kinds), *(name for name, _ in fields if name in program))
