"""Growing strands over the rest head: where they start, how they flow and fall, where the barber cuts them.

All points are in model space (cm), where the rest head is symmetric about x = 0.
"""

from __future__ import annotations

import numpy as np

from facesnap.world.facekit.head import HEAD_ORIGIN, HeadModel
from facesnap.world.geometry import smoothstep
from facesnap.world.hair.body import Body
from facesnap.world.hair.styles import Style
from facesnap.world.render.masks import CRANIUM, azimuth, scalp_height

#: Where hair whirls at the back of the head.
WHORL = np.array([0.6, 12.6, -5.0])
#: Azimuth (degrees) that flowing hair leaves free to either side of the face, over height.
_FACE_HEIGHT = (-15.0, -11.0, -7.0, -3.0, 2.0, 5.0, 7.5, 9.5, 11.0)
_FACE_AZIMUTH = (48.0, 54.0, 62.0, 70.0, 72.0, 64.0, 54.0, 34.0, 0.0)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def receded(points: np.ndarray, recede: float) -> np.ndarray:
    """Cm by which the hairline lies higher at points (..., 3): most over the temples, half in the middle."""
    side = np.abs(points[..., 0])
    temples = np.exp(-(((side - 5.0) / 2.2) ** 2)) + 0.35 * np.exp(-((side / 4.0) ** 2))
    return np.asarray(recede * temples * smoothstep(0.0, 4.0, points[..., 2]))


def scatter_roots(head: HeadModel, style: Style, count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Roots (N, 3), normals (N, 3) and cm above the hairline (N,): even on the scalp, sparse along its edge."""
    triangles = head.triangles[head.part_triangles["skin"]]
    corners = (head.mean + HEAD_ORIGIN)[triangles]
    corners = corners[(scalp_height(corners) > -0.3).any(axis=1)]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    tries = int(count * 1.25)
    share = area * _density(style, corners.mean(axis=1))
    place = (np.arange(tries) + rng.uniform(0, 1, tries)) / tries  # one in every equal share
    chosen = np.searchsorted(np.cumsum(share) / share.sum(), place)
    chosen = np.minimum(chosen, len(corners) - 1)
    bary = rng.dirichlet((1.0, 1.0, 1.0), tries)
    roots = (corners[chosen] * bary[:, :, None]).sum(axis=1)
    height = scalp_height(roots) - receded(roots, style.recede)
    turn = np.radians(azimuth(roots))
    edge = 0.18 * np.sin(9 * turn + 1.0) + 0.14 * np.sin(23 * turn + 2.0) + rng.exponential(0.35, tries)
    kept = np.flatnonzero(height > edge)
    kept = kept[rng.permutation(len(kept))[:count]]
    return roots[kept], normal[chosen[kept]] / area[chosen[kept], None], height[kept]


def _density(style: Style, p: np.ndarray) -> np.ndarray:
    """Relative density (N,) of roots at points (N, 3): more along a parting and where a fringe grows."""
    density = np.ones(len(p))
    if style.cut is not None and style.part is not None:
        along = smoothstep(7.0, 10.0, p[:, 1]) * smoothstep(-7.0, -3.0, p[:, 2])
        density += 2.5 * along * np.exp(-(((p[:, 0] - style.part) / 1.2) ** 2))
    if style.bangs:
        density += 2.0 * _over_forehead(p)
    return density


def _over_forehead(roots: np.ndarray) -> np.ndarray:
    """Whether hair rooted at points (N, 3) belongs to a fringe."""
    return np.asarray((np.abs(roots[:, 0]) < 6.8) & (roots[:, 2] > 4.2 + 0.3 * np.abs(roots[:, 0])))


def on_top(style: Style, roots: np.ndarray) -> np.ndarray:
    """0 at sides and back .. 1 on top of the head, for roots (N, 3)."""
    return smoothstep(6.0, 10.5, roots[:, 1] + 0.15 * roots[:, 2])


def lengths(style: Style, roots: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Length in cm of strands (N,): top, sides, nape; short along the hairline."""
    sides = style.length if style.sides is None else style.sides
    nape = sides if style.nape is None else style.nape
    low = smoothstep(3.5, -3.0, roots[:, 1]) * smoothstep(2.0, -3.0, roots[:, 2])
    length = sides + (style.length - sides) * on_top(style, roots)
    return np.asarray((length + (nape - length) * low) * (0.45 + 0.55 * smoothstep(0.1, 1.6, height)))


def flow(style: Style, p: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Direction (N, 3) in which the comb goes at points (N, 3); ``side`` (N,) of the parting, -1 or 1."""
    zero = np.zeros(len(p))
    away = unit(p - WHORL)
    if style.flow == "out":
        return unit(p - CRANIUM + [0.0, 1.0, 0.0])
    low = smoothstep(9.0, 3.0, p[:, 1])[:, None]
    down = np.array([0.0, -1.0, 0.0])
    if style.flow == "forward":
        sweep = np.stack([-0.5 * side if style.part else 0.15 * p[:, 0], zero, zero + 1.0], 1)
        front = smoothstep(-5.0, 0.0, p[:, 2])[:, None]
        return unit((away + front * sweep) * (1 - low) + low * (down + np.stack([zero, zero, 0.5 + zero], 1)))
    if style.flow == "back":
        behind = np.stack([0.05 * p[:, 0], zero, zero - 1.0], 1)
        return unit(behind + down * (0.25 + 0.6 * low * smoothstep(1.0, -6.0, p[:, 2])[:, None]))
    if style.flow == "part":
        ahead = smoothstep(-6.0, 1.0, p[:, 2])[:, None]
        across = np.stack([side, zero, -0.55 + zero], 1)
        behind = np.stack([0.12 * p[:, 0], zero - 0.3, zero - 1.0], 1)
        short = style.cut is None  # parted crops fall as crops do at the sides
        fallen = away * 0.6 + down if short else down + 0.25 * np.stack([side, zero, zero], 1)
        return unit((across * ahead + behind * (1 - ahead)) * (1 - low) + fallen * low)
    return unit(away * (1 - 0.5 * low) + down * low)


def march(
    style: Style, body: Body, roots: np.ndarray, normals: np.ndarray, layer: np.ndarray, length: np.ndarray,
    height: np.ndarray, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Strand points (N, segments + 1, 3): steps along flow and gravity, kept on the head and beside the face.

    ``layer`` (N,) in 0..1 says how far outside in the style's volume a strand lies.
    """
    count = len(roots)
    part = style.part if style.part is not None else 0.0
    side = np.where(roots[:, 0] + rng.normal(0, 0.12, count) > part, 1.0, -1.0)
    bangs = np.zeros(count, bool)
    if style.bangs:
        bangs = _over_forehead(roots)
        length = np.where(bangs, np.minimum(length, style.bangs), length)
    noise = rng.normal(0, style.mess, (count, 3))
    step = (length / style.segments)[:, None]
    thick = style.volume * np.where(bangs, 0.5, 1.0) * (0.15 + 0.85 * smoothstep(0.0, 4.5, height))
    if style.cut is None and style.flow != "out":
        thick = thick * (0.3 + 0.7 * on_top(style, roots))  # crops lie close at the sides
    flat = 0.06 + 0.05 * layer if style.cut is None else 0.2 + 0.1 * layer  # skulls differ from the affine fit
    p, direction = roots + normals * 0.02, normals * style.lift
    points = [p]
    for k in range(style.segments):
        t = (k + 1) / style.segments
        wanted = _combed(style, p, side, bangs) + noise
        _, normal = body.at(p)
        if style.flow != "out":
            wanted = wanted - normal * np.minimum((wanted * normal).sum(axis=1, keepdims=True), 0.0)
        hanging = smoothstep(4.0, -3.0, p[:, 1])[:, None]
        share = 1.0 if k == 0 else style.pull * (1 - 0.8 * hanging)
        weight = np.array([0.0, -style.gravity * (0.4 + t), 0.0]) + hanging * [0.0, 0.0, 0.35 * style.drape]
        inwards = -style.ends * unit(p * [1, 0, 1]) * smoothstep(0.75, 1.0, np.full((count, 1), t))
        direction = unit(direction + share * wanted + weight + inwards * hanging)
        p = p + direction * step
        risen = np.minimum(1.0, 0.08 + t * length / 10.0) if style.cut is not None else min(1.0, 0.2 + 1.5 * t)
        if style.cut is not None:  # flowing hair lies flat on the crown; over the forehead a fringe keeps off the skin
            risen = risen * (1 - 0.7 * smoothstep(0.55, 0.95, normal[:, 1]))
        low = flat + layer * thick * risen + np.where(bangs, 0.3 * t, 0.0)
        free = p[:, 1] < 3.0 if style.cut is not None else np.zeros(count, bool)
        p = body.between(p, low, np.where(free, 99.0, low + (0.25 if style.flow == "out" else 0.25 + 0.3 * thick)))
        p = _beside_face(style, p, bangs)
        points.append(p)
    return _soothed(np.stack(points, axis=1), style.segments // 5)


def _soothed(paths: np.ndarray, times: int) -> np.ndarray:
    """Take the kinks out of courses (N, P, 3) that pushing has bent."""
    for _ in range(times):
        paths[:, 1:-1] = 0.5 * paths[:, 1:-1] + 0.25 * (paths[:, :-2] + paths[:, 2:])
    return paths


def _combed(style: Style, p: np.ndarray, side: np.ndarray, bangs: np.ndarray) -> np.ndarray:
    if not bangs.any():
        return flow(style, p, side)
    slant = -0.7 if style.flow == "forward" else 0.0
    fringe = np.stack([slant * side + 0.05 * p[:, 0], -0.5 - 0.1 * p[:, 2].clip(0, 10), 1.0 + 0 * side], 1)
    return np.where(bangs[:, None], unit(fringe), flow(style, p, side))


def _beside_face(style: Style, p: np.ndarray, bangs: np.ndarray) -> np.ndarray:
    """Flowing hair in front of the face is led round to its sides, at the same distance from the head's axis."""
    if style.cut is None:
        return p
    turn = azimuth(p)
    least = np.interp(p[:, 1], _FACE_HEIGHT, _FACE_AZIMUTH)
    into = (np.abs(turn) < least) & ~bangs & (p[:, 1] < 11.0)
    wide = np.radians(least) * np.where(turn >= 0, 1.0, -1.0)
    reach = np.minimum(np.hypot(p[:, 0], p[:, 2] - CRANIUM[2]), np.where(p[:, 1] < 6.0, 10.2, 99.0))
    p[:, 0] = np.where(into, np.sin(wide) * reach, p[:, 0])
    p[:, 2] = np.where(into, np.cos(wide) * reach + CRANIUM[2], p[:, 2])
    return p


def barber(style: Style, paths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut strands (N, S + 1, 3) where they would hang over forehead, ears or neck, or at the cut's height."""
    count, points, _ = paths.shape
    turn, y = np.abs(azimuth(paths)), paths[..., 1]
    above = scalp_height(paths) - receded(paths, style.recede)
    ragged = rng.uniform(0.0, 1.0, (count, 1))
    front = np.where(turn < 52, 1.0, 0.0)
    if style.cut is None:
        hem = front * style.fringe + (1 - front) * style.hem
        over = above < -hem * (0.5 + 0.5 * ragged) - 0.05
        if style.ears:
            over &= ~((above < -2.9) & (paths[..., 0] ** 2 > 56))
    else:
        over = (front > 0) & (turn < np.interp(y, _FACE_HEIGHT, _FACE_AZIMUTH) - 6) & (above < -style.fringe)
        over &= y > -8.0
        over |= y < style.cut + 1.6 * (ragged**2) * (1.0 if not style.curl else 2.5)
    over[:, 0] = False
    first = np.where(over.any(axis=1), over.argmax(axis=1) - ragged[:, 0] * 0.6, points - 1.0)
    place = np.linspace(0, 1, (style.drawn or style.segments) + 1)[None] * np.maximum(first, 0.6)[:, None]
    cell = np.minimum(place.astype(int), points - 2)
    part = (place - cell)[..., None]
    row = np.arange(count)[:, None]
    return np.asarray(paths[row, cell] * (1 - part) + paths[row, cell + 1] * part)


def gather(style: Style, paths: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw strands (N, S + 1, 3) to leaders towards their tips; also each strand's leader (N,)."""
    count, points, _ = paths.shape
    leaders = rng.choice(count, min(style.clumps, count), replace=False)
    middle = points // 2
    marks = np.concatenate([paths[:, 0], 0.6 * paths[:, middle], 0.4 * paths[:, -1]], axis=1).astype(np.float32)
    near = -2 * marks @ marks[leaders].T + (marks[leaders] ** 2).sum(axis=1)
    leader = leaders[np.argmin(near, axis=1)]
    loose = rng.random(count) < 0.04
    pull = style.clump * np.where(loose, 0.15, rng.uniform(0.75, 1.0, count))
    t = np.linspace(0, 1, points)
    if style.bangs:
        pull = pull * np.where(_over_forehead(paths[:, 0]), 0.45, 1.0)
    share = pull[:, None] * smoothstep(0.0, 0.9, t)[None]
    return np.asarray(paths + share[..., None] * (paths[leader] - paths)), leader


def curled(style: Style, paths: np.ndarray, leader: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coil or wave strands (N, S + 1, 3) about their course; those of a lock swing together."""
    if not style.curl:
        return paths
    count, points, _ = paths.shape
    own = rng.uniform(0, 1, (count, 4))
    own = 0.82 * own[leader] + 0.18 * own
    tangent = unit(np.gradient(paths, axis=1))
    across = unit(np.cross(tangent, unit(paths - CRANIUM * [1, 0, 1])))
    outward = np.cross(across, tangent)
    t = np.linspace(0, 1, points)[None]
    if style.wave:  # neighbouring locks swing at the same height
        pace = style.turns / style.length * (0.9 + 0.2 * own[:, 1:2])
        angle = 6.283 * (0.45 * own[:, :1] - pace * paths[..., 1] + 0.04 * paths[..., 2])
    else:
        angle = 6.283 * (own[:, :1] + t * style.turns * (0.75 + 0.5 * own[:, 1:2]))
    radius = style.curl * (0.7 + 0.6 * own[:, 2:3]) * smoothstep(0.02, 0.35 if style.wave else 0.15, t)
    if style.bangs:
        radius = radius * np.where(_over_forehead(paths[:, 0]), 0.3, 1.0)[:, None]
    out = 0.35 * np.sin(angle + 1.0) if style.wave else np.sin(angle)
    return np.asarray(paths + radius[..., None] * (np.cos(angle)[..., None] * across + out[..., None] * outward))
