from __future__ import annotations

import numpy as np
import pytest

from facesnap.world.facekit.head import HEAD_ORIGIN
from facesnap.world.hair.beards import BEARDS, GROWN, beard_growth, beard_hairs, beard_roots
from facesnap.world.hair.body import Body
from facesnap.world.hair.ribbons import grow
from facesnap.world.hair.styles import STYLES, VARIANTS, variant_of
from facesnap.world.render.masks import azimuth, scalp_height

WORN = [name for name in STYLES if name != "bald"]
CROPPED = [name for name in WORN if STYLES[name].cut is None and not STYLES[name].tail]


@pytest.fixture(scope="module")
def body(head):
    return Body(head)


@pytest.fixture(scope="module")
def roots(head):
    return beard_roots(head)


def _points(head, style: str, variant: int) -> np.ndarray:
    return grow(head, style, variant).vertices[::2, :3] + HEAD_ORIGIN


def test_distance_is_zero_on_the_skin_and_grows_outwards(head, body):
    skin = (head.mean + HEAD_ORIGIN)[head.part_vertices["skin"]]
    crown = skin[(skin[:, 1] > 6) & (skin[:, 2] < 6)]  # above the ears
    distance, normal = body.at(crown)
    assert np.abs(distance).max() < 0.1
    assert np.abs(body.at(crown + normal)[0] - 1.0).max() < 0.15
    moved = body.between(crown, np.full(len(crown), 0.5), np.full(len(crown), 0.6))
    assert np.abs(body.at(moved)[0] - 0.5).max() < 0.1


def test_bald_has_no_hair(head):
    assert len(grow(head, "bald", 0).indices) == 0


@pytest.mark.parametrize("style", WORN)
def test_growth_is_deterministic_and_finite(head, style):
    first, second = grow(head, style, 2), grow(head, style, 2)
    assert np.array_equal(first.vertices, second.vertices)
    assert np.isfinite(first.vertices).all()
    assert first.indices.max() < len(first.vertices)
    assert len(first.shadow_indices) < len(first.indices)


@pytest.mark.parametrize("style", WORN)
def test_variants_differ(head, style):
    assert variant_of(style, 0)[0] != variant_of(style, 2)[0]
    assert variant_of(style, 0)[1] != variant_of(style, 1)[1]
    grown = [grow(head, style, variant).vertices for variant in range(VARIANTS)]
    shapes = {(len(g), float(np.abs(g[:, 0]).mean()), float(g[:, 1].mean())) for g in grown}
    assert len(shapes) >= 2


@pytest.mark.parametrize("style", WORN)
@pytest.mark.parametrize("variant", range(VARIANTS))
def test_hair_stays_outside_the_body_and_off_the_face(head, body, style, variant):
    points = _points(head, style, variant)
    assert (body.at(points)[0] < -0.6).mean() < 0.01
    eyes_down = (np.abs(azimuth(points)) < 40) & (points[:, 1] < 6.0) & (points[:, 2] > 2)
    assert eyes_down.mean() < 0.001


@pytest.mark.parametrize("style", CROPPED)
@pytest.mark.parametrize("variant", range(VARIANTS))
def test_crops_hug_the_nape(head, body, style, variant):
    points = _points(head, style, variant)
    below = -scalp_height(points[np.abs(azimuth(points)) > 115])
    assert (below > STYLES[style].hem + 1.2).mean() < 0.002
    low = points[points[:, 1] < -2.0]
    if len(low) and style not in ("afro", "curly"):
        assert np.percentile(body.at(low)[0], 99) < 1.2


@pytest.mark.parametrize("kind", GROWN)
def test_beards_follow_the_face_and_leave_lips_and_ears_free(head, roots, kind):
    normals = head.normals(head.mean)
    hairs = beard_hairs(roots, kind, head.mean, normals)
    root, tip = hairs[:, :3], hairs[:, :3] + hairs[:, 3:6]
    assert len(hairs) > 200
    assert (root[:, 2] + HEAD_ORIGIN[2] > 2.0).all()
    lip = (head.mean[head.landmarks[[62, 66]]]).mean(axis=0)
    over = (np.abs(tip[:, 0]) < 1.5) & (np.abs(tip[:, 1] - lip[1]) < 0.25) & (tip[:, 2] > lip[2] - 1)
    assert over.mean() < 0.02
    moved = beard_hairs(roots, kind, head.mean + np.float32(3.0), normals)
    assert np.allclose(moved[:, :3] - root, 3.0, atol=1e-3)


def test_beard_kinds_and_shapes_differ(roots):
    assert BEARDS[0] == "none"
    assert len(BEARDS) == 6
    lengths = {kind: float(beard_growth(roots, kind).length.mean()) for kind in GROWN}
    assert lengths["short beard"] < 0.6 * lengths["full beard"]
    goatee = roots.rest[beard_growth(roots, "goatee").chosen]
    assert np.abs(goatee[:, 0]).max() < 4.0
    shapes = [beard_growth(roots, "full beard", v).length for v in range(4)]
    assert len({(len(s), round(float(s.mean()), 3)) for s in shapes}) == 4


def test_styles_are_within_the_budget_of_triangles(head):
    for style in WORN:
        assert len(grow(head, style, 0).indices) // 3 < 85_000, style
