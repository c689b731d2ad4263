"""The frozen parts: VAE, E_f, E_3d and the detector, each against exact labels of rendered people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facesnap.evaluation.landmarks.accuracy import yaw_bins
from facesnap.evaluation.landmarks.readings import read_all
from facesnap.evaluation.recognise import figures
from facesnap.faces.align import align
from facesnap.faces.attributes import AttributeNet
from facesnap.faces.detect import HaarDetector
from facesnap.faces.encode import FaceEncoder, FaceRecogniser
from facesnap.landmarks.fit import FaceFitter
from facesnap.landmarks.layout import nme
from facesnap.pipelines.analyser import refine_with
from facesnap.training.mini.base import load_vae
from facesnap.training.mini.data import Split, aligned_crop, to_tensor
from facesnap.training.mini.vae import psnr


@torch.no_grad()
def vae_figures(
    mini: Path, split: Split, device: torch.device, features: AttributeNet | None, likeness: FaceRecogniser | None
) -> dict[str, float]:
    """PSNR, and what networks that took no part see of a picture that went through the VAE; each only if it is there.

    ``features``: distance of its features, and that of pictures halved and enlarged again, which is what blur by two
    pixels amounts to. ``likeness``: mean cosine of its vectors of the face before and after.
    """
    vae = load_vae(mini, device)
    found = psnr(vae, split, device, count=len(split))
    names = {"val_psnr_db": "psnr_db", "val_psnr_features_db": "psnr_eyes_nose_mouth_db"}
    figures = {names[name]: value for name, value in found.items()}
    seen: dict[str, list[float]] = {}
    for rows in np.array_split(np.arange(len(split)), max(1, len(split) // 16)):
        images = to_tensor(split.world.images[rows]).to(device)
        decoded = (vae.decode(vae.encode(images * 2 - 1).latent_dist.mean).sample.float() / 2 + 0.5).clamp(0, 1)
        if features is not None:
            small = torch.nn.functional.avg_pool2d(images, 2)
            halved = torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic").clamp(0, 1)
            others = {"feature_distance": decoded, "feature_distance_of_halved_pictures": halved}
            for name, other in others.items():
                seen.setdefault(name, []).extend(feature_distance(features, images, other).tolist())
        if likeness is not None:
            made = (decoded.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)
            pairs = (
                (split.world.images[row], picture, split.points5[row]) for row, picture in zip(rows, made, strict=True)
            )
            crops = [(align(before, points), align(after, points)) for before, after, points in pairs]
            a, b = (likeness.encode(list(several)) for several in zip(*crops, strict=True))
            seen.setdefault("likeness", []).extend((a * b).sum(axis=1).tolist())
    return {**figures, **{name: round(float(np.mean(values)), 4) for name, values in seen.items()}}


def feature_distance(network: AttributeNet, images: Tensor, others: Tensor) -> Tensor:
    """(B,) distances of pictures (B, 3, H, W) in [0, 1], after LPIPS (Zhang et al. 2018, eq. 1), unweighted.

    Features after the stem and each stage, of unit length over channels; squared differences, their means over places
    added up.
    """
    total = torch.zeros(len(images), device=images.device)
    a, b = images * 4 - 2, others * 4 - 2
    for layer in (network.stem, *network.stages.children()):
        a, b = layer(a), layer(b)
        units = (torch.nn.functional.normalize(x.float(), dim=1) for x in (a, b))
        total += (next(units) - next(units)).pow(2).sum(1).mean((1, 2))
    return total


def face_figures(mini: Path, split: Split, device: torch.device, seed: int) -> dict[str, Any]:
    """Verification by E_f from exact crops: see :func:`facesnap.evaluation.recognise.figures`."""
    encoder = FaceEncoder.from_pretrained(mini / "face_encoder", device=device)
    chunks = np.array_split(np.arange(len(split)), max(1, len(split) // 64))
    crops = ([aligned_crop(split, int(row), None) for row in rows] for rows in chunks)
    return figures(np.concatenate([encoder.encode(part) for part in crops]), split, seed)


def landmark_figures(mini: Path, split: Split) -> dict[str, Any]:
    """Detection and E_3d as a user's photograph goes through them, in percent; NME by yaw, of faces that were found.

    ``recall``: share of pictures whose face was found; ``false_alarms``: boxes elsewhere, per 100 pictures.
    """
    fitter = FaceFitter.from_pretrained(mini / "landmarks")
    points = split.world.landmarks2d.astype(np.float64)
    read = read_all(split.world.images, points, HaarDetector(refine_with(fitter)), fitter)
    error, found, bins = nme(read.landmarks, points), read.found, yaw_bins(split)
    return {
        "pictures": len(split),
        "recall": _percent(found),
        "recall_by_yaw": {name: _percent(found[chosen]) for name, chosen in bins.items()},
        "false_alarms": round(100 * read.alarms / len(split), 2),
        "nme": _percent(error[found]),
        "nme_median": round(100 * float(np.median(error[found])), 2),
        "nme_by_yaw": {n: _percent(error[found & chosen]) for n, chosen in bins.items() if (found & chosen).any()},
    }


def _percent(values: np.ndarray) -> float:
    return round(100 * float(np.mean(values)), 2)
