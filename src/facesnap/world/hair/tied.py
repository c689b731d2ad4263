"""Hair that is tied, wound or plaited: courses to a tie, buns, tails, ropes and rows (model space, cm)."""

from __future__ import annotations

import numpy as np

from facesnap.world.geometry import smoothstep
from facesnap.world.hair.body import Body
from facesnap.world.hair.growth import unit
from facesnap.world.hair.styles import Style
from facesnap.world.render.masks import CRANIUM, scalp_height


def knot(style: Style) -> np.ndarray:
    """The point (3,) where hair is gathered."""
    return np.array([0.0, *style.tie])


def tied(style: Style, body: Body, roots: np.ndarray, layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Courses (N, segments + 1, 3) from the roots tight over the head to the tie."""
    count = len(roots)
    goal = knot(style) + rng.normal(0, 0.35, (count, 3))
    start, end = roots - CRANIUM, goal - CRANIUM
    radius = np.linalg.norm(start, axis=1)
    a, b = unit(start), unit(end)
    angle = np.arccos(np.clip((a * b).sum(axis=1), -0.999, 0.999))
    points = [roots]
    wander = rng.normal(0, 3 * style.mess, (count, 3))
    for t in (np.arange(style.segments) + 1) / style.segments:
        toward = (np.sin((1 - t) * angle)[:, None] * a + np.sin(t * angle)[:, None] * b) / np.sin(angle)[:, None]
        p = CRANIUM + toward * (radius * (1 - t) + np.linalg.norm(end, axis=1) * t)[:, None] + wander * t * (1 - t)
        low = 0.12 + layer * style.volume * min(1.0, 4 * t)
        points.append(body.between(body.between(p, low, low + 0.08), low, low + (0.08 if t < 0.9 else 0.6)))
    return np.stack(points, axis=1)


def bun(style: Style, body: Body, rng: np.random.Generator, count: int = 420, points: int = 13) -> np.ndarray:
    """Strands (count, points, 3) wound round an axis that stands on the head at the tie."""
    _, normal = body.at(knot(style)[None])
    axis = unit(normal[0] + [0.0, 0.25, 0.0])
    u = unit(np.cross(axis, [1.0, 0.2, 0.0]))
    v = np.cross(axis, u)
    start, turn = rng.uniform(0, 6.283, (2, count, 1))
    angle = start + np.linspace(0, 2.4, points)[None]
    tilt = 0.35 * np.sin(angle + turn)  # windings cross one another a little
    height = np.arcsin(rng.uniform(-0.55, 0.97, (count, 1))) + 0.28 * tilt
    radius = style.bun * rng.uniform(0.9, 1.0, (count, 1)) * (1 + 0.05 * np.sin(3 * height + 2 * angle))
    ring = np.cos(height)[..., None] * (np.cos(angle)[..., None] * u + np.sin(angle)[..., None] * v)
    ball = ring + 0.78 * np.sin(height)[..., None] * axis
    return np.asarray(knot(style) + axis * 0.55 * style.bun + ball * radius[..., None])


def tail(style: Style, body: Body, rng: np.random.Generator, count: int = 620, points: int = 15) -> np.ndarray:
    """Strands (count, points, 3) that leave the tie backwards and fall."""
    _, normal = body.at(knot(style)[None])
    spread = rng.normal(0, 1.0, (count, 3))
    p = knot(style) + spread * 0.45
    length = style.tail * rng.uniform(0.72, 1.04, count)
    direction = unit(normal + [0.0, 0.35, 0.0] + 0.13 * spread)
    found = [p]
    for k in range(points - 1):
        t = (k + 1) / (points - 1)
        direction = unit(direction + np.array([0.0, -0.42, 0.05]) - 0.05 * (p - p.mean(axis=0)) * [1, 0, 1])
        p = p + direction * (length / (points - 1))[:, None]
        p = body.between(p, np.full(count, 0.5 + 0.4 * t), np.full(count, 99.0))
        found.append(p)
    return np.stack(found, axis=1)


def plaited(paths: np.ndarray, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Ribbons (N * twist, P, 3) that courses (N, P, 3) are twisted from, and how far out they lie (N * twist, P)."""
    tangent = unit(np.gradient(paths, axis=1))
    outward = unit(paths - CRANIUM * [1, 0, 1] - np.array([0.0, 1.0, 0.0]) * np.minimum(paths[..., 1:2], 5.0))
    across = unit(np.cross(tangent, outward))
    outward = np.cross(across, tangent)
    t = np.linspace(0, 1, paths.shape[1])[None]
    made, open_ = [], []
    for i in range(style.twist):
        angle = 6.283 * (t * style.turns + i / style.twist)
        swing = np.sin(angle) * style.curl
        rise = (np.sin(2 * angle) * 0.5 if style.twist == 3 else np.cos(angle)) * style.curl
        made.append(paths + swing[..., None] * across + rise[..., None] * outward)
        open_.append(np.broadcast_to(0.7 + 0.3 * rise / max(style.curl, 1e-6), paths.shape[:2]))
    return np.concatenate(made), np.concatenate(open_)


def rows(style: Style, body: Body) -> list[np.ndarray]:
    """Courses (P, 3) of cornrows from the front hairline over the head to the nape."""
    front, back = unit(np.array([0.0, 0.12, 1.0])), unit(np.array([0.0, -0.55, -1.0]))
    found = []
    for tilt in np.radians(np.linspace(-80, 80, style.strands)):
        over = np.array([np.sin(tilt), np.cos(tilt), 0.0])
        t = np.linspace(0, 1, 120)[:, None]
        course = CRANIUM + 9.0 * unit((1 - t) * front + t * back + 2.4 * t * (1 - t) * over)
        for _ in range(3):
            course = body.between(course, np.full(120, style.volume), np.full(120, style.volume))
        course = course[scalp_height(course) > 0.1]
        if len(course) > 20:
            place = np.linspace(0, len(course) - 1, style.segments + 1)
            found.append(np.stack([np.interp(place, np.arange(len(course)), course[:, i]) for i in range(3)], axis=1))
    return found


def hanging(ends: np.ndarray, style: Style, body: Body, points: int) -> np.ndarray:
    """Courses (N, points, 3) that fall from row ends (N, 3)."""
    p, found = ends, [ends]
    for _ in range(points - 1):
        p = body.between(p + [0.0, -style.tail / (points - 1), 0.0], np.full(len(p), 0.4), np.full(len(p), 0.9))
        found.append(p)
    return np.stack(found, axis=1)


def rope_width(points: int) -> np.ndarray:
    """Relative half width (points,) of a rope: even, rounded at its end."""
    t = np.linspace(0, 1, points)
    return np.asarray((0.75 + 0.25 * smoothstep(0.0, 0.1, t)) * np.sqrt(np.clip(1 - t**12, 0.02, 1)))
