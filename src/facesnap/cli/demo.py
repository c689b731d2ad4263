"""``facesnap demo``: portraits of one photo for three prompts and three poses, and a contact sheet of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from facesnap.cli import console, options

PROMPTS: Final = (
    "a portrait of a person in a red jacket",
    "a person with long black hair, blue background",
    "a person in a green turtleneck, outdoors",
)

#: Name -> yaw in degrees and expression.
POSES: Final[dict[str, tuple[float, dict[str, float]]]] = {
    "straight": (0.0, {}),
    "yaw 20, smile": (20.0, {"smile": 1.0}),
    "yaw -20, surprise": (-20.0, {"surprise": 0.8}),
}

SHEET: Final = "contact_sheet.png"
CELL: Final = 256


def demo(
    photo: Annotated[Path, typer.Option("--photo", help="A photo of one person.")] = Path(
        "examples/eileen_collins.jpg"
    ),
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for portraits and contact sheet.")] = Path(
        "out/demo"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same files.")] = 0,
    device: options.Device = "auto",
) -> None:
    """Make portraits of a photo for three prompts in three poses, and a contact sheet: photo, map, portraits."""
    options.check_photos(photo)
    console.check_folder(output)
    import numpy as np

    from facesnap.core.images import crop_matrix, save_png, similarity_crop
    from facesnap.core.pose import Pose
    from facesnap.evaluation.report import Strip, contact_sheet
    from facesnap.pipelines.facade import FaceSnap

    snap = FaceSnap.from_pretrained("mini", device=device)
    snap.pipeline.set_progress_bar_config(disable=True)
    person = snap.enroll(photo)
    seen = snap.analyser.read(photo, face=0)  # the largest, as enrolled; said once
    reference = similarity_crop(seen.image, crop_matrix(seen.face.box, CELL, margin=1.8), CELL)
    strips = []
    with console.progress("portraits", len(PROMPTS) * len(POSES)) as step:
        for row, (name, (yaw, expression)) in enumerate(POSES.items(), start=1):
            pictures = []
            for column, prompt in enumerate(PROMPTS, start=1):
                made = snap(prompt, person, pose=Pose(yaw=yaw, expression=expression), seed=seed)
                made.save(output, f"pose{row}-prompt{column}")
                pictures.append(np.asarray(made.images[0]))
                step()
            strips.append(Strip([reference, made.landmark_map, *pictures], name))
    sheet = output / SHEET
    save_png(sheet, contact_sheet(strips, ["reference", "landmark map", *PROMPTS], CELL))
    print(sheet)
