"""The renderer: one OpenGL context, static buffers made once, a picture and its labels per call."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import cv2
import moderngl
import numpy as np

from facesnap.core.errors import FaceSnapError
from facesnap.core.types import Camera, rotation_matrix
from facesnap.world import background, glasses
from facesnap.world.ambient import bake_ambient
from facesnap.world.characters import Conditions, Person
from facesnap.world.clothes import GARMENTS, Torso
from facesnap.world.hair import STYLES, affine_fit, grow
from facesnap.world.head import HEAD_ORIGIN, load_head
from facesnap.world.labels import labels_of
from facesnap.world.lights import set_up
from facesnap.world.masks import beard_roots, mask_textures, scalp_height
from facesnap.world.palette import DYED_HAIR, GLASSES, LIPSTICK, linear

SHADOW_SIZE = 256
INNER_PARTS = {"socket": 1, "eye_l": 2, "eye_r": 2, "lash": 3, "mouth": 4, "gums": 5, "teeth": 6}
BODY_TURN = 0.45  #: how much of the head's rotation the torso follows
NECK = np.array([0.0, -12.0, 0.0]) - HEAD_ORIGIN
EYE_RADIUS = 1.53
BEARDS = {"stubble": 0, "moustache": 1, "full beard": 2}


@dataclass(frozen=True)
class Render:
    """A picture (S, S, 3) uint8 RGB and its labels (JSON-ready)."""

    image: np.ndarray
    labels: dict[str, Any]


@dataclass(frozen=True)
class Shaped:
    """A person's neutral head and what is fitted to it once."""

    neutral: np.ndarray
    carry_hair: np.ndarray
    carry_glasses: np.ndarray


def _source(*names: str) -> str:
    folder = files("facesnap.world") / "glsl"
    return "#version 330\n" + "\n".join((folder / name).read_text() for name in names)


class Renderer:
    """Draws people.

    Args:
        size: side of the pictures in pixels.
        samples: supersampling per axis.

    Raises:
        FaceSnapError: no OpenGL through EGL on this machine.
        InputError: the head model is absent.
    """

    def __init__(self, size: int = 128, samples: int = 2) -> None:
        self.size, self.samples = size, samples
        self.head = load_head()
        try:
            self.gl = moderngl.create_standalone_context(backend="egl")
        except Exception as error:  # moderngl raises plain Exception
            raise FaceSnapError(f"no OpenGL by EGL here ({error}): install libegl1, libgl1-mesa-dri, libgles2") from error
        side = size * samples
        self.target = self.gl.framebuffer([self.gl.renderbuffer((side, side), 4)], self.gl.depth_renderbuffer((side, side)))
        self.shadow_map = self.gl.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow_map.compare_func = ""
        self.shadow_map.repeat_x = self.shadow_map.repeat_y = False
        self.shadow_target = self.gl.framebuffer(depth_attachment=self.shadow_map)
        self._programs()
        self._textures()
        self._head_buffers()
        self._solids()
        self.strands: dict[tuple[str, int], tuple[moderngl.VertexArray, moderngl.VertexArray] | None] = {}
        self.people: OrderedDict[tuple[int, int], Shaped] = OrderedDict()

    # -- set-up, once per process -------------------------------------------------------------------

    def _programs(self) -> None:
        def program(vertex: str, fragment: str) -> moderngl.Program:
            lit = ("light.glsl",) if fragment not in ("depth.frag", "background.frag") else ()
            shared = ("common.glsl",) if vertex != "background.vert" else ()
            fragment_shared = ("common.glsl", *lit) if lit else ()
            return self.gl.program(_source(*shared, vertex), _source(*fragment_shared, fragment))

        self.programs = {
            "skin": program("head.vert", "skin.frag"), "inner": program("head.vert", "inner.frag"),
            "cloth": program("head.vert", "cloth.frag"), "hair": program("hair.vert", "hair.frag"),
            "beard": program("beard.vert", "hair.frag"), "solid": program("solid.vert", "solid.frag"),
            "background": program("background.vert", "background.frag"), "head_depth": program("head.vert", "depth.frag"),
            "hair_depth": program("hair.vert", "depth.frag"),
        }  # fmt: skip

    def _textures(self) -> None:
        noise = np.random.default_rng(11).random((32, 32, 32, 4))
        self.noise = self.gl.texture3d((32, 32, 32), 4, (noise * 255).astype(np.uint8).tobytes())
        masks = []
        for texture in mask_textures(self.head):
            mask = self.gl.texture(texture.shape[:2], 4, texture.astype(np.float16).tobytes(), dtype="f2")
            mask.repeat_x = mask.repeat_y = False
            masks.append(mask)
        self.masks = masks
        self.backdrop = self.gl.texture((background.SIZE, background.SIZE), 3)
        self.backdrop.repeat_x = self.backdrop.repeat_y = False
        for unit, texture in enumerate((self.noise, self.shadow_map, *masks, self.backdrop)):
            texture.use(unit)

    def _head_buffers(self) -> None:
        head, self.torso = self.head, Torso(self.head)
        rest = self._with_torso(head.mean) + HEAD_ORIGIN
        self.triangles = np.concatenate([head.triangles, self.torso.triangles])
        # parts do not shade each other's normals: torso, skin and the inner parts only touch at seams
        self.corners = self.triangles.T.ravel()
        ambient = np.ones(len(rest), np.float32)
        ambient[: len(head.mean)] = bake_ambient(self.gl, head)
        static = np.concatenate([rest, ambient[:, None], scalp_height(rest)[:, None]], axis=1).astype(np.float32)
        self.static = self.gl.buffer(static.tobytes())
        self.moving = self.gl.buffer(reserve=len(rest) * 24)
        self.arrays: dict[str, moderngl.VertexArray] = {}
        skin = head.triangles[head.part_triangles["skin"]]
        low = (rest[skin][:, :, 1] < -5.0).all(axis=1)
        sets = {name: head.triangles[part] for name, part in head.part_triangles.items()}
        sets["cloth"] = np.concatenate([skin[low], self.torso.triangles])
        sets["shadow"] = np.concatenate([skin, self.torso.triangles])
        for name, triangles in sets.items():
            program = {"skin": "skin", "cloth": "cloth", "shadow": "head_depth"}.get(name, "inner")
            self.arrays[name] = self._head_array(program, triangles)
        self.arrays["cloth_shadow"] = self._head_array("head_depth", sets["cloth"])
        roots, self.root_weights, self.root_moustache = beard_roots(head, 2600)
        self.root_triangles = roots
        rng = np.random.default_rng(3)
        self.root_random = rng.uniform(0.7, 1.3, (len(roots), 4)).astype(np.float32)
        corner = np.array([(t, s, 0) for t in (0.0, 0.5, 1.0) for s in (-1.0, 1.0)], np.float32)
        self.beard_buffer = self.gl.buffer(reserve=len(roots) * 32)
        self.beard_array = self.gl.vertex_array(
            self.programs["beard"],
            [(self.gl.buffer(corner.tobytes()), "3f", "in_corner"),
             (self.beard_buffer, "3f 3f 2f/i", "in_root", "in_direction", "in_kind")],
            index_buffer=self.gl.buffer(np.array([0, 1, 2, 2, 1, 3, 2, 3, 4, 4, 3, 5], np.int32).tobytes()),
        )  # fmt: skip
        self.skin_vertices = head.part_vertices["skin"]
        height = scalp_height(rest[self.skin_vertices])
        self.scalp = self.skin_vertices[height > -1.0][::4]
        self.eye_area = np.concatenate([head.landmarks[17:31], head.landmarks[36:52], head.landmarks[[0, 1, 15, 16, 0, 16]]])

    def _head_array(self, program: str, triangles: np.ndarray) -> moderngl.VertexArray:
        used = self.programs[program]
        static = "3f4 1x4" if False else "4f 1f"
        names = [n if n in used else None for n in ("in_rest", "in_scalp")]
        content: list[Any] = [(self.moving, *_layout(used, (("in_position", 3), ("in_normal", 3))))]
        content.append((self.static, *_layout(used, (("in_rest", 4), ("in_scalp", 1)))))
        del static, names
        return self.gl.vertex_array(used, content, index_buffer=self.gl.buffer(triangles.astype(np.int32).tobytes()))

    def _solids(self) -> None:
        quad = self.gl.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32).tobytes())
        self.backdrop_array = self.gl.vertex_array(self.programs["background"], [(quad, "2f", "in_position")])
        self.frames = {}
        for kind in glasses.FRAMES:
            vertices, frame, lens = glasses.build(kind)
            buffer = self.gl.buffer(vertices.tobytes())
            layout = _layout(self.programs["solid"], (("in_position", 3), ("in_normal", 3), ("in_rest", 3)))
            self.frames[kind] = [
                self.gl.vertex_array(self.programs["solid"], [(buffer, *layout)], index_buffer=self.gl.buffer(part.tobytes()))
                for part in (frame, lens)
            ]

    def _hair_arrays(self, style: str, variant: int) -> tuple[moderngl.VertexArray, moderngl.VertexArray] | None:
        key = (style, variant)
        if key not in self.strands:
            ribbons = grow(self.head, style, variant)
            self.strands[key] = None
            if len(ribbons.indices):
                buffer, index = self.gl.buffer(ribbons.vertices.tobytes()), self.gl.buffer(ribbons.indices.tobytes())
                made = []
                for name in ("hair", "hair_depth"):
                    layout = _layout(self.programs[name], (("in_position", 3), ("in_tangent", 4), ("in_strand", 4)))
                    made.append(self.gl.vertex_array(self.programs[name], [(buffer, *layout)], index_buffer=index))
                self.strands[key] = (made[0], made[1])
        return self.strands[key]

    # -- per person and per picture -----------------------------------------------------------------

    def _with_torso(self, vertices: np.ndarray) -> np.ndarray:
        return np.concatenate([vertices, self.torso.vertices(vertices)])

    def shaped(self, person: Person) -> Shaped:
        """A person's neutral head (V, 3) and fits; the last few people are remembered."""
        key = (person.seed, person.person_id)
        if key not in self.people:
            neutral = self.head.neutral(person.shape)
            rest = self.head.mean
            self.people[key] = Shaped(
                neutral, affine_fit(rest[self.scalp], neutral[self.scalp]), affine_fit(rest[self.eye_area], neutral[self.eye_area])
            )
            if len(self.people) > 4:
                self.people.popitem(last=False)
        return self.people[key]

    def render(self, person: Person, conditions: Conditions) -> Render:
        """Draw one picture with its labels."""
        shaped = self.shaped(person)
        vertices = self.head.express(shaped.neutral, conditions.expression)
        posed_eyes, eyes = self._eyes(vertices, conditions)
        full = self._with_torso(posed_eyes)
        normals = self._normals(full)
        self.moving.write(np.concatenate([full, normals], axis=1).astype(np.float32).tobytes())
        rotation = rotation_matrix(conditions.yaw, conditions.pitch, conditions.roll)
        camera = conditions.camera(self.size)
        self._shared_uniforms(person, conditions, rotation, camera, shaped)
        hair = self._hair_arrays(conditions.hair_style, conditions.hair_variant)
        self._shadow_pass(hair)
        self._main_pass(person, conditions, full, normals, eyes, hair)
        landmarks = vertices[self.head.landmarks]
        labels = labels_of(person, conditions, camera, rotation, landmarks, normals[self.head.landmarks], self.size)
        return Render(self._read(), labels)

    def _normals(self, vertices: np.ndarray) -> np.ndarray:
        a, b, c = (vertices[self.triangles[:, i]] for i in range(3))
        face = np.cross(b - a, c - a)
        total = np.stack([np.bincount(self.corners, np.tile(face[:, i], 3), len(vertices)) for i in range(3)], axis=1)
        return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9), np.float32)

    def _eyes(self, vertices: np.ndarray, conditions: Conditions) -> tuple[np.ndarray, dict[str, Any]]:
        """Turn the eyeballs; returns the vertices and, per eye, centre and the matrix that undoes the turn."""
        turned = vertices.copy()
        found = {}
        for side in ("eye_l", "eye_r"):
            index = self.head.part_vertices[side]
            ball = vertices[index]
            centre = (ball.max(axis=0) + ball.min(axis=0)) / 2
            centre[2] = ball[:, 2].min() + EYE_RADIUS
            ahead = ball[np.argmax(((ball - centre) ** 2).sum(axis=1))] - centre
            rest_yaw = np.degrees(np.arctan2(-ahead[0], ahead[2]))
            rest_pitch = np.degrees(np.arcsin(np.clip(ahead[1] / np.linalg.norm(ahead), -1, 1)))
            gaze = rotation_matrix(conditions.gaze[0], conditions.gaze[1], 0.0)
            turn = gaze @ rotation_matrix(rest_yaw, rest_pitch, 0.0).T
            turned[index] = 0.985 * (ball - centre) @ turn.T.astype(np.float32) + centre  # smaller: lids must cover it
            found[side] = (centre, gaze.T)
        return turned, found

    def _set(self, name: str, value: Any) -> None:
        """Set a uniform in every program that has it."""
        for program in self.programs.values():
            if name in program:
                uniform: Any = program[name]
                if isinstance(value, np.ndarray):
                    uniform.write(np.ascontiguousarray(value.T if value.ndim == 2 else value, dtype=np.float32).tobytes())
                else:
                    uniform.value = value

    def _shared_uniforms(self, person: Person, c: Conditions, rotation: np.ndarray, camera: Camera, shaped: Shaped) -> None:
        body = rotation_matrix(c.yaw * BODY_TURN, c.pitch * 0.15, c.roll * 0.1)
        size, inverse = self.size, max(camera.inverse_distance, 1e-3)
        near, far = 1.0 - 28.0 * inverse, 1.0 + 50.0 * inverse
        slope = 2.0 / (1.0 / far - 1.0 / near)
        values: dict[str, Any] = {
            "u_head": rotation, "u_body": body, "u_body_offset": rotation @ NECK - body @ NECK,
            "u_camera": (camera.scale / size, camera.cx / size, camera.cy / size, camera.inverse_distance),
            "u_depth": (1.0 - slope / far, slope), "u_exposure": 1.05, "u_offset": 0.0, **set_up(c),
            "u_hair": linear(c.hair), "u_skin": linear(person.skin), "u_noise": 0, "u_shadow_map": 1, "u_mask_a": 2,
            "u_mask_b": 3, "u_picture": 4,
        }  # fmt: skip
        values["u_shadow"] = _light_matrix(np.array(values["u_key_direction"]))
        for name, value in values.items():
            self._set(name, value)
        self._set("u_carry", shaped.carry_hair.T)

    def _shadow_pass(self, hair: Any) -> None:
        self.shadow_target.use()
        self.shadow_target.clear(depth=1.0)
        self.gl.enable_only(moderngl.DEPTH_TEST)
        self._set("u_shadow_pass", True)
        self.arrays["shadow"].render()
        if hair is not None:
            hair[1].render(vertices=hair[1].vertices // 12 * 6)  # half the strands shade as much
        self._set("u_shadow_pass", False)

    def _main_pass(self, person: Person, c: Conditions, full: np.ndarray, normals: np.ndarray, eyes: Any, hair: Any) -> None:
        self.target.use()
        self.target.clear(0.5, 0.5, 0.5, 1.0)
        self.backdrop.write(np.ascontiguousarray(background.paint(c.background, c.background_colour, c.background_seed)[::-1]).tobytes())
        self.gl.enable_only(0)
        self.backdrop_array.render(moderngl.TRIANGLE_STRIP)
        self.gl.enable_only(moderngl.DEPTH_TEST)
        self._skin(person, c)  # first: it hides the far half of the hair from shading
        if hair is not None:
            self._set("u_shine", 0.22)
            hair[0].render()
        self._inner(person, c, eyes, full)
        self._cloth(c)
        if c.beard in ("moustache", "full beard"):
            self._beard(person, c, full, normals)
        if c.glasses != "none":
            self._glasses(person, c)

    def _skin(self, person: Person, c: Conditions) -> None:
        lip, gloss = (linear(person.lip), 0.12) if c.lipstick == "none" else (linear(LIPSTICK[c.lipstick]), 0.3)
        cover = {"none": (0.0, 0.0), "stubble": (0.45, 0.5), "moustache": (0.0, 0.75), "full beard": (0.85, 0.85)}[c.beard]
        values: dict[str, Any] = {
            "u_lip": lip, "u_lip_gloss": gloss, "u_brow": linear(person.brow),
            "u_brow_shape": (person.brow_thickness, person.brow_density), "u_scalp_cover": STYLES[c.hair_style].cover,
            "u_hairline": 0.0, "u_beard": linear(_beard_colour(person, c)) * 0.6, "u_beard_cover": cover,
            "u_marks": (person.blush, person.freckles, person.age, person.bags), "u_person": person.noise,
        }  # fmt: skip
        for name, value in values.items():
            self._set(name, value)
        moles: Any = self.programs["skin"]["u_moles"]
        moles.write(person.moles.astype(np.float32).tobytes())
        self.gl.enable(moderngl.CULL_FACE)
        self.arrays["skin"].render()
        self.gl.disable(moderngl.CULL_FACE)

    def _inner(self, person: Person, c: Conditions, eyes: Any, full: np.ndarray) -> None:
        upper, lower = full[self.head.landmarks[[66, 70]], 1]
        mouth_open = upper - lower > 0.1
        self._set("u_iris", linear(person.iris))
        self._set("u_lash", linear(np.array(person.brow) * 0.5))
        for part, number in INNER_PARTS.items():
            self._set("u_part", number)
            if part in eyes:
                self._set("u_eye_centre", eyes[part][0])
                self._set("u_eye_inverse", eyes[part][1])
            if part not in ("mouth", "gums", "teeth") or mouth_open:
                self.arrays[part].render()

    def _cloth(self, c: Conditions) -> None:
        garment = GARMENTS[c.garment]
        values: dict[str, Any] = {
            "u_offset": garment.offset, "u_cloth": linear(c.cloth), "u_cloth_second": linear(c.cloth_second),
            "u_pattern": garment.pattern, "u_neckline": garment.neckline, "u_opening": garment.opening, "u_band": garment.band,
        }  # fmt: skip
        for name, value in values.items():
            self._set(name, value)
        self.arrays["cloth"].render()
        self._set("u_offset", 0.0)

    def _beard(self, person: Person, c: Conditions, full: np.ndarray, normals: np.ndarray) -> None:
        corners = self.root_triangles
        roots = (full[corners] * self.root_weights[:, :, None]).sum(axis=1)
        normal = (normals[corners] * self.root_weights[:, :, None]).sum(axis=1)
        moustache = self.root_moustache
        keep = moustache if c.beard == "moustache" else np.ones(len(roots), bool)
        length = np.where(moustache, 0.55, 1.05) * self.root_random[:, 0]
        down = np.array([0.0, -0.75, 0.0])
        side = np.where(moustache, np.sign(roots[:, 0]) * 0.5, 0.0)[:, None] * [1.0, 0.0, 0.0]
        direction = (normal * 0.55 + down + side + 0.25 * (self.root_random[:, 1:4] - 1.0)) * length[:, None]
        kind = np.stack([self.root_random[:, 1], self.root_random[:, 2]], axis=1)
        data = np.concatenate([roots, direction, kind], axis=1)[keep].astype(np.float32)
        self.beard_buffer.write(data.tobytes())
        self._set("u_width", 0.16)
        self._set("u_hair", linear(_beard_colour(person, c)) * 0.85)
        self.beard_array.render(instances=len(data))

    def _glasses(self, person: Person, c: Conditions) -> None:
        frame, lens = self.frames[c.glasses]
        solid = self.programs["solid"]
        colour = linear(GLASSES[c.glasses_colour])
        self._set("u_carry", self.shaped(person).carry_glasses.T)
        self._set("u_gloss", 0.35)
        solid["u_follows_body"] = 0.0
        solid["u_colour"] = (*(float(v) for v in colour), 1.0)
        frame.render()
        self.gl.enable(moderngl.BLEND)
        self._set("u_gloss", 0.06)
        solid["u_colour"] = (0.01, 0.01, 0.012, 0.88) if c.glasses == "sunglasses" else (0.5, 0.55, 0.6, 0.10)
        lens.render()
        self.gl.disable(moderngl.BLEND)

    def _read(self) -> np.ndarray:
        side = self.size * self.samples
        picture = np.frombuffer(self.target.read(components=3, alignment=1), np.uint8).reshape(side, side, 3)[::-1]
        if self.samples == 1:
            return picture.copy()
        return np.asarray(cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA))


def _beard_colour(person: Person, c: Conditions) -> tuple[float, float, float]:
    """Beards follow the hair, but not its dye, and not bald heads."""
    return person.brow if c.hair_colour in DYED_HAIR or c.hair_style == "bald" else c.hair


def _layout(program: moderngl.Program, fields: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Buffer layout that skips attributes the compiler dropped."""
    kinds = [f"{count}f" if name in program else f"{count}x4" for name, count in fields]
    return (" ".join(kinds), *(name for name, _ in fields if name in program))


def _light_matrix(direction: np.ndarray) -> np.ndarray:
    """Orthographic clip matrix (4, 4) looking from the key light at the head."""
    ahead = direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], ahead)
    right /= np.linalg.norm(right)
    up = np.cross(ahead, right)
    centre = np.array([0.0, 0.0, -7.0])
    matrix = np.eye(4)
    for row, (axis, half) in enumerate(((right, 20.0), (up, 22.0), (-ahead, 40.0))):
        matrix[row, :3] = axis / half
        matrix[row, 3] = -axis @ centre / half
    return matrix
