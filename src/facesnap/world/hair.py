"""Hair as ribbons: strands grown once per process over the rest head, carried to people by an affine fit.

A style is a set of growth rules (:mod:`facesnap.world.hairstyles`). Strands start on the scalp, follow the style's
flow along it, fall with gravity, stay outside the head and off the face, and end as camera-facing ribbons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facesnap.world.hairstyles import STYLES, Style
from facesnap.world.head import HEAD_ORIGIN, HeadModel
from facesnap.world.masks import CRANIUM, azimuth, hairline, scalp_height

#: Where tied hair is gathered, and the bun's radius.
TIE = np.array([0.0, 14.6, -4.2], dtype=np.float32)
BUN_RADIUS = 3.3


@dataclass(frozen=True)
class Ribbons:
    """A style's triangles.

    ``vertices`` (N, 11) f32: position 3, tangent 3 and side, then along, half width, brightness, phase;
    ``indices`` (I,) i32.
    """

    vertices: np.ndarray
    indices: np.ndarray


class Cranium:
    """Distance of the rest head's surface from the cranium's centre, by direction."""

    ROWS, COLUMNS = 48, 96

    def __init__(self, rest: np.ndarray) -> None:
        offset = rest - CRANIUM
        distance = np.linalg.norm(offset, axis=1)
        row, column = self._cell(offset / distance[:, None])
        table = np.zeros((self.ROWS, self.COLUMNS), np.float32)
        ear = (np.abs(rest[:, 0]) > 7.6) & (rest[:, 1] < 4.0)
        np.maximum.at(table, (row[~ear], column[~ear]), distance[~ear].astype(np.float32))
        for _ in range(24):  # fill cells without a vertex from their neighbours
            rows = np.pad(table, ((1, 1), (0, 0)))  # columns wrap round, rows do not
            near = np.maximum.reduce([np.roll(table, 1, 1), np.roll(table, -1, 1), rows[2:], rows[:-2]])
            table = np.where(table > 0, table, near)
        self.table = table

    def _cell(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row = np.clip((direction[:, 1] * 0.5 + 0.5) * self.ROWS, 0, self.ROWS - 1).astype(int)
        turn = np.arctan2(direction[:, 0], direction[:, 2]) / (2 * np.pi) + 0.5
        return row, np.clip(turn * self.COLUMNS, 0, self.COLUMNS - 1).astype(int)

    def surface(self, direction: np.ndarray) -> np.ndarray:
        """Surface distance (N,) along unit directions (N, 3)."""
        return np.asarray(self.table[self._cell(direction)])


def grow(head: HeadModel, name: str, variant: int) -> Ribbons:
    """Grow one variant of a style in head space (rest head)."""
    style = STYLES[name]
    rng = np.random.default_rng(np.random.SeedSequence([7, list(STYLES).index(name), variant]))
    rest = head.mean[head.part_vertices["skin"]] + HEAD_ORIGIN
    roots, normals = _roots(head, style, rng)
    if not len(roots):
        return Ribbons(np.zeros((0, 11), np.float32), np.zeros(0, np.int32))
    paths = _paths(style, roots, normals, Cranium(rest), rng)
    if name == "bun":
        paths = np.concatenate([paths, _bun(style.segments, rng)])
    return _ribbons(style, paths - HEAD_ORIGIN, rng)


def _roots(head: HeadModel, style: Style, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    triangles = head.triangles[head.part_triangles["skin"]]
    rest = head.mean + HEAD_ORIGIN
    corners = rest[triangles]
    inside = scalp_height(corners.mean(axis=1)) > 0.25
    corners = corners[inside]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    chosen = rng.choice(len(corners), style.strands, p=area / area.sum())
    bary = rng.dirichlet((1.0, 1.0, 1.0), style.strands)
    return (corners[chosen] * bary[:, :, None]).sum(axis=1), normal[chosen] / area[chosen, None]


def _flow(style: Style, p: np.ndarray, side: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Direction (N, 3) along the scalp at points (N, 3)."""
    jitter = rng.normal(0, 0.12, p.shape)
    if style.flow == "back":
        return np.array([0.0, 0.15, -1.0]) + jitter + 0.25 * np.stack([p[:, 0] / 8, 0 * side, 0 * side], 1)
    if style.flow == "forward":
        out = p[:, :2] / 9.0
        return np.stack([0.35 * out[:, 0] + 0.35, -0.1 + 0 * side, np.where(p[:, 2] > -2, 0.8, -0.6)], 1) + jitter * 2
    if style.flow == "out":
        return np.asarray((p - CRANIUM) / 9.0 + jitter * 3)
    if style.flow == "tie":
        return _unit(TIE - p) + jitter * 0.3
    across = np.stack([side, 0.0 * side, -0.45 + 0.0 * side], 1)
    if style.flow == "fringe":
        front = ((np.abs(p[:, 0]) < 5.5) & (p[:, 2] > 3.5))[:, None]
        return np.where(front, np.array([0.0, -0.4, 1.0]), across) + jitter
    return across + jitter


def _paths(
    style: Style, roots: np.ndarray, normals: np.ndarray, cranium: Cranium, rng: np.random.Generator
) -> np.ndarray:
    """Strand points (N, segments + 1, 3) in model space."""
    count = len(roots)
    layer = rng.uniform(0.15, 1.0, count) * style.volume
    length = style.length * rng.uniform(0.82, 1.08, count)
    side = np.where(roots[:, 0] + rng.normal(0, 0.15, count) > style.part, 1.0, -1.0)
    bangs = (np.abs(roots[:, 0]) < 5.5) & (roots[:, 2] > 3.5) if style.flow == "fringe" else np.zeros(count, bool)
    step = (np.where(bangs, np.minimum(length, 7.0), length) / style.segments)[:, None]
    direction = _unit(normals * style.lift + _flow(style, roots, side, rng))
    phase = rng.uniform(0, 2 * np.pi, count)
    pull = 0.35 if style.flow in ("part", "back", "tie", "fringe") else 0.1
    p = roots.copy()
    points = [p.copy()]
    for k in range(style.segments):
        t = (k + 1) / style.segments
        on_top = np.clip((p[:, 1:2] - 6.0) / 4.0, 0, 1) if style.flow != "tie" else 1.0
        fall = np.array([0, -style.gravity * (0.4 + t), 0])
        direction = _unit(direction + pull * on_top * _flow(style, p, side, rng) + fall)
        p = _keep_out(style, p + direction * step, layer * min(1.0, 0.35 + t * 1.5), cranium, bangs)
        if style.flow == "tie":
            near = np.linalg.norm(p - TIE, axis=1) < 2.0
            p[near] = TIE + (p[near] - TIE) * 0.6
        turn = t * style.turns * 6.28
        coil = np.stack([np.cos(phase + turn), 0.5 * np.sin(2 * phase + turn), np.sin(phase + turn)], 1)
        wave = style.curl * np.minimum(t * 2, 1) * coil
        points.append(_keep_out(style, p + wave, layer * 0.3, cranium, bangs) if style.curl else p.copy())
    return np.stack(points, axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _keep_out(style: Style, p: np.ndarray, layer: np.ndarray, cranium: Cranium, bangs: np.ndarray) -> np.ndarray:
    """Push points (N, 3) out of head, neck and shoulders, back into the style's shell, and off the face."""
    p = _outside(style, p, layer, cranium)
    if style.flow in ("part", "fringe"):
        return _beside_face(style, p, bangs)
    turn = azimuth(p)
    lowest = np.where(np.abs(turn) > 100, hairline(turn) - 1.5 + 0.5 * layer, hairline(turn) - style.fringe)
    p[:, 1] = np.maximum(p[:, 1], lowest)
    return p


def _outside(style: Style, p: np.ndarray, layer: np.ndarray, cranium: Cranium) -> np.ndarray:
    """Keep points between two shells round the cranium; below the ears, outside neck and shoulders."""
    offset = p - CRANIUM
    distance = np.linalg.norm(offset, axis=1)
    unit = offset / np.maximum(distance, 1e-6)[:, None]
    surface = cranium.surface(unit)
    upper = p[:, 1] > 1.0
    wanted = np.clip(distance, surface + 0.12 + layer, surface + 0.4 + layer + 0.35 * style.volume)
    p = np.where(upper[:, None], CRANIUM + unit * wanted[:, None], p)
    axis = np.array([0.0, 0.0, -1.0])
    flat = (p - axis) * [1, 0, 1]
    radius = np.linalg.norm(flat, axis=1)
    least = 8.0 + layer + 1.1 * np.clip(-12.0 - p[:, 1], 0, 8)
    hang = np.where(radius < least, least / np.maximum(radius, 1e-6), 1.0)
    return np.where((~upper)[:, None], axis + flat * hang[:, None] + p * [0, 1, 0], p)


def _beside_face(style: Style, p: np.ndarray, bangs: np.ndarray) -> np.ndarray:
    """Long hair: over the forehead it stops at the fringe, at the temples it is led round the cheeks."""
    turn = azimuth(p)
    lowest = hairline(turn) - np.where(bangs, style.fringe, min(style.fringe, 0.8))
    front = (np.abs(turn) < 62) & (p[:, 1] < lowest)
    across = front & (np.abs(turn) > 40) & ~bangs
    p[:, 1] = np.where(front & ~across, lowest, p[:, 1])
    reach = np.hypot(p[:, 0], p[:, 2] - CRANIUM[2])
    wide = np.radians(62) * np.sign(turn)
    p[:, 0] = np.where(across, np.sin(wide) * reach, p[:, 0])
    p[:, 2] = np.where(across, np.cos(wide) * reach + CRANIUM[2], p[:, 2])
    low = (p[:, 1] < 8.0) & (p[:, 2] > 0) & ~bangs  # beside the cheeks: stay clear of them sideways
    p[:, 0] = np.where(low & (np.abs(p[:, 0]) < 7.6), np.sign(p[:, 0] + 1e-6) * 7.6, p[:, 0])
    p[:, 2] = np.where(low, np.minimum(p[:, 2], 4.2), p[:, 2])
    return p


def _bun(segments: int, rng: np.random.Generator) -> np.ndarray:
    """Strands wound round a ball behind the crown (300, segments + 1, 3)."""
    count = 300
    start = rng.normal(size=(count, 3))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    other = np.cross(start, rng.normal(0, 0.25, (count, 3)) + [0.2, 1.0, 0.3])
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    angle = np.linspace(0, 2.2, segments + 1)[None, :, None]
    radius = BUN_RADIUS * rng.uniform(0.85, 1.0, (count, 1, 1))
    return np.asarray(TIE + [0, 0.8, 0] + radius * (np.cos(angle) * start[:, None] + np.sin(angle) * other[:, None]))


def _ribbons(style: Style, paths: np.ndarray, rng: np.random.Generator) -> Ribbons:
    """Two vertices per strand point."""
    count, points, _ = paths.shape
    tangent = np.asarray(np.gradient(paths, axis=1))
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-6)
    vertices = np.zeros((count, points, 2, 11), np.float32)
    vertices[..., 0:3] = paths[:, :, None]
    vertices[..., 3:6] = tangent[:, :, None]
    vertices[..., 6] = [-1, 1]
    vertices[..., 7] = np.linspace(0, 1, points)[None, :, None]
    each = (count, 1, 1)
    vertices[..., 8] = style.width * rng.uniform(0.6, 1.2, each)
    vertices[..., 9] = rng.uniform(0.72, 1.28, each)
    vertices[..., 10] = rng.uniform(0, 1, each)
    base = (np.arange(count)[:, None] * points + np.arange(points - 1)[None]).reshape(-1, 1) * 2
    indices = (base + np.array([0, 1, 2, 2, 1, 3])).astype(np.int32)
    return Ribbons(vertices.reshape(-1, 11), indices.ravel())


def affine_fit(rest: np.ndarray, shaped: np.ndarray) -> np.ndarray:
    """Least-squares affine map (4, 3) with ``[rest, 1] @ map ~ shaped`` for points (N, 3)."""
    design = np.concatenate([rest, np.ones((len(rest), 1), rest.dtype)], axis=1)
    return np.asarray(np.linalg.lstsq(design, shaped, rcond=None)[0].astype(np.float32))
