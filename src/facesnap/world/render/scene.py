"""What the graphics card holds: programs, textures and buffers; hair and occluders are added on first use."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import moderngl
import numpy as np

from facesnap.core.errors import FaceSnapError
from facesnap.world.backdrops import background
from facesnap.world.clothes.folds import fold_map
from facesnap.world.clothes.garments import GARMENTS
from facesnap.world.clothes.torso import torso_of
from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel
from facesnap.world.hair.ribbons import Ribbons, grow
from facesnap.world.render.ambient import bake_ambient
from facesnap.world.render.masks import mask_textures, scalp_height
from facesnap.world.render.mesh import build_mesh
from facesnap.world.render.morph import Morpher
from facesnap.world.render.skin import CENTRE, SkinBaker, atlas_place
from facesnap.world.worn import glasses, occluders

SHADOW_SIZE = 512
NOISE_SIZE = 32
#: Program -> vertex shader, fragment shader, and what is defined in it.
PROGRAMS = {
    "bake": ("bake.vert", "bake.frag"),
    "skin": ("head.vert", "skin.frag"),
    "bearded": ("head.vert", "skin.frag", "BEARD"),
    "inner": ("head.vert", "inner.frag"),
    "head_depth": ("head.vert", "depth.frag"),
    "hair": ("hair.vert", "hair.frag"),
    "hair_depth": ("hair.vert", "depth.frag"),
    "beard": ("beard.vert", "hair.frag"),
    "solid": ("solid.vert", "solid.frag"),
    "solid_depth": ("solid.vert", "depth.frag"),
    "background": ("background.vert", "background.frag"),
}
#: Which texture unit each sampler reads: its place here.
SAMPLERS = ("u_noise", "u_shadow_map", "u_mask_a", "u_mask_b", "u_picture", "u_albedo", "u_relief", "u_folds")
UNITS = {name: unit for unit, name in enumerate(SAMPLERS)}
#: What a vertex has in a buffer: attributes and their numbers of floats.
Fields = tuple[tuple[str, int], ...]
SURFACE: Fields = (("in_position", 3), ("in_normal", 3))
UNLIT = ("depth.frag", "background.frag", "bake.frag", "hair.frag")
#: Lit per vertex: their fragments are many and small.
LIT_BY_VERTEX = ("hair.vert", "beard.vert")
#: Where the bare chest is (cm, model space): half its width, lowest and highest height (there the head model ends).
CHEST = (5.5, -27.0, -18.4)


class Arrays(NamedTuple):
    """Something on the card, for the picture and for the shadow map."""

    shaded: moderngl.VertexArray
    depth: moderngl.VertexArray


class Scene:
    """OpenGL context and everything static in it.

    Args:
        head: the head model.
        size: side of the pictures in pixels.
        samples: supersampling per axis.

    Raises:
        FaceSnapError: no OpenGL through EGL on this machine.
    """

    def __init__(self, head: HeadModel, size: int, samples: int) -> None:
        self.head, self.torso = head, torso_of(head)
        self.mesh = build_mesh(head, self.torso)
        self.gl = open_context()
        shape = (size * samples, size * samples)
        self.target = self.gl.framebuffer([self.gl.renderbuffer(shape, 4)], self.gl.depth_renderbuffer(shape))
        self.programs = {name: self._program(*shaders) for name, shaders in PROGRAMS.items()}
        self.programs |= {made: self._program("cloth.vert", "cloth.frag", *made.split(";")) for made in cloth_defines()}
        self._make_textures()
        self.baker = SkinBaker(self.gl, size)
        self.morpher = Morpher(self.gl, self.mesh, _source("morph.comp"), _source("normals.comp"))
        self._make_head()
        self._make_cloth()
        self._make_solids()
        self._occluders: dict[tuple[str, int], tuple[moderngl.Buffer, Arrays]] = {}
        self._hair: dict[tuple[str, int], Arrays | None] = {}

    def _program(self, vertex: str, fragment: str, *defined: str) -> moderngl.Program:
        lit = fragment not in UNLIT
        before: tuple[str, ...] = ("common.glsl",) if vertex not in ("background.vert", "bake.vert") else ()
        before += ("light.glsl", "hair_light.glsl") * (vertex in LIT_BY_VERTEX)
        return self.gl.program(
            _source(*before, vertex), _source(*(("common.glsl", "light.glsl") * lit), fragment, defined=defined)
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
        self._folds = self.gl.texture(folds.shape[1::-1], 4, folds.tobytes())
        flat = (self.shadow_map, *masks, self.backdrop, self._folds)
        volume.use(UNITS["u_noise"])
        for name, texture in zip(("u_shadow_map", "u_mask_a", "u_mask_b", "u_picture", "u_folds"), flat, strict=True):
            texture.repeat_x = texture.repeat_y = False
            self.use(name, texture)
        for name, unit in UNITS.items():
            self.set(name, unit)

    def _make_head(self) -> None:
        """The head with the torso below it: positions and normals change per picture, the rest never."""
        head = self.head
        rest = np.concatenate([head.mean + HEAD_ORIGIN, self.torso.static[:, :3]])
        ambient = np.concatenate([bake_ambient(self.gl, head), self.torso.static[:, 3]])
        static = np.concatenate([rest, ambient[:, None], scalp_height(rest)[:, None], atlas_place(rest)], axis=1)
        self._static = self.gl.buffer(static.astype(np.float32).tobytes())
        self.parts = {
            name: self.head_array("inner", head.triangles[part]) for name, part in head.part_triangles.items()
        }
        skin = head.triangles[head.part_triangles["skin"]]
        chest = self.torso.triangles[self.torso.pieces["front"]]  # what an open collar shows below the head model
        across, up = np.abs(rest[chest][:, :, 0]), rest[chest][:, :, 1]
        chest = chest[((across < CHEST[0]) & (up > CHEST[1]) & (up < CHEST[2])).all(axis=1)]
        skin = np.concatenate([skin, chest])
        self.parts["skin"] = self.head_array("skin", skin)
        self.parts["bearded"] = self.head_array("bearded", skin)
        trunk = self.torso.triangles[self.torso.pieces["trunk"]]
        self.parts["shadow"] = self.head_array("head_depth", np.concatenate([skin, trunk]))
        behind = (rest[skin] - CENTRE)[:, :, 2] < -0.9 * np.linalg.norm(rest[skin] - CENTRE, axis=2)
        self.parts["bake"] = self.head_array("bake", skin[~behind.any(axis=1)])  # what the atlas tears is left out

    def head_array(self, program: str, triangles: np.ndarray) -> moderngl.VertexArray:
        """A vertex array that draws ``triangles`` (F, 3) of the mesh with a program."""
        static = (("in_rest", 4), ("in_scalp", 1), ("in_atlas", 2))
        return self._array(program, self._index(triangles), (self.morpher.moved, SURFACE), (self._static, static))

    def _index(self, corners: np.ndarray) -> moderngl.Buffer:
        return self.gl.buffer(corners.astype(np.int32).tobytes())

    def _array(
        self, program: str, index: moderngl.Buffer, *sources: tuple[moderngl.Buffer, Fields]
    ) -> moderngl.VertexArray:
        """A vertex array of a program from buffers and what a vertex has in each; unused buffers are left out."""
        used = self.programs[program]
        content = [(buffer, *_layout(used, fields)) for buffer, fields in sources if any(n in used for n, _ in fields)]
        return self.gl.vertex_array(used, content, index_buffer=index)

    def _make_cloth(self) -> None:
        """The torso's pieces for each cloth program; the head's vertices come before the torso's and are not drawn."""
        unused = np.zeros((len(self.head.mean), self.torso.static.shape[1]), np.float32)
        static = self.gl.buffer(np.concatenate([unused, self.torso.static]).astype(np.float32).tobytes())
        sources = (self.morpher.moved, SURFACE), (static, (("in_rest", 4), ("in_cloth", 4), ("in_shade", 4)))
        pieces = {name: self._index(self.torso.triangles[part]) for name, part in self.torso.pieces.items()}
        self.cloth: dict[tuple[str, str], moderngl.VertexArray] = {
            (made, name): self._array(made, index, *sources)
            for made in cloth_defines()
            for name, index in pieces.items()
        }

    def _make_solids(self) -> None:
        quad = self.gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32).tobytes())
        self.backdrop_array = self.gl.vertex_array(self.programs["background"], [(quad, "2f", "in_position")])
        self.glasses: dict[str, tuple[moderngl.VertexArray, moderngl.VertexArray]] = {}
        for kind in glasses.FRAMES:
            vertices, frame, lens = glasses.build(kind)
            source = (self.gl.buffer(vertices.tobytes()), SURFACE)
            self.glasses[kind] = (
                self._array("solid", self._index(frame), source), self._array("solid", self._index(lens), source),
            )  # fmt: skip

    def occluder(self, kind: str, variant: int, placed: np.ndarray) -> Arrays:
        """An occluder whose vertices (N, 6) are ``placed`` for this picture."""
        key = (kind, variant % occluders.VARIANTS[kind])
        if key not in self._occluders:
            buffer = self.gl.buffer(reserve=placed.nbytes)
            index = self._index(occluders.build(*key)[1])
            made = (self._array(program, index, (buffer, SURFACE)) for program in ("solid", "solid_depth"))
            self._occluders[key] = buffer, Arrays(*made)
        buffer, arrays = self._occluders[key]
        buffer.write(placed.astype(np.float32).tobytes())
        return arrays

    def beard_array(self, strands: int) -> tuple[moderngl.Buffer, moderngl.VertexArray]:
        """Instanced short ribbons: the buffer of roots to fill per picture, and the array to draw."""
        corner = np.array([(along, side) for along in (0.0, 0.5, 1.0) for side in (-1.0, 1.0)], np.float32)
        index = np.array([0, 1, 2, 2, 1, 3, 2, 3, 4, 4, 3, 5], np.int32)
        roots = self.gl.buffer(reserve=strands * 32)
        content = [
            (self.gl.buffer(corner.tobytes()), "2f", "in_corner"),
            (roots, "3f 3f 2f/i", "in_root", "in_direction", "in_kind"),
        ]
        array = self.gl.vertex_array(self.programs["beard"], content, index_buffer=self.gl.buffer(index.tobytes()))
        return roots, array

    def hair(self, style: str, variant: int) -> Arrays | None:
        """A hair style, grown and kept on first use; None for a bald head."""
        key = (style, variant)
        if key not in self._hair:
            self._hair[key] = self._strands(grow(self.head, style, variant))
        return self._hair[key]

    def _strands(self, ribbons: Ribbons) -> Arrays | None:
        if not len(ribbons.vertices):
            return None
        source = self.gl.buffer(ribbons.vertices.tobytes()), (("in_position", 3), ("in_tangent", 4), ("in_strand", 4))
        uses = (("hair", ribbons.indices), ("hair_depth", ribbons.shadow_indices))
        return Arrays(*(self._array(program, self._index(order), source) for program, order in uses))

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

    def use(self, name: str, texture: moderngl.Texture) -> None:
        """Put a texture where a sampler reads it."""
        texture.use(UNITS[name])

    def set_all(self, values: dict[str, Any]) -> None:
        """Set several uniforms."""
        for name, value in values.items():
            self.set(name, value)


def cloth_defines() -> list[str]:
    """Cloth programs that garments need, by what is defined in them."""
    return sorted({layer.defines for layers in GARMENTS.values() for layer in layers})


def open_context() -> moderngl.Context:
    """A windowless OpenGL context.

    Raises:
        FaceSnapError: no OpenGL through EGL on this machine.
    """
    try:
        made: moderngl.Context = moderngl.create_context(require=430, standalone=True, backend="egl")  # type: ignore[arg-type]
        return made
    except Exception as error:  # moderngl raises plain Exception
        needed = "install libegl1, libgl1-mesa-dri and libgles2"
        raise FaceSnapError(f"no OpenGL 4.3 through EGL on this machine ({error}): {needed}") from error


def _source(*names: str, defined: tuple[str, ...] = ()) -> str:
    folder = files("facesnap.world.render") / "glsl"
    return (
        "#version 430\n"
        + "".join(f"#define {name}\n" for name in defined)
        + "\n".join((folder / name).read_text() for name in names)
    )


def _layout(program: moderngl.Program, fields: Fields) -> tuple[str, ...]:
    """Buffer layout that skips attributes the compiler dropped."""
    kinds = [f"{count}f" if name in program else f"{count}x4" for name, count in fields]
    return (" ".join(kinds), *(name for name, _ in fields if name in program))
