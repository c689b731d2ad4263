from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.world.heads import expressed, neutral

from facesnap.core.types import Camera, rotation_matrix
from facesnap.landmarks.layout import GROUPS
from facesnap.world.classes import CLASSES
from facesnap.world.hair.styles import STYLES
from facesnap.world.moments import sample_conditions
from facesnap.world.people import sample_person

pytest.importorskip("moderngl", reason="portrait world not tested: pip install facesnap[world]")
from facesnap.world.render.renderer import CLASS_STEP
from facesnap.world.render.scene import _source

pytestmark = pytest.mark.world
POINT_SIZE = 512


@pytest.fixture(scope="module")
def person(head):
    return sample_person(0, 3)


def test_landmarks_lie_on_the_picture(renderer, person):
    """Every seventh landmark's vertex, drawn as one pixel by the card, is where the label says."""
    for index in range(4):
        labels = renderer.render(person, sample_conditions(0, person, index, "full")).labels
        points = np.array(labels["landmarks2d"])[::7] / labels["size"]
        with renderer.scene.gl:
            drawn = [_drawn_at(renderer.scene, vertex) for vertex in renderer.head.landmarks[::7]]
        assert np.abs(drawn - points * POINT_SIZE).max() < 0.51


def _drawn_at(scene: Any, vertex: int) -> np.ndarray:
    """Centre (x, y) of the one pixel that a vertex of the last picture's head covers at POINT_SIZE."""
    shaders = (_source("common.glsl", "head.vert"), "#version 330\nout float f; void main() { f = 1.0; }")
    program = scene.gl.program(*shaders)
    for name in ("u_head", "u_body", "u_body_offset", "u_camera", "u_depth"):
        program[name].write(scene.programs["skin"][name].read())
    colour = scene.gl.texture((POINT_SIZE, POINT_SIZE), 1, dtype="f4")
    target = scene.gl.framebuffer([colour])
    target.use()
    target.clear()
    scene.gl.enable_only(scene.gl.NOTHING)
    content = [(scene.morpher.moved, "3f 3x4", "in_position"), (scene._static, "4f 3x4", "in_rest")]
    order = scene.gl.buffer(np.array([vertex], np.int32).tobytes())
    scene.gl.vertex_array(program, content, index_buffer=order).render(scene.gl.POINTS)
    drawn = np.argwhere(np.frombuffer(colour.read(), np.float32).reshape(POINT_SIZE, POINT_SIZE)[::-1] > 0)
    assert len(drawn) == 1
    return drawn[0][::-1] + 0.5


def test_labels_are_the_linear_model_under_the_camera(renderer, person):
    labels = renderer.render(person, sample_conditions(0, person, 1)).labels
    head = renderer.head
    vertices = expressed(head, neutral(head, np.array(labels["identity"])), np.array(labels["expression"]))
    points = vertices[head.landmarks]
    assert np.abs(points - labels["landmarks3d"]).max() < 1e-2
    projected = Camera(**labels["camera"]).project(points @ rotation_matrix(**labels["pose"]).T)
    assert np.abs(projected - labels["landmarks2d"]).max() < 0.05


def test_left_is_left(renderer, person):
    """yaw > 0 brings the nose to the picture's left, pitch > 0 up, roll > 0 tips clockwise."""
    ahead = dataclasses.replace(sample_conditions(0, person, 0), yaw=0.0, pitch=0.0, roll=0.0)
    nose, chin = 30, 8

    def point(index: int, **pose: float) -> np.ndarray:
        labels = renderer.render(person, dataclasses.replace(ahead, **pose)).labels
        return np.array(labels["landmarks2d"][index])

    assert point(nose, yaw=25.0)[0] < point(nose)[0] - 2
    assert point(nose, pitch=14.0)[1] < point(nose)[1] - 1
    assert point(chin, roll=14.0)[0] < point(chin)[0] - 2


def test_one_person_has_one_head_whatever_the_conditions(renderer, person):
    """In neutral pose every vertex but the eyeballs', which look about, is where it was, bit by bit."""
    heads = []
    for index in (0, 1, 2):
        calm = dataclasses.replace(sample_conditions(0, person, index), expression=np.zeros(53, np.float32))
        renderer.render(person, calm)
        with renderer.scene.gl:
            heads.append(np.frombuffer(renderer.scene.morpher.moved.read(), np.float32).reshape(-1, 6)[:, :3])
    eyes = np.concatenate([renderer.head.part_vertices[part] for part in ("eye_l", "eye_r")])
    rest = np.setdiff1d(np.arange(len(heads[0])), eyes)
    assert np.array_equal(heads[0][rest], heads[1][rest])
    assert np.array_equal(heads[0][rest], heads[2][rest])
    assert not np.array_equal(heads[0][eyes], heads[1][eyes])


PLAIN = {
    "style": "photo", "light": "soft", "hair_style": "afro", "hair_variant": 0, "glasses": "none", "beard": "none",
    "garment": "t-shirt", "occluder": "none", "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "centre": (0.5, 0.5),
    "picture_height": 40.0, "expression": np.zeros(53, np.float32), "gaze": (0.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(
    ("worn", "eye", "lip"),
    [
        ({}, "skin", "skin"),
        ({"glasses": "half-rim"}, "skin", "skin"),
        ({"glasses": "sunglasses"}, "glasses", "skin"),
        ({"occluder": "mask", "occluder_colour": "white"}, "skin", "occluder"),
    ],
)
def test_the_segmentation_says_what_is_drawn(renderer, person, worn, eye, lip):
    made = renderer.render(person, dataclasses.replace(sample_conditions(0, person, 0), **{**PLAIN, **worn}))
    points = np.array(made.labels["landmarks2d"])

    def shown(x: float, y: float) -> str:
        return CLASSES[made.segmentation[int(y), int(x)]]

    assert shown(*points[36:44].mean(axis=0)) == eye
    assert shown(*points[61]) == lip
    crown = 2.2 * points[17:27].mean(axis=0) - 1.2 * points[30]
    assert shown(*crown) == "hair"
    assert shown(renderer.size / 2, renderer.size - 2) == "clothes"
    assert shown(2, 2) == "background"
    assert np.array(made.labels["occluded"])[36:44].all() == (eye == "glasses")


def test_every_sample_has_a_class(renderer, person):
    """The target's alpha holds class numbers and nothing between, lenses and edges included."""
    worn = {"glasses": "round", "occluder": "scarf", "occluder_variant": 1, "occluder_colour": "red"}
    renderer.render(person, dataclasses.replace(sample_conditions(0, person, 0), **{**PLAIN, **worn}))
    with renderer.scene.gl:
        alpha = np.frombuffer(renderer.scene.target.read(components=4, alignment=1), np.uint8)[3::4]
    assert set(np.unique(alpha)) <= {CLASS_STEP * k for k in range(len(CLASSES))}


def test_what_was_drawn_before_leaves_nothing_behind(renderer, person):
    """Sunglasses, a mask, a beard, neon: the next plain picture is as if they had not been."""
    plain = dataclasses.replace(sample_conditions(0, person, 0), **PLAIN)
    before = renderer.render(person, plain)
    for worn in (
        {"glasses": "aviator sunglasses"}, {"occluder": "hand"}, {"beard": "full beard", "hair_style": "bald"},
        {"light": "neon", "style": "neon"}, {"glasses": "round", "garment": "blazer", "lipstick": "red"},
    ):  # fmt: skip
        renderer.render(sample_person(0, 5), dataclasses.replace(plain, **worn))
        after = renderer.render(person, plain)
        assert np.array_equal(before.image, after.image), worn
        assert np.array_equal(before.segmentation, after.segmentation), worn
        assert before.labels == after.labels


def test_far_jaw_is_marked_hidden(renderer, person):
    turned = dataclasses.replace(sample_conditions(0, person, 0, "full"), yaw=55.0, pitch=0.0, roll=0.0)
    visible = np.array(renderer.render(person, turned).labels["visible"])
    jaw = visible[GROUPS["jaw"]]
    assert not jaw[:4].any()
    assert jaw[9:].all()


def test_hair_is_seen_and_leaves_the_face_free(renderer, person):
    bald = dataclasses.replace(
        sample_conditions(0, person, 0, "cpu"),
        **{"style": "photo", "light": "soft", "hair_style": "bald", "glasses": "none", "beard": "none", "yaw": 0.0},
    )
    bare = renderer.render(person, bald)
    points = np.array(bare.labels["landmarks2d"])
    nose, crown = points[30].astype(int), (points[17:27].mean(axis=0) - [0, 34]).astype(int)
    for style in STYLES:
        if style == "bald":
            continue
        drawn = renderer.render(person, dataclasses.replace(bald, hair_style=style, hair=(30.0, 200.0, 60.0)))
        change = np.abs(drawn.image.astype(int) - bare.image).max(axis=2)
        top = max(crown[1], 5)
        assert change[top - 4 : top + 4, crown[0] - 8 : crown[0] + 8].max() > 15, style  # rows leave scalp between them
        assert change[nose[1] - 3 : nose[1] + 12, nose[0] - 6 : nose[0] + 6].mean() < 12, style


def test_the_same_key_gives_the_same_picture(renderer, person):
    conditions = sample_conditions(0, person, 5)
    first = renderer.render(person, conditions).image
    renderer.render(sample_person(0, 4), sample_conditions(0, person, 6))
    assert np.array_equal(first, renderer.render(person, conditions).image)
