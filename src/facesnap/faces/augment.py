"""What real photographs do to a face, done to renders, so that encoders trained on renders work on photographs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White balance, exposure, contrast, gamma, saturation; RGB uint8 (H, W, 3), as all here."""
    level = np.arange(256, dtype=np.float32)[:, None] / 255.0  # what happens to a channel's 256 values
    level = level ** np.float32(np.exp(rng.normal(0, 0.22))) * rng.normal(1.0, 0.06, 3).astype(np.float32)
    level = (level - 0.5) * np.float32(np.exp(rng.normal(0, 0.18))) + 0.5 + np.float32(rng.normal(0, 0.06))
    kept = np.float32(np.exp(rng.normal(0, 0.3)))  # of each channel's distance from their mean
    x = cv2.transform(cv2.LUT(image, 255.0 * level[None]), kept * np.eye(3) + (1 - kept) / 3)
    return np.asarray(x.clip(0, 255), dtype=np.uint8)


def greyscale(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Black and white."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, up to 1.4% of the side."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.014 * image.shape[0]))))


def downscale(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small picture enlarged."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.35, 0.9)
    small = cv2.resize(image, (int(width * factor), int(height * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise."""
    grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(2, 16))
    return np.asarray((image + grain).clip(0, 255), dtype=np.uint8)


def compression(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG at quality 15 to 80."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def occlusion(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A bar or blob of one colour across part of the picture (a hand, a microphone, hair, a scarf)."""
    image = image.copy()
    height, width = image.shape[:2]
    colour = [int(c) for c in rng.integers(0, 256, 3)]
    centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    axes = (int(rng.uniform(0.05, 0.22) * width), int(rng.uniform(0.05, 0.3) * height))
    return np.asarray(cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA))


def shade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light falling off in one direction, hard or soft."""
    height, width = image.shape[:2]
    angle, hardness = rng.uniform(0, 2 * np.pi), rng.uniform(2, 12)
    across = np.cos(angle) * (np.arange(width) / width - 0.5)[None, :]
    down = np.sin(angle) * (np.arange(height) / height - 0.5)[:, None]
    mask = 1.0 - rng.uniform(0.1, 0.6) / (1.0 + np.exp(-hardness * (across + down - rng.uniform(-0.3, 0.3))))
    return np.asarray(image * mask[..., None], dtype=np.uint8)


#: Each with the share of pictures it is applied to, in this order.
STEPS: tuple[tuple[Augmentation, float], ...] = (
    (shade, 0.3),
    (occlusion, 0.2),
    (colour, 0.9),
    (greyscale, 0.12),
    (blur, 0.3),
    (downscale, 0.3),
    (noise, 0.3),
    (compression, 0.3),
)


def photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random draw of all steps on an RGB uint8 picture (H, W, 3)."""
    for step, share in STEPS:
        if rng.random() < share:
            image = step(image, rng)
    return image


def texture(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random texture (H, W, 3): what surrounds a face that fills its render."""
    height, width = shape[:2]
    coarse = rng.integers(0, 256, (int(rng.integers(2, 12)), int(rng.integers(2, 12)), 3), dtype=np.uint8)
    smooth = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=smooth))
