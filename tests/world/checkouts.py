"""Checkouts of ICT-FaceKit made on the spot: the authors' folder and file names around any model."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from facesnap.world.facekit.convert import FOLDER, NEUTRAL, Model
from facesnap.world.facekit.layout import Layout

LICENCE = "MIT License\n\nCopyright (c) 2020 Somebody\n\nPermission is hereby granted ...\n"

#: A head of six vertices with two lashes: two quads and a triangle.
TINY = Layout(
    texture_points=7,
    faces=3,
    identities=2,
    expressions=("jawOpen", "mouthLeft"),
    pupils=("PupilDilate_L",),
    materials=("M_Face", "M_EyeLashes"),
    parts=(("face", 6), ("lash_l", 2)),
    landmarks68=(0, 3, 5),
    jaw_right17=(1,),
    jaw_left17=(2,),
)


def tiny_model() -> Model:
    """A model of the layout :data:`TINY`; what a conversion makes of its checkout, but for ``source``."""
    rng = np.random.default_rng(7)

    def offsets(count: int) -> np.ndarray:
        return rng.normal(0, 1, (count, 8, 3)).astype(np.float16)

    return {
        "mean": rng.normal(0, 5, (8, 3)).astype(np.float32),
        "identity": offsets(2),
        "expression": offsets(2),
        "pupil": offsets(1),
        "expression_names": np.array(TINY.expressions),
        "uv": rng.uniform(0, 1, (7, 2)).astype(np.float32),
        "tri": np.array([[0, 1, 2], [0, 2, 3], [3, 4, 5], [2, 3, 6], [2, 6, 7]], dtype=np.uint16),
        "tri_uv": np.array([[0, 1, 2], [0, 2, 6], [3, 4, 5], [2, 3, 4], [2, 4, 5]], dtype=np.uint16),
        "tri_material": np.array([0, 0, 0, 1, 1], dtype=np.uint8),
        "material_names": np.array(TINY.materials),
        "quad": np.array([[0, 1, 2, 3], [3, 4, 5, 5], [2, 3, 6, 7]], dtype=np.uint16),
        "landmarks68": np.array([0, 3, 5], dtype=np.int32),
        "jaw_right17": np.array([1], dtype=np.int32),
        "jaw_left17": np.array([2], dtype=np.int32),
        "part_names": np.array(["face", "lash_l"]),
        "part_range": np.array([[0, 6], [6, 8]], dtype=np.int32),
        "licence": np.array(LICENCE),
    }


def write_checkout(folder: Path, layout: Layout, model: Model) -> Path:
    """The files a model of ``layout`` is converted from, with all digits that its arrays have; returns ``folder``."""
    meshes = folder / FOLDER
    meshes.mkdir(parents=True)
    (folder / "LICENSE").write_text(str(model["licence"]), encoding="utf-8")
    mean, faces = model["mean"].astype(np.float64), "\n".join(_faces(model))
    points = "".join(f"vt {u!r} {v!r}\n" for u, v in model["uv"].tolist())
    offsets = [*model["identity"], *model["expression"], *model["pupil"]]
    for name, offset in zip((NEUTRAL, *layout.shapes), [np.zeros_like(mean), *offsets], strict=True):
        vertices = "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in (mean + offset).tolist())
        rest = f"{points}{faces}\n" if name == NEUTRAL else ""  # the authors' repeat it; nothing is read of it
        text = f"# a comment\n\nmtllib any.mtl\n{vertices}{rest}"
        (meshes / f"{name}.obj").write_text(text, encoding="utf-8")
    return folder


def _faces(model: Model) -> list[str]:
    lines, triangle, names = [], 0, model["material_names"].tolist()
    for corners in model["quad"].tolist():
        points = model["tri_uv"][triangle].tolist()
        name = names[model["tri_material"][triangle]]
        if corners[2] != corners[3]:
            points.append(int(model["tri_uv"][triangle + 1][2]))
        triangle += len(points) - 2
        lines.append(f"usemtl {name}")
        lines.append("f " + " ".join(f"{v + 1}/{t + 1}" for v, t in zip(corners, points, strict=False)))
    return lines


def commit(folder: Path) -> str:
    """Make a folder a git repository of one commit; returns its name."""
    run = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*run, *arguments], cwd=folder, check=True, capture_output=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
