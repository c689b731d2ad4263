"""The sampler of identities: shape, ears, skin and its marks, age, eyes, brows, lips."""

from __future__ import annotations

import numpy as np

from facesnap.world.characters import Colour, Person, generator
from facesnap.world.facekit.head import HEAD_ORIGIN, load_head
from facesnap.world.palette import DARK_EYES, DARK_HAIR, EYES, GREY_HAIR, HAIR, LIGHT_EYES, NATURAL_HAIR, SKIN, jitter


def sample_person(seed: int, person_id: int) -> Person:
    """Draw identity ``person_id`` of world ``seed``.

    Skin tones are equally likely; eye and natural hair colour follow the tone loosely. The head model's modes
    carry no gender, age or ancestry, and none is drawn.
    """
    rng = generator(seed, person_id, 0)
    tone = str(rng.choice(list(SKIN)))
    darkness = list(SKIN).index(tone) / (len(SKIN) - 1)
    skin = jitter(rng, SKIN[tone], 0.045)
    age = float(np.clip(rng.beta(1.3, 2.0), 0.0, 1.0))
    eye = _eye_colour(rng, darkness)
    natural = _hair_colour(rng, darkness, age)
    return Person(
        person_id=person_id, seed=seed, shape=sample_shape(rng),
        ears=np.clip(rng.normal(0, 1, 2), -2, 2).astype(np.float32), tone=tone, skin=skin,
        redness=float(rng.uniform(0.1, 0.7) + 0.2 * (1 - darkness)), mottling=float(rng.uniform(0.5, 1.4) + 0.4 * age),
        oiliness=float(rng.uniform(0.35, 0.95)),
        freckles=float(max(0.0, rng.uniform(-1.4, 1.0)) * max(0.0, 1 - 1.2 * darkness)), age=age,
        bags=float(np.clip(rng.uniform(0.0, 0.5) + 0.4 * age, 0, 1)), moles=_moles(rng), eye_colour=eye,
        iris=jitter(rng, EYES[eye], 0.10), brow=_brow(rng, natural), brow_thickness=float(rng.uniform(0.75, 1.5)),
        brow_density=float(rng.uniform(0.72, 0.97)), brow_coarseness=float(rng.uniform(0.55, 1.1)),
        lip=_lip(rng, skin, darkness), natural_hair=natural,
        noise=tuple(float(v) for v in rng.uniform(0, 1, 3)), leaning=float(rng.random()),  # type: ignore[arg-type]
    )  # fmt: skip


def _eye_colour(rng: np.random.Generator, darkness: float) -> str:
    if rng.random() < 0.72 - 0.95 * darkness:
        return str(rng.choice(LIGHT_EYES, p=[0.08, 0.22, 0.2, 0.3, 0.2]))
    return str(rng.choice(DARK_EYES, p=[0.5, 0.4, 0.1]))


def _hair_colour(rng: np.random.Generator, darkness: float, age: float) -> str:
    """Natural colour: darker with the skin, grey and white with age."""
    if rng.random() < 0.85 * max(0.0, age - 0.45) / 0.55:
        return str(rng.choice(GREY_HAIR, p=[0.65, 0.35]))
    coloured = [name for name in NATURAL_HAIR if name not in GREY_HAIR]
    return str(rng.choice(DARK_HAIR if rng.random() < 1.5 * darkness - 0.3 else coloured))


def _brow(rng: np.random.Generator, natural: str) -> Colour:
    brow = np.array(HAIR[natural]) * rng.uniform(0.45, 0.75)
    return float(brow[0]), float(brow[1]), float(brow[2])


def _lip(rng: np.random.Generator, skin: Colour, darkness: float) -> Colour:
    pink = np.array([0.88, 0.62, 0.60]) * (1 - darkness) + np.array([0.92, 0.68, 0.70]) * darkness
    lip = np.array(skin) * pink * rng.uniform(0.88, 1.08) + np.array([18, 0, 5]) * (1 - 0.6 * darkness) * rng.uniform(
        0.1, 0.8
    )
    return float(lip[0]), float(lip[1]), float(lip[2])


def sample_shape(rng: np.random.Generator) -> np.ndarray:
    """Shape coefficients (100,): N(0, 1.05), livelier first 20, clipped; outliers are pulled towards the mean.

    Outliers are jaws wider than the cheeks allow, faces very long or short, and heavy throats under the chin.
    """
    shape = rng.normal(0, 1.05, 100)
    shape[:20] *= 1.15
    shape[:6] = np.clip(shape[:6], -1.8, 1.8)
    shape[6:] = np.clip(shape[6:], -2.5, 2.5)
    head = load_head()
    basis = head.identity.reshape(100, -1, 3)[:, head.landmarks]
    mean = head.mean[head.landmarks]
    for _ in range(8):
        points = mean + np.tensordot(shape, basis, 1)
        jaw, cheek = points[12, 0] - points[4, 0], points[16, 0] - points[0, 0]
        low_jaw = points[10, 0] - points[6, 0]
        tall = (points[27, 1] - points[8, 1]) / cheek
        if jaw / cheek < 0.83 and low_jaw / cheek < 0.46 and 0.66 < tall < 0.88:
            break
        shape = shape * 0.87
    return np.asarray(shape.astype(np.float32))


def _moles(rng: np.random.Generator) -> np.ndarray:
    """Up to four moles (4, 4) on the nearest vertices of the rest face: position and radius in cm."""
    moles = np.zeros((4, 4), np.float32)
    head = load_head()
    face = head.mean[head.part_vertices["skin"]] + HEAD_ORIGIN
    for i in range(int(rng.choice([0, 1, 2, 3, 4], p=[0.35, 0.25, 0.2, 0.12, 0.08]))):
        x, y = rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 6.0), rng.uniform(-6.5, 8.5)
        wanted = np.array([x, y, 11.2 - 0.11 * x**2])
        moles[i, :3] = face[np.argmin(((face - wanted) ** 2).sum(axis=1))]
        moles[i, 3] = rng.uniform(0.13, 0.34)
    return moles
