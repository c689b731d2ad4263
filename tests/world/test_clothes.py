from __future__ import annotations

import colorsys
import dataclasses
import re
from importlib.resources import files

import numpy as np
import pytest
from tests.world.heads import neutral

from facesnap.world.clothes.folds import fold_map
from facesnap.world.clothes.garments import COLOURS_OF, DETAILS, GARMENTS, PATTERNS
from facesnap.world.clothes.torso import Torso
from facesnap.world.clothes.trunk import COLUMNS, Neck
from facesnap.world.facekit.head import HEAD_ORIGIN
from facesnap.world.moments import sample_conditions
from facesnap.world.palette import COLOURS
from facesnap.world.people import sample_person


@pytest.fixture(scope="module")
def torso(head):
    return Torso(head)


def _heads(head, count: int) -> list[np.ndarray]:
    return [neutral(head, sample_person(5, k).shape) for k in range(count)]


def test_torso_is_affine_in_the_head(head, torso):
    a, b = _heads(head, 2)
    mixed = torso.vertices(1.7 * a - 0.7 * b)
    assert np.abs(mixed - (1.7 * torso.vertices(a) - 0.7 * torso.vertices(b))).max() < 1e-3
    moved = torso.vertices(head.mean + np.float32([1.0, -2.0, 3.0])) - torso.vertices(head.mean)
    assert np.abs(moved - [1.0, -2.0, 3.0]).max() < 1e-3


def test_rest_torso_is_what_was_designed(head, torso):
    assert np.abs(torso.vertices(head.mean) + HEAD_ORIGIN - torso.static[:, :3]).max() < 1e-3


def test_triangles_are_valid(head, torso):
    first, count = len(head.mean), len(torso.static)
    assert torso.triangles.min() >= first
    assert torso.triangles.max() < first + count
    assert {name for layers in GARMENTS.values() for layer in layers for name in (*layer.pieces, layer.body)} <= set(
        torso.pieces
    )
    assert max(part.stop for part in torso.pieces.values()) == len(torso.triangles)
    corners = torso.static[torso.triangles - first, :3]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    assert (area > 1e-5).mean() > 0.99


def test_trunk_faces_outwards(head, torso):
    triangles = torso.triangles[torso.pieces["trunk"]] - len(head.mean)
    corners = torso.static[triangles, :3]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(axis=1) * [1, 0, 1] - [0, 0, -2.0]
    assert ((normal * outward).sum(axis=1) > 0).mean() > 0.98


def test_skin_stays_under_the_cloth(head, torso):
    """Of every tenth person, skin well below the neckline is nowhere outside the thinnest garment."""
    neck = Neck(head)
    low = neck.vertices[neck.points[:, 1] < -14.0]
    rows = len(torso.static[torso.static[:, 7] == 0]) // COLUMNS
    triangles = torso.triangles[torso.pieces["trunk"]]
    thinnest = min(layer.offset for layers in GARMENTS.values() for layer in layers if layer.body == "trunk")
    for shape in _heads(head, 10):
        every = np.concatenate([shape, torso.vertices(shape)])
        normals = head.normals(every, triangles)[len(shape) :][: rows * COLUMNS]
        cloth = every[len(shape) :][: rows * COLUMNS]
        nearest = np.argmin(((shape[low][:, None] - cloth) ** 2).sum(axis=2), axis=1)
        outside = ((shape[low] - cloth[nearest]) * normals[nearest]).sum(axis=1)
        assert (outside > thinnest).mean() < 0.004


def test_the_shader_draws_every_pattern_and_detail_that_has_a_name():
    """Number 0 is plain cloth; what has a higher one is asked for in cloth.frag, and no other number is."""
    source = (files("facesnap.world.render") / "glsl" / "cloth.frag").read_text()
    for define, names in (("PATTERN", PATTERNS), ("DETAIL", DETAILS)):
        asked = {int(number) for number in re.findall(rf"\b{define} == (\d+)\b", source)}
        assert asked == set(range(1, len(names))), define


def test_every_pattern_and_detail_is_worn_and_colours_are_known():
    worn = [layer for layers in GARMENTS.values() for layer in layers]
    assert {layer.pattern for layer in worn} == set(PATTERNS)
    assert {layer.detail for layer in worn} == set(DETAILS)
    assert all(name in COLOURS for names in COLOURS_OF.values() for name in names)
    assert set(COLOURS_OF) <= set(GARMENTS)


def test_folds_are_the_same_each_time_and_mostly_flat():
    first = fold_map()
    assert np.array_equal(first, fold_map())
    slope = first[..., :2].astype(float) / 127.5 - 1
    assert 0.02 < np.abs(slope).mean() < 0.3


def _picture(renderer, garment: str, colour: str, second: str = "white") -> np.ndarray:
    person = sample_person(0, 3)
    base = sample_conditions(0, person, 0, "full")
    chosen = {
        "garment": garment, "cloth": COLOURS[colour], "cloth_second": COLOURS[second], "light": "soft", "yaw": 0.0,
        "light_jitter": (0.0, 0.0, 0.0), "pitch": 0.0, "roll": 0.0, "hair_style": "bald", "background": "plain",
        "background_colour": "white", "picture_height": 40.0, "centre": (0.5, 0.38), "focal": 66.0,
        "style": "photo", "occluder": "none", "beard": "none", "glasses": "none", "exposure": 1.0,
    }  # fmt: skip
    return np.asarray(renderer.render(person, dataclasses.replace(base, **chosen)).image)


@pytest.mark.world
@pytest.mark.parametrize("colour", ["red", "yellow", "green", "teal", "blue", "purple"])
def test_cloth_has_the_colour_that_is_named(renderer, colour):
    size = renderer.size
    cloth = _picture(renderer, "t-shirt", colour)[int(0.88 * size) :, int(0.3 * size) : int(0.7 * size)]
    seen = colorsys.rgb_to_hsv(*(cloth.reshape(-1, 3).mean(axis=0) / 255))
    named = colorsys.rgb_to_hsv(*(np.array(COLOURS[colour]) / 255))
    assert abs((seen[0] - named[0] + 0.5) % 1 - 0.5) < 0.04
    assert seen[1] > 0.3


@pytest.mark.world
@pytest.mark.parametrize("garment", list(GARMENTS))
def test_every_garment_shows_mostly_the_colour_that_is_named(renderer, garment):
    """Of pixels nearer in hue to the named colour or the second one, most are the named one's."""
    size = renderer.size
    named, other = "red", "green"
    picture = _picture(renderer, garment, named, other)
    cloth = picture[int(0.72 * size) :, int(0.1 * size) : int(0.9 * size)].reshape(-1, 3).astype(float)
    cloth /= np.maximum(np.linalg.norm(cloth, axis=1, keepdims=True), 1)
    directions = [np.array(COLOURS[name]) / np.linalg.norm(COLOURS[name]) for name in (named, other)]
    near, far = (cloth @ direction for direction in directions)
    clear = np.maximum(near, far) > 0.9
    assert (near > far)[clear].mean() > 0.5


@pytest.mark.world
def test_garments_look_different(renderer):
    pictures = {name: _picture(renderer, name, "blue").astype(float) for name in GARMENTS}
    names = list(pictures)
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            assert np.abs(pictures[one] - pictures[two])[-40:].mean() > 1.0, (one, two)
