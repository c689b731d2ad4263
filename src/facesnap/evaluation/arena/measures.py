"""Further numbers of the arena: each one's exact definition and source, on arrays over people (NaN: not measured)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from facesnap.evaluation.metrics import cosine

#: FID needs many more samples than its features have entries; below, its bias is most of it (Chong and Forsyth 2020).
FID_SAMPLES_PER_ENTRY: Final = 8
#: KID has no bias, but of a few pictures it is mostly noise.
KID_SAMPLES: Final = 25


def copy_paste(picture: np.ndarray, reference: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How much nearer a portrait is to the very reference than to other pictures of the person, (N,).

    ``(angle(picture, others) - angle(picture, reference)) / angle(reference, others)`` (WithAnyone, arXiv 2510.14975):
    1 repeats the reference, 0 is as near to any other picture. Rows are unit embeddings (N, D).
    """
    away, from_reference, apart = (
        np.arccos(np.clip(cosine(a, b), -1.0, 1.0))
        for a, b in ((picture, others), (picture, reference), (reference, others))
    )
    return np.asarray((away - from_reference) / np.maximum(apart, 1e-6))


def sharpness(face: np.ndarray) -> float:
    """Log10 of the variance of a face crop's Laplacian (Pech-Pacheco et al. 2000); (S, S, 3) uint8."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return float(np.log10(max(cv2.Laplacian(grey, cv2.CV_64F).var(), 1e-6)))


def kid(features: np.ndarray, real: np.ndarray) -> float:
    """Kernel distance (Binkowski et al. 2018, eq. 4), unbiased: MMD^2 under ``(x y / d + 1)^3``; rows (N, d).

    NaN where there are too few. Their features are Inception's; unit features of a CLIP are scaled to a length of
    ``sqrt(d)``, about theirs.
    """
    n, m = len(features), len(real)
    if min(n, m) < KID_SAMPLES:
        return float("nan")

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a @ b.T + 1.0) ** 3)  # x y / d of vectors that are sqrt(d) long is their cosine

    own, theirs, across = kernel(features, features), kernel(real, real), kernel(features, real)
    within = (own.sum() - np.trace(own)) / (n * (n - 1)) + (theirs.sum() - np.trace(theirs)) / (m * (m - 1))
    return float(within - 2.0 * across.mean())


def fid(features: np.ndarray, real: np.ndarray) -> float:
    """Frechet distance (Heusel et al. 2017, eq. 6) of rows (N, d); NaN where there are too few of them."""
    if min(len(features), len(real)) < FID_SAMPLES_PER_ENTRY * features.shape[1]:
        return float("nan")
    means = features.mean(axis=0), real.mean(axis=0)
    a, b = np.cov(features, rowvar=False), np.cov(real, rowvar=False)
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.clip(values, 0.0, None)) @ vectors.T
    # tr sqrt(A B) = tr sqrt(sqrt(A) B sqrt(A)), which is symmetric
    crossed = np.linalg.eigvalsh(root @ b @ root)
    together = np.sqrt(np.clip(crossed, 0.0, None)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(a) + np.trace(b) - 2.0 * together)


def spread(distances: np.ndarray) -> np.ndarray:
    """(N,) mean of each person's distances (N, pairs) between portraits of different seeds."""
    return np.asarray(distances.mean(axis=1))
