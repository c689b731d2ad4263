"""Further numbers of the arena: each one's exact definition and source, on arrays over people (NaN: not measured)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from facesnap.evaluation.metrics import cosine, mean_of_finite

#: FID needs many more samples than its features have entries; below, its bias is most of it (Chong and Forsyth 2020).
FID_SAMPLES_PER_ENTRY: Final = 8
#: Of fewer pictures KID is mostly noise.
KID_SAMPLES: Final = 50


def copy_paste(picture: np.ndarray, reference: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """How much nearer a portrait is to the very reference than to other pictures of the person, (N,).

    ``(angle(picture, other) - angle(picture, reference)) / angle(reference, other)``, after WithAnyone (arXiv
    2510.14975), each angle to others a mean over them: 1 repeats the reference, 0 is as near to any other picture. (To
    their mean embedding everything is nearer, which would look like the contrary of copying.) Rows are unit
    embeddings (N, D); NaN where the portrait, the reference or all others show no face.
    """
    away = _mean_angle(picture, others)
    return np.asarray((away - _angle(picture, reference)) / np.maximum(_mean_angle(reference, others), 1e-6))


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.arccos(np.clip(cosine(a, b), -1.0, 1.0)))


def _mean_angle(rows: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    return mean_of_finite(np.stack([_angle(rows, other) for other in others]))


def sharpness(face: np.ndarray) -> float:
    """Log10 of the variance of a face crop's Laplacian (Pech-Pacheco et al. 2000); (S, S, 3) uint8."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return float(np.log10(max(cv2.Laplacian(grey, cv2.CV_64F).var(), 1e-6)))


def kid(features: np.ndarray, real: np.ndarray) -> float:
    """Kernel distance (Binkowski et al. 2018): MMD^2 under ``(x y / d + 1)^3``, rows (N, d), row by row of one prompt.

    Their features are Inception's; unit features of a CLIP are scaled to a length of ``sqrt(d)``, about theirs. Rows of
    one prompt are no two independent draws, so they aren't compared with each other (Gretton et al. 2012, lemma 6).
    """
    n = len(features)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a @ b.T + 1.0) ** 3)  # x y / d of vectors that are sqrt(d) long is their cosine

    own, theirs, across = kernel(features, features), kernel(real, real), kernel(features, real)
    within, between = own + theirs, 2.0 * across
    return float(((within - between).sum() - np.trace(within - between)) / (n * (n - 1)))


def fid(features: np.ndarray, real: np.ndarray) -> float:
    """Frechet distance (Heusel et al. 2017, eq. 6) of rows (N, d)."""
    means = features.mean(axis=0), real.mean(axis=0)
    a, b = np.cov(features, rowvar=False), np.cov(real, rowvar=False)
    values, vectors = np.linalg.eigh(a)
    root = vectors * np.sqrt(np.clip(values, 0.0, None)) @ vectors.T
    # tr sqrt(A B) = tr sqrt(sqrt(A) B sqrt(A)), which is symmetric
    crossed = np.linalg.eigvalsh(root @ b @ root)
    together = np.sqrt(np.clip(crossed, 0.0, None)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + np.trace(a) + np.trace(b) - 2.0 * together)
