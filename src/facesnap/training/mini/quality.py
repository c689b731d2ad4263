"""The model card's section on how good each part is by itself; the numbers come from ``facesnap mini measure``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Found = Mapping[str, Any]


def quality_section(found: Found) -> str:
    """``quality.json`` as Markdown."""
    lines = [
        "## Each part by itself, on test people",
        "",
        f"{found['people']} people whom no network has seen, {found['pictures']} pictures (world preset "
        f"{found['preset']}, seed {found['seed']}); `facesnap mini measure`, {found['machine']}, {found['date']}.",
    ]
    for name, write in _PARTS.items():
        if name in found:
            lines += ["", *write(found[name])]
    return "\n".join(lines)


def condition_table(by_condition: Found) -> list[str]:
    """Verification by condition, as :func:`facesnap.evaluation.recognise.figures` gives it."""
    lines = ["| pictures against clean ones of the person | pictures | accepted at FAR 1e-3 [95%] | mean cosine |"]
    lines.append("|---|---|---|---|")
    for name, row in by_condition.items():
        share = f"{row['tar']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
        lines.append(f"| {name} | {row['pictures']} | {share} | {row['mean_cosine']:.2f} |")
    return lines


def _vae(found: Found) -> list[str]:
    line = f"**VAE**: PSNR {found['psnr_db']} dB; round eyes, nose and mouth {found['psnr_eyes_nose_mouth_db']} dB"
    if "feature_distance" in found:
        line += (
            f"; distance of an unrelated network's features {found['feature_distance']} (a picture halved and enlarged"
            f" again: {found['feature_distance_of_halved_pictures']})"
        )
    if "likeness" in found:
        line += f"; cosine of the judge's vectors of a face before and after {found['likeness']}"
    return [line + "."]


def _face_encoder(found: Found) -> list[str]:
    line = (
        f"**E_f**: verification accuracy {found['accuracy']:.1%}, TAR at FAR 1e-3 {found['tar_at_far_1e-3']:.1%} over"
        f" all pairs ({found['pairs_same']} of one person)."
    )
    return [line, "", *condition_table(found["by_condition"])]


def _landmarks(found: Found) -> list[str]:
    lines = [
        f"**Detector and E_3d**: {found['recall']}% of faces found, {found['false_alarms']} false alarms in 100"
        f" pictures; NME of the 72 landmarks {found['nme']}% (median {found['nme_median']}%).",
        "",
        "| yaw | found | NME |",
        "|---|---|---|",
    ]
    recall, error = found["recall_by_yaw"], found["nme_by_yaw"]
    return lines + [f"| {name} | {share}% | {error.get(name, float('nan'))}% |" for name, share in recall.items()]


def _base(found: Found) -> list[str]:
    shares: Found = found["agreement"]
    lines = [
        f"**Base**: {found['prompts']} prompts, {found['seeds']} seeds each, {found['num_inference_steps']} steps,"
        f" guidance {found['guidance_scale']}: share of pictures in which the judge of attributes reads what the prompt"
        " says.",
        "",
        f"| | {' | '.join(shares)} |",
        "|---" * (len(shares) + 1) + "|",
    ]
    for name in shares["base"]:
        cells = [f"{of[name][0]:.0%}" if name in of else "" for of in shares.values()]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


_PARTS: Mapping[str, Callable[[Found], list[str]]] = {
    "vae": _vae,
    "face_encoder": _face_encoder,
    "landmarks": _landmarks,
    "base": _base,
}
