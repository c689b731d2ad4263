"""``facesnap generate``: portraits from a photo or an identity file, a prompt and a pose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facesnap.cli import console, options
from facesnap.core.errors import UsageError

_SAMPLING = "Sampling"
_START = "From a picture"
_FACE = "How the face acts"


def generate(
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What the portrait shows.")],
    reference: Annotated[
        list[Path] | None, typer.Option("--reference", "-r", help="A photo of the person; several times for several.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="An identity file made by `facesnap enroll`, instead of a photo.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the portraits.")] = Path("out"),
    face: options.Face = None,
    pose_from: options.PoseFrom = None,
    yaw: options.Yaw = None,
    pitch: options.Pitch = None,
    roll: options.Roll = None,
    expression: options.Expression = None,
    gaze: options.Gaze = None,
    face_scale: options.FaceScale = None,
    face_centre: options.FaceCentre = None,
    base: options.Base = "mini",
    adapter: options.Adapter = None,
    base_config: options.BaseConfig = None,
    face_encoder: options.FaceEncoder = None,
    image_encoder: options.ImageEncoder = None,
    negative_prompt: Annotated[
        str, typer.Option("--negative-prompt", rich_help_panel=_SAMPLING, help="What it should not show.")
    ] = "",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, max=1000, rich_help_panel=_SAMPLING, help="Denoising steps.")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", min=0, rich_help_panel=_SAMPLING, help="Guidance scale of the prompt.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, rich_help_panel=_SAMPLING, help="The same seed gives the same files; default: drawn."
        ),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=1000, rich_help_panel=_SAMPLING, help="How many portraits.")
    ] = 1,
    width: Annotated[
        int | None, typer.Option("--width", min=64, rich_help_panel=_SAMPLING, help="Pixels; default: the model's own.")
    ] = None,
    height: Annotated[int | None, typer.Option("--height", min=64, rich_help_panel=_SAMPLING, help="Pixels.")] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", rich_help_panel=_START, help="A picture to start from; its face drives, in its place."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask", metavar="PICTURE|face|background", rich_help_panel=_START, help="What of it is made anew: white."
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option("--strength", rich_help_panel=_START, help="How much of it is lost to noise: 0.8; masked 1."),
    ] = None,
    small_faces: Annotated[
        bool,
        typer.Option("--small-faces", rich_help_panel=_SAMPLING, help="Make small faces anew, afterwards."),
    ] = False,
    long_prompts: Annotated[
        bool, typer.Option("--long-prompts", rich_help_panel=_SAMPLING, help="Encode longer prompts in pieces.")
    ] = False,
    identity_scale: Annotated[
        float, typer.Option("--identity-scale", min=0, max=2, rich_help_panel=_FACE, help="Weight of the person.")
    ] = 1.0,
    landmark_scale: Annotated[
        float,
        typer.Option(
            "--landmark-scale", min=0, max=2, rich_help_panel=_FACE, help="Weight of FFRNet: map and person together."
        ),
    ] = 1.0,
    identity_window: Annotated[
        str | None,
        typer.Option(
            "--identity-window", metavar="A,B", rich_help_panel=_FACE, help="The person acts from A to B of the steps."
        ),
    ] = None,
    landmark_window: Annotated[
        str | None,
        typer.Option("--landmark-window", metavar="A,B", rich_help_panel=_FACE, help="The same for the landmarks."),
    ] = None,
    abstract_scale: Annotated[
        float, typer.Option("--abstract-scale", min=0, rich_help_panel=_FACE, help="Weight of f_id in the mixer.")
    ] = 1.0,
    detail_scale: Annotated[
        float, typer.Option("--detail-scale", min=0, rich_help_panel=_FACE, help="Weight of f_clip in the mixer.")
    ] = 1.0,
    carry: options.Carry = "hair,beard",
    device: options.Device = "auto",
    dtype: options.DType = "auto",
    as_json: options.Json = False,
) -> None:
    """Make portraits of a person from a photo (or an identity file) and a prompt."""
    if bool(reference) == (identity is not None):
        raise UsageError("give either --reference PHOTO or --identity FILE")
    if identity is not None and face is not None:
        raise UsageError("--face chooses a face on a photo: it goes with --reference")
    if not prompt.strip():
        raise UsageError("the prompt is empty: say what the portrait shows")
    windows: dict[str, Any] = {
        name: pair
        for name, words in (("identity_window", identity_window), ("landmark_window", landmark_window))
        if (pair := options.parse_pair("--" + name.replace("_", "-"), words)) is not None
    }
    carried = options.parse_carry(carry)
    options.check_model(base, adapter)
    spelled: dict[str, Any] = {"yaw": yaw, "pitch": pitch, "roll": roll, "expression": expression, "gaze": gaze}
    pose = options.parse_pose(pose_from, **spelled, face_scale=face_scale, face_centre=face_centre)
    driver = None if pose else pose_from
    mask_image = Path(mask) if mask and mask not in ("face", "background") else mask
    options.check_photos(*(reference or []), driver, image, mask_image if isinstance(mask_image, Path) else None)
    console.check_folder(output)
    from facesnap.core.identity import Identity

    known = Identity.load(identity) if identity else None
    from facesnap.pipelines.facade import FaceSnap
    from facesnap.pipelines.prompts import check_carry

    check_carry(carried)
    others: dict[str, Any] = {"face_encoder": face_encoder, "image_encoder": image_encoder}
    snap = FaceSnap.from_pretrained(base, adapter, device, dtype, base_config=base_config, **others)
    snap.pipeline.set_progress_bar_config(disable=True)  # ours, below, keeps quiet without a terminal
    person = known or snap.enroll(list(reference or []), face)
    with console.progress("sampling", steps or snap.default_steps) as step:

        def after_step(pipeline: Any, index: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
            step()
            return state

        made = snap(
            prompt,
            person,
            pose or driver,
            negative_prompt=negative_prompt,
            num_inference_steps=steps,
            guidance_scale=guidance,
            seed=seed,
            num_images_per_prompt=count,
            width=width,
            height=height,
            image=image,
            mask_image=mask_image,
            strength=strength,
            small_faces=small_faces,
            long_prompts=long_prompts,
            identity_scale=identity_scale,
            landmark_scale=landmark_scale,
            abstract_scale=abstract_scale,
            detail_scale=detail_scale,
            **windows,
            carry=carried,
            callback_on_step_end=after_step,
        )
    files = [str(file) for file in made.save(output)]
    lines = [f"{file}\n  {report}" for file, report in zip(files, made.report, strict=True)]
    data = {"images": files, "report": made.report.to_dicts(), "settings": made.settings}
    console.result(data, "\n".join(lines), as_json)
