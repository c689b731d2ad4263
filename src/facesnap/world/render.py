"""The renderer: a person and conditions in, a picture and its exact labels out."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import moderngl
import numpy as np

from facesnap.core.types import rotation_matrix
from facesnap.world import background
from facesnap.world.characters import Conditions, Person
from facesnap.world.clothes import GARMENTS, layer_uniforms
from facesnap.world.eyes import turn_eyes
from facesnap.world.glasses import FRAMES
from facesnap.world.hair import affine_fit
from facesnap.world.head import HEAD_ORIGIN, load_head
from facesnap.world.labels import labels_of
from facesnap.world.lights import set_up
from facesnap.world.makeup import beard_hairs, beard_uniforms, inner_uniforms, skin_uniforms
from facesnap.world.masks import beard_roots, scalp_height
from facesnap.world.occluders import MASK_COLOURS, SURFACE, place
from facesnap.world.palette import GLASSES, linear
from facesnap.world.scene import Scene

#: Number by which inner.frag knows a part.
INNER_PARTS = {"socket": 1, "eye_l": 2, "eye_r": 2, "lash": 3, "mouth": 4, "gums": 5, "teeth": 6}
#: Drawn only when the lips part by more than this, in cm.
BEHIND_LIPS, LIPS_APART = ("mouth", "gums", "teeth"), 0.1
#: Shares of the head's yaw, pitch and roll that the torso follows, about the base of the neck.
BODY_TURN = (0.45, 0.15, 0.1)
NECK = np.array([0.0, -12.0, 0.0]) - HEAD_ORIGIN
BEARD_STRANDS = 2600
REMEMBERED_PEOPLE = 4


@dataclass(frozen=True)
class Render:
    """A picture (S, S, 3) uint8 RGB and its labels (JSON-ready)."""

    image: np.ndarray
    labels: dict[str, Any]


@dataclass(frozen=True)
class Shaped:
    """A person's neutral head (V, 3) and the affine maps (4, 3) that carry hair and glasses to it."""

    neutral: np.ndarray
    carry_hair: np.ndarray
    carry_glasses: np.ndarray


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
        self.scene = Scene(self.head, size * samples)
        self.roots = beard_roots(self.head, BEARD_STRANDS)
        self.root_buffer, self.beard_array = self.scene.beard_array(BEARD_STRANDS)
        skin = self.head.part_vertices["skin"]
        height = scalp_height(self.head.mean[skin] + HEAD_ORIGIN)
        self.scalp = skin[height > -1.0][::4]
        marks = self.head.landmarks  # brows, bridge, eyes, and the ends of the jaw beside the ears
        self.eye_area = np.concatenate([marks[17:31], marks[36:52], marks[[0, 1, 15, 16, 0, 16]]])
        self.people: OrderedDict[tuple[int, int], Shaped] = OrderedDict()

    def shaped(self, person: Person) -> Shaped:
        """A person's neutral head and fits; the last few people are remembered."""
        key = (person.seed, person.person_id)
        if key not in self.people:
            neutral, rest = self.head.neutral(person.shape), self.head.mean
            hair, eyes = (affine_fit(rest[part], neutral[part]) for part in (self.scalp, self.eye_area))
            self.people[key] = Shaped(neutral, hair, eyes)
            if len(self.people) > REMEMBERED_PEOPLE:
                self.people.popitem(last=False)
        return self.people[key]

    def render(self, person: Person, conditions: Conditions) -> Render:
        """Draw one picture with its labels."""
        shaped = self.shaped(person)
        expressed = self.head.express(shaped.neutral, conditions.expression)
        turned, eyes = turn_eyes(self.head, expressed, conditions.gaze)
        vertices = self.scene.with_torso(turned)
        normals = self.head.normals(vertices, self.scene.triangles)
        rotation = rotation_matrix(conditions.yaw, conditions.pitch, conditions.roll)
        with self.scene.gl:  # another renderer of this process may be the current one
            self.scene.moving.write(np.concatenate([vertices, normals], axis=1).astype(np.float32).tobytes())
            self._place(person, conditions, rotation, shaped)
            occluder = self._occluder(conditions, vertices)
            self._cast_shadow(conditions, occluder)
            self._draw(person, conditions, shaped, vertices, normals, eyes)
            if occluder is not None:
                self._draw_occluder(person, conditions, occluder)
            image = self._read()
        marks = self.head.landmarks
        labels = labels_of(person, conditions, rotation, expressed[marks], normals[marks], self.size)
        return Render(image, labels)

    def _place(self, person: Person, c: Conditions, rotation: np.ndarray, shaped: Shaped) -> None:
        """Uniforms that several programs share: pose, camera, light, colours."""
        body = rotation_matrix(
            *(share * angle for share, angle in zip(BODY_TURN, (c.yaw, c.pitch, c.roll), strict=True))
        )
        camera = c.camera(self.size)
        fractions = (camera.scale / self.size, camera.cx / self.size, camera.cy / self.size)
        near, far = (1.0 - z * max(camera.inverse_distance, 1e-3) for z in (28.0, -50.0))
        slope = 2.0 / (1.0 / far - 1.0 / near)
        light = set_up(c)
        self.scene.set_all({
            "u_head": rotation, "u_body": body, "u_body_offset": rotation @ NECK - body @ NECK,
            "u_camera": (*fractions, camera.inverse_distance),
            "u_depth": (1.0 - slope / far, slope), "u_exposure": 1.05, "u_offset": 0.0, **light,
            "u_shadow": _light_matrix(np.array(light["u_key_direction"])), "u_hair": linear(c.hair),
            "u_skin": linear(person.skin), "u_carry": shaped.carry_hair.T,
        })  # fmt: skip

    def _occluder(self, c: Conditions, vertices: np.ndarray) -> Any:
        """Arrays (shaded, shadow) of what hides a part of the face, or None."""
        if c.occluder == "none":
            return None
        placed = place(c.occluder, c.occluder_variant, vertices[self.head.landmarks])
        return self.scene.occluder_arrays(c.occluder, c.occluder_variant, placed)

    def _cast_shadow(self, c: Conditions, occluder: Any) -> None:
        """Depth from the key light into the shadow map."""
        scene = self.scene
        scene.shadow_target.use()
        scene.shadow_target.clear(depth=1.0)
        scene.gl.enable_only(moderngl.DEPTH_TEST)
        scene.set("u_shadow_pass", True)
        scene.parts["shadow"].render()
        hair = scene.hair(c.hair_style, c.hair_variant)
        if hair is not None:
            hair.depth.render(vertices=hair.depth.vertices // 12 * 6)  # half the strands shade as much
        if occluder is not None:
            scene.set("u_carry", np.eye(3, 4))
            occluder[1].render()
        scene.set("u_shadow_pass", False)

    def _draw(
        self, person: Person, c: Conditions, shaped: Shaped, vertices: np.ndarray, normals: np.ndarray, eyes: Any
    ) -> None:
        """The picture, back to front where it matters."""
        scene = self.scene
        scene.target.use()
        scene.target.clear(0.5, 0.5, 0.5, 1.0)
        picture = background.paint(c.background, c.background_colour, c.background_seed)
        scene.backdrop.write(np.ascontiguousarray(picture[::-1]).tobytes())
        scene.gl.enable_only(moderngl.NOTHING)
        scene.backdrop_array.render(moderngl.TRIANGLE_STRIP)
        scene.gl.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        scene.set_all(skin_uniforms(person, c))
        scene.parts["skin"].render()  # first: it hides the far half of the hair from shading
        scene.gl.enable_only(moderngl.DEPTH_TEST)
        hair = scene.hair(c.hair_style, c.hair_variant)
        scene.set("u_shine", 0.22)
        if hair is not None:
            hair.shaded.render()
        self._draw_inner(person, vertices, eyes)
        self._draw_clothes(c)
        if c.beard in ("moustache", "full beard"):
            hairs = beard_hairs(self.roots, c.beard, vertices, normals)
            self.root_buffer.write(hairs.tobytes())
            scene.set_all(beard_uniforms(person, c))
            self.beard_array.render(instances=len(hairs))
        if c.glasses != "none":
            self._draw_glasses(shaped, c)

    def _draw_inner(self, person: Person, vertices: np.ndarray, eyes: Any) -> None:
        """Eyes, lashes and what the lips hide."""
        upper, lower = vertices[self.head.landmarks[[66, 70]], 1]
        self.scene.set_all(inner_uniforms(person))
        for part, number in INNER_PARTS.items():
            if part in BEHIND_LIPS and upper - lower <= LIPS_APART:
                continue
            self.scene.set("u_part", number)
            if part in eyes:
                self.scene.set("u_eye_centre", eyes[part].centre)
                self.scene.set("u_eye_inverse", eyes[part].inverse)
            self.scene.parts[part].render()

    def _draw_clothes(self, c: Conditions) -> None:
        for layer in GARMENTS[c.garment]:
            self.scene.set_all(layer_uniforms(layer, c.cloth, c.cloth_second, c.index))
            for piece in layer.pieces:
                self.scene.cloth[layer.defines, piece].render()
            self.scene.gl.enable(moderngl.CULL_FACE)  # the trunk is closed, its pieces have two sides
            self.scene.cloth[layer.defines, layer.body].render()
            self.scene.gl.disable(moderngl.CULL_FACE)

    def _draw_glasses(self, shaped: Shaped, c: Conditions) -> None:
        scene, (frame, lens) = self.scene, self.scene.glasses[c.glasses]
        colour = linear(GLASSES[c.glasses_colour])
        scene.set_all({
            "u_carry": shaped.carry_glasses.T, "u_gloss": 0.35, "u_colour": np.append(colour, 1.0), "u_kind": 0,
        })  # fmt: skip
        frame.render()
        scene.set_all({"u_gloss": 0.06, "u_colour": FRAMES[c.glasses].lens, "u_kind": 1})
        scene.gl.enable(moderngl.BLEND)
        lens.render()

    def _draw_occluder(self, person: Person, c: Conditions, occluder: Any) -> None:
        kind, gloss = SURFACE[c.occluder]
        named = MASK_COLOURS if c.occluder == "mask" else background.COLOURS
        colour = person.skin if c.occluder == "hand" else named[c.occluder_colour]
        self.scene.set_all({
            "u_carry": np.eye(3, 4), "u_kind": kind, "u_gloss": gloss, "u_colour": np.append(linear(colour), 1.0),
            "u_second": linear(c.cloth_second),
        })  # fmt: skip
        self.scene.gl.enable_only(moderngl.DEPTH_TEST)
        occluder[0].render()

    def _read(self) -> np.ndarray:
        side = self.size * self.samples
        pixels = self.scene.target.read(components=3, alignment=1)
        picture = np.frombuffer(pixels, np.uint8).reshape(side, side, 3)[::-1]
        if self.samples == 1:
            return picture.copy()
        return np.asarray(cv2.resize(picture, (self.size, self.size), interpolation=cv2.INTER_AREA))


def _light_matrix(direction: np.ndarray) -> np.ndarray:
    """Orthographic clip matrix (4, 4) looking from the key light (unit vector towards it) at the head."""
    right = np.cross([0.0, 1.0, 0.0], direction)
    right /= np.linalg.norm(right)
    up = np.cross(direction, right)
    centre = np.array([0.0, 0.0, -7.0])
    matrix = np.eye(4)
    for row, (axis, half) in enumerate(((right, 20.0), (up, 22.0), (-direction, 40.0))):
        matrix[row, :3] = axis / half
        matrix[row, 3] = -axis @ centre / half
    return matrix
