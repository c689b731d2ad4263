"""The renderer: a person and conditions in, a picture and its exact labels out."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import cv2
import moderngl
import numpy as np

from facesnap.core.types import rotation_matrix
from facesnap.world.backdrops import background
from facesnap.world.characters import Conditions, Person
from facesnap.world.classes import CLASSES
from facesnap.world.clothes.garments import GARMENTS, layer_uniforms
from facesnap.world.facekit.head import HEAD_ORIGIN, load_head
from facesnap.world.hair.beards import GROWN, STRANDS, beard_hairs, beard_roots, beard_uniforms
from facesnap.world.hair.ribbons import affine_fit
from facesnap.world.labels import labels_of
from facesnap.world.palette import COLOURS, GLASSES, MASK_COLOURS, linear
from facesnap.world.render.eyes import turn_eyes
from facesnap.world.render.lights import LIGHTS, set_up
from facesnap.world.render.makeup import bake_uniforms, darkness, inner_uniforms, skin_uniforms
from facesnap.world.render.masks import scalp_height
from facesnap.world.render.scene import Arrays, Scene
from facesnap.world.styles.apply import apply_style
from facesnap.world.worn.glasses import FRAMES
from facesnap.world.worn.occluders import SURFACE, place

#: Number by which inner.frag knows a part.
INNER_PARTS = {"socket": 1, "eye_l": 2, "eye_r": 2, "lash": 3, "mouth": 4, "gums": 5, "teeth": 6}
#: Drawn only when the lips part by more than this, in cm.
BEHIND_LIPS, LIPS_APART = ("mouth", "gums", "teeth"), 0.1
#: Shares of the head's yaw, pitch and roll that the torso follows, about the base of the neck.
BODY_TURN = (0.45, 0.15, 0.1)
NECK = np.array([0.0, -12.0, 0.0]) - HEAD_ORIGIN
REMEMBERED_PEOPLE = 4
#: The target's alpha says what a pixel shows: class number times this, of 255.
CLASS_STEP = 40
#: Lenses are blended over the picture and leave its alpha, the class, alone.
LENS_BLEND: Any = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA, moderngl.ZERO, moderngl.ONE)


@dataclass(frozen=True)
class Render:
    """A picture (S, S, 3) uint8 RGB, its segmentation (S, S) uint8 (see classes.CLASSES), its labels (JSON-ready)."""

    image: np.ndarray
    segmentation: np.ndarray
    labels: dict[str, Any]


@dataclass(frozen=True)
class Shaped:
    """A person's neutral mesh (V, 3) and the affine maps (4, 3) that carry hair and glasses to it."""

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

    def __init__(self, size: int = 256, samples: int = 2) -> None:
        self.size, self.samples = size, samples
        self.head = load_head()
        self.scene = Scene(self.head, size, samples)
        self.roots = beard_roots(self.head, STRANDS)
        self.root_buffer, self.beard_array = self.scene.beard_array(STRANDS)
        skin = self.head.part_vertices["skin"]
        height = scalp_height(self.head.mean[skin] + HEAD_ORIGIN)
        self.scalp = skin[height > -2.9][::4]
        marks = self.head.landmarks  # brows, bridge, eyes, and the ends of the jaw beside the ears
        self.eye_area = np.concatenate([marks[17:31], marks[36:52], marks[[0, 1, 15, 16, 0, 16]]])
        self.people: OrderedDict[str, Shaped] = OrderedDict()

    def shaped(self, person: Person) -> Shaped:
        """A person's neutral mesh and fits; the last few people are remembered."""
        key = person.key
        if key not in self.people:
            neutral, rest = self.scene.mesh.neutral(person.shape, person.ears), self.head.mean
            hair, eyes = (affine_fit(rest[part], neutral[part]) for part in (self.scalp, self.eye_area))
            self.people[key] = Shaped(neutral, hair, eyes)
            if len(self.people) > REMEMBERED_PEOPLE:
                self.people.popitem(last=False)
        self.people.move_to_end(key)
        return self.people[key]

    def render(self, person: Person, conditions: Conditions) -> Render:
        """Draw one picture with its labels."""
        shaped = self.shaped(person)
        marks = self.head.express_landmarks(shaped.neutral, conditions.expression)
        neutral, eyes = turn_eyes(self.head, shaped.neutral, conditions.gaze)
        rotation = rotation_matrix(conditions.yaw, conditions.pitch, conditions.roll)
        with self.scene.gl:  # another renderer of this process may be the current one
            self.scene.morpher.run(neutral, conditions.expression)
            backdrop = _backdrop(conditions)
            self._place(person, conditions, rotation, shaped, linear(backdrop.mean(axis=(0, 1))))
            self._dress(person)
            occluder = self._occluder(conditions, marks)
            self._cast_shadow(conditions, shaped, occluder)
            self._draw_head(person, conditions, backdrop, marks, eyes)
            bare = self._nearness(conditions)
            self._draw_worn(person, conditions, shaped, occluder)
            image, segmentation = self._read()
            dressed = self._nearness(conditions)
        labels = labels_of(person, conditions, rotation, marks, (bare, dressed), self.size)
        image = apply_style(image, segmentation, conditions.style, conditions.background_seed)
        return Render(image, segmentation, labels)

    def _place(
        self, person: Person, c: Conditions, rotation: np.ndarray, shaped: Shaped, surroundings: np.ndarray
    ) -> None:
        """Uniforms that several programs share: pose, camera, light, colours."""
        body = rotation_matrix(
            *(share * angle for share, angle in zip(BODY_TURN, (c.yaw, c.pitch, c.roll), strict=True))
        )
        camera = c.camera(self.size)
        fractions = (camera.scale / self.size, camera.cx / self.size, camera.cy / self.size)
        light = set_up(c, surroundings, darkness(person))
        self.scene.set_all({
            "u_head": rotation, "u_body": body, "u_body_offset": rotation @ NECK - body @ NECK,
            "u_camera": (*fractions, camera.inverse_distance), "u_depth": depth_terms(camera.inverse_distance),
            **light, "u_shadow": _light_matrix(np.array(light["u_key_direction"])),
            "u_hair": linear(c.hair), "u_carry": shaped.carry_hair.T,
        })  # fmt: skip

    def _dress(self, person: Person) -> None:
        """The person's own colours, and their baked skin."""
        scene, key = self.scene, person.key
        scene.set_all({**bake_uniforms(person), **inner_uniforms(person)})
        albedo, relief = scene.baker.get(key) or scene.baker.bake(key, scene.parts["bake"], linear(person.skin))
        scene.use("u_albedo", albedo)
        scene.use("u_relief", relief)

    def _occluder(self, c: Conditions, marks: np.ndarray) -> Arrays | None:
        """What hides a part of the face, put on the expressed landmarks (72, 3)."""
        if c.occluder == "none":
            return None
        placed = place(c.occluder, c.occluder_variant, marks)
        return self.scene.occluder(c.occluder, c.occluder_variant, placed)

    def _cast_shadow(self, c: Conditions, shaped: Shaped, occluder: Arrays | None) -> None:
        """Depth from the key light into the shadow map."""
        scene = self.scene
        scene.shadow_target.use()
        scene.shadow_target.clear(depth=1.0)
        scene.gl.enable_only(moderngl.DEPTH_TEST)
        scene.set("u_shadow_pass", True)
        scene.parts["shadow"].render()
        hair = scene.hair(c.hair_style, c.hair_variant)
        if hair is not None:
            hair.depth.render()
        if occluder is not None:
            scene.set("u_carry", np.eye(3, 4))
            occluder.depth.render()
        scene.set_all({"u_shadow_pass": False, "u_carry": shaped.carry_hair.T})

    def _show(self, name: str) -> None:
        """Say what is drawn next, for the segmentation."""
        self.scene.set("u_class", class_alpha(name))

    def _draw_head(self, person: Person, c: Conditions, backdrop: np.ndarray, marks: np.ndarray, eyes: Any) -> None:
        """Background, skin, eyes, and what the lips hide."""
        scene = self.scene
        scene.target.use()
        scene.target.clear(0.5, 0.5, 0.5, 0.0)
        scene.backdrop.write(np.ascontiguousarray(backdrop[::-1]).tobytes())
        scene.gl.enable_only(moderngl.NOTHING)
        scene.backdrop_array.render(moderngl.TRIANGLE_STRIP)
        scene.gl.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        self._show("skin")
        scene.set_all({**skin_uniforms(person, c), "u_hair_class": class_alpha("hair")})
        scene.parts["skin" if c.beard == "none" else "bearded"].render()
        scene.gl.enable_only(moderngl.DEPTH_TEST)
        upper, lower = marks[[66, 70], 1]
        for part, number in INNER_PARTS.items():
            if part in BEHIND_LIPS and upper - lower <= LIPS_APART:
                continue
            scene.set("u_part", number)
            if part in eyes:
                scene.set("u_eye_centre", eyes[part].centre)
                scene.set("u_eye_inverse", eyes[part].inverse)
            scene.parts[part].render()

    def _draw_worn(self, person: Person, c: Conditions, shaped: Shaped, occluder: Arrays | None) -> None:
        """Hair, beard, clothes, occluder, glasses: after the head, which hides their far sides from shading."""
        scene = self.scene
        scene.gl.enable_only(moderngl.DEPTH_TEST)
        hair = scene.hair(c.hair_style, c.hair_variant)
        scene.set("u_shine", 0.5)
        self._show("hair")
        if hair is not None:
            hair.shaded.render()
        if c.beard in GROWN:
            moved = np.frombuffer(scene.morpher.moved.read(), np.float32).reshape(-1, 6)
            hairs = beard_hairs(self.roots, c.beard, moved[:, :3], moved[:, 3:], c.hair_variant)
            self.root_buffer.write(hairs.tobytes())
            scene.set_all(beard_uniforms(person, c))
            self.beard_array.render(instances=len(hairs))
        self._show("clothes")
        self._draw_clothes(c)
        if occluder is not None:
            self._draw_occluder(person, c, occluder)
        if c.glasses != "none":
            self._show("glasses")
            self._draw_glasses(shaped, c)

    def _draw_clothes(self, c: Conditions) -> None:
        """A garment's layers, the outermost first."""
        for layer in GARMENTS[c.garment]:
            self.scene.set_all(layer_uniforms(layer, c.cloth, c.cloth_second, c.index))
            for piece in layer.pieces:
                self.scene.cloth[layer.defines, piece].render()
            self.scene.gl.enable(moderngl.CULL_FACE)  # the trunk is closed, its pieces have two sides
            self.scene.cloth[layer.defines, layer.body].render()
            self.scene.gl.disable(moderngl.CULL_FACE)

    def _draw_occluder(self, person: Person, c: Conditions, occluder: Arrays) -> None:
        kind, gloss = SURFACE[c.occluder]
        named = MASK_COLOURS if c.occluder == "mask" else COLOURS
        colour = linear(person.skin if c.occluder == "hand" else named[c.occluder_colour])
        shown = np.append(colour, class_alpha("occluder"))
        self.scene.set_all({"u_carry": np.eye(3, 4), "u_kind": kind, "u_gloss": gloss, "u_colour": shown})
        occluder.shaded.render()

    def _draw_glasses(self, shaped: Shaped, c: Conditions) -> None:
        """Frame, then lenses: dark ones count as glasses, clear ones leave depth and class as they are."""
        scene, (frame, lens) = self.scene, self.scene.glasses[c.glasses]
        alpha, dark = class_alpha("glasses"), FRAMES[c.glasses].dark
        scene.set_all({
            "u_carry": shaped.carry_glasses.T, "u_gloss": 0.35, "u_kind": 0,
            "u_colour": np.append(linear(GLASSES[c.glasses_colour]), alpha),
        })  # fmt: skip
        frame.render()
        scene.set_all({"u_gloss": 0.06, "u_colour": FRAMES[c.glasses].lens, "u_kind": 1})
        scene.gl.enable(moderngl.BLEND)
        scene.gl.blend_func = LENS_BLEND
        scene.target.depth_mask = dark
        lens.render()
        scene.target.depth_mask = True
        scene.gl.disable(moderngl.BLEND)
        if dark:  # again, for the class alone
            scene.target.color_mask = (False, False, False, True)
            scene.set_all({"u_kind": 0, "u_colour": (0.0, 0.0, 0.0, alpha)})
            scene.gl.depth_func = "<="
            lens.render()
            scene.gl.depth_func = "<"
            scene.target.color_mask = (True, True, True, True)

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        """The picture, and per pixel the class that covers most of it."""
        side = self.size * self.samples
        pixels = np.frombuffer(self.scene.target.read(components=4, alignment=1), np.uint8)
        picture = pixels.reshape(side, side, 4)[::-1]
        numbers = np.asarray((picture[..., 3].astype(np.uint16) + CLASS_STEP // 2) // CLASS_STEP, np.uint8)
        small = (self.size, self.size)
        shares = [cv2.resize((numbers == k).astype(np.uint8) * 255, small, interpolation=cv2.INTER_AREA)
                  for k in range(len(CLASSES))]  # fmt: skip
        image = cv2.resize(np.ascontiguousarray(picture[..., :3]), small, interpolation=cv2.INTER_AREA)
        return np.asarray(image), np.argmax(shares, axis=0).astype(np.uint8)

    def _nearness(self, c: Conditions) -> np.ndarray:
        """Z in cm towards the camera (side, side) of what is drawn so far, row 0 at the top."""
        side = self.size * self.samples
        depth = np.frombuffer(self.scene.target.read(components=1, attachment=-1, dtype="f4", alignment=1), np.float32)
        start, slope = depth_terms(1.0 / c.distance)
        w = slope / (2.0 * depth.reshape(side, side)[::-1] - 1.0 - start)
        return np.asarray((1.0 - w) * c.distance)


def class_alpha(name: str) -> float:
    """The alpha that says that a pixel shows a class."""
    return CLASSES.index(name) * CLASS_STEP / 255


def _backdrop(c: Conditions) -> np.ndarray:
    """The background (N, N, 3) uint8; in neon light it is dark and takes the lights' colours."""
    picture = background.paint(c.background, c.background_colour, c.background_seed)
    if c.light != "neon":
        return picture
    glow = LIGHTS["neon"]
    across = np.linspace(0, 1, picture.shape[1])[None, :, None] ** 1.5
    colour = np.array(glow.rim) * across + np.array(glow.key) * (1 - across)
    bright = (picture.astype(np.float32).mean(axis=2, keepdims=True) / 255) ** 1.5
    return np.asarray(np.clip(255 * (0.04 + 0.55 * bright * colour), 0, 255), np.uint8)


def depth_terms(inverse_distance: float) -> tuple[float, float]:
    """a, b of ndc depth = a + b / w, where w = 1 - z * inverse_distance for z from 28 to -50 cm."""
    near, far = (1.0 - z * max(inverse_distance, 1e-3) for z in (28.0, -50.0))
    slope = 2.0 / (1.0 / far - 1.0 / near)
    return 1.0 - slope / far, slope


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
