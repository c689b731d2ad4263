"""The linear head model of 72 landmarks (3DMM): shape and expression coefficients -> 3D points.

The paper's Landmark Predictor box: ``landmarks = mean + sum_k shape_k * identity_k + sum_e weight_e * expression_e``.
Points are in centimetres in the head's own space (see :mod:`facesnap.core.types`), the origin subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from facesnap.core.arkit import NUM_EXPRESSIONS
from facesnap.core.errors import AdapterError
from facesnap.core.pose import Pose
from facesnap.core.weights import arrays_12
from facesnap.landmarks.layout import FROM_68, HEAD_ORIGIN, NUM_LANDMARKS, OUTER_EYE_CORNERS

if TYPE_CHECKING:
    import torch

#: ICT-FaceKit's part "face" (skin, lids and lips) is its first vertices; the rest are eyes, teeth, lashes...
FACE_VERTICES = 9409

MORPHABLE_NAME = "morphable.safetensors"
CREDIT = "derived from ICT-FaceKit (MIT), USC ICT Vision and Graphics Lab"


@dataclass(frozen=True, eq=False)
class MorphableLandmarks:
    """The linear model; float32 arrays, cm.

    ``mean`` (72, 3); ``identity`` (K, 72, 3), offset per unit of a shape coefficient (~N(0, 1) over people), largest
    first; ``expression`` (53, 72, 3), offset at full weight; ``identity_scale`` (K,), root mean square over the
    points of each identity offset; ``from_full`` (F, K), ICT-FaceKit's F identity coefficients to ours.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    identity_scale: np.ndarray
    from_full: np.ndarray

    @property
    def components(self) -> int:
        """K, the number of shape coefficients."""
        return len(self.identity)

    @property
    def eye_distance(self) -> float:
        """Distance between the mean head's outer eye corners, in cm."""
        left, right = OUTER_EYE_CORNERS
        return float(np.linalg.norm(self.mean[left] - self.mean[right]))

    @overload
    def landmarks3d(self, shape: np.ndarray, expression: np.ndarray) -> np.ndarray: ...
    @overload
    def landmarks3d(self, shape: torch.Tensor, expression: torch.Tensor) -> torch.Tensor: ...
    def landmarks3d(
        self, shape: np.ndarray | torch.Tensor, expression: np.ndarray | torch.Tensor
    ) -> np.ndarray | torch.Tensor:
        """Landmarks (..., 72, 3) in cm for shape (..., K) and expression weights (..., 53); arrays or tensors."""
        if isinstance(shape, np.ndarray) or isinstance(expression, np.ndarray):
            offsets = np.tensordot(shape, self.identity, axes=1) + np.tensordot(expression, self.expression, axes=1)
            return np.asarray(self.mean + offsets)
        return _torch_landmarks(self, shape, expression)

    def posed(self, shape: np.ndarray, pose: Pose) -> np.ndarray:
        """Landmarks (72, 3) in cm of one head (shape (K,)) under a pose's rotation and expression."""
        return np.asarray(self.landmarks3d(shape, pose.weights()) @ pose.rotation().T)

    def shape_from_full(self, identity: np.ndarray) -> np.ndarray:
        """Shape (..., K) of a head given by its ICT-FaceKit identity coefficients (..., F); exact, no fitting."""
        return np.asarray(identity @ self.from_full, dtype=np.float32)

    def save(self, path: str | Path) -> None:
        """Write the model to a safetensors file, with credit to its source."""
        from safetensors.numpy import save

        from facesnap.core.images import write_atomic

        tensors = {f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}
        write_atomic(Path(path), save(tensors, {"credit": CREDIT, "format_version": "1", "unit": "cm"}))

    @classmethod
    def load(cls, path: str | Path) -> MorphableLandmarks:
        """Read a model from a safetensors file.

        Raises:
            AdapterError: missing, unreadable or with other arrays than these.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise AdapterError(f"can't read the morphable model {path}: {error}") from None


def fit_morphable(
    mean72: np.ndarray, identity72: np.ndarray, expression72: np.ndarray, components: int = 32
) -> MorphableLandmarks:
    """Restrict a head model to the 72 landmarks: PCA of its identity modes under N(0, 1) coefficients.

    Args:
        mean72: (72, 3) mean landmarks, in cm after subtraction of the head's origin.
        identity72: (F, 72, 3) offsets per unit of each N(0, 1) identity coefficient.
        expression72: (53, 72, 3) offsets at full weight, kept as they are.
        components: K, shape coefficients to keep (at most F).

    With ``A = identity72 = U S V'`` a head ``c @ A`` is ``(c @ U) @ (S V')``: the new coefficients ``c @ U`` are a
    rotation of ``c``, so they are exactly N(0, I), ordered by how far they move the landmarks.
    """
    flat = identity72.reshape(len(identity72), -1).astype(np.float64)
    rotation, spread, modes = np.linalg.svd(flat, full_matrices=False)
    kept = min(components, len(spread))
    identity = (spread[:kept, None] * modes[:kept]).reshape(kept, NUM_LANDMARKS, 3)
    arrays = (mean72, identity, expression72, spread[:kept] / np.sqrt(NUM_LANDMARKS), rotation[:, :kept])
    return MorphableLandmarks(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))


def morphable_of_head(npz_path: str | Path, components: int = 32) -> MorphableLandmarks:
    """The landmark model of ICT-FaceKit's arrays (the world's npz); with all 100 components nothing is lost."""
    with np.load(npz_path) as head:
        vertices = landmark_vertices(head["mean"], head["landmarks68"])
        mean = head["mean"][vertices].astype(np.float64) - np.array(HEAD_ORIGIN)
        return fit_morphable(mean, head["identity"][:, vertices], head["expression"][:, vertices], components)


def write_morphable(npz_path: str | Path, out: str | Path, components: int = 32) -> MorphableLandmarks:
    """Make the landmark model from ICT-FaceKit's arrays (the world's npz) and write it to ``out``."""
    model = morphable_of_head(npz_path, components)
    model.save(out)
    return model


def landmark_vertices(mean_vertices: np.ndarray, landmarks68: Sequence[int] | np.ndarray) -> np.ndarray:
    """The 72 landmark vertices of ICT-FaceKit's mesh.

    Args:
        mean_vertices: (V, 3) mean head; any origin, but ICT-FaceKit's vertex order.
        landmarks68: (68,) its Multi-PIE landmark vertices.

    Returns:
        (72,) int64 vertex indices in the order of :mod:`facesnap.landmarks.layout`. Each extra eye point is
        the lid vertex (of part "face", no landmark already) nearest to the midpoint of its two neighbours.
    """
    given = np.asarray(landmarks68, dtype=np.int64)
    skin = np.asarray(mean_vertices[:FACE_VERTICES], dtype=np.float64)
    vertices = np.empty(len(FROM_68), dtype=np.int64)
    for i, (a, b) in enumerate(FROM_68):
        vertices[i] = given[a] if a == b else _nearest(skin, (skin[given[a]] + skin[given[b]]) / 2, given)
    return vertices


def basis_of(morphable: MorphableLandmarks) -> str:
    """``name@hash`` of what shape coefficients refer to: the basis, not the network that finds them, so that a better
    E_3d can read identities of an older one.
    """
    return f"morphable@{arrays_12([morphable.mean, morphable.identity])}"


def _nearest(points: np.ndarray, target: np.ndarray, excluded: np.ndarray) -> int:
    distance = np.linalg.norm(points - target, axis=1)
    distance[excluded] = np.inf
    return int(distance.argmin())


@lru_cache(maxsize=8)
def _torch_arrays(model: MorphableLandmarks, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The model on a device, flattened: mean (216,), identity (K, 216), expression (53, 216)."""
    import torch

    flat = (
        model.mean.reshape(-1),
        model.identity.reshape(model.components, -1),
        model.expression.reshape(NUM_EXPRESSIONS, -1),
    )
    with torch.inference_mode(False):  # the cache outlives an inference; training must be able to use it too
        return tuple(torch.from_numpy(array).to(device, dtype, copy=True) for array in flat)


def _torch_landmarks(model: MorphableLandmarks, shape: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
    mean, identity, basis = _torch_arrays(model, shape.device, shape.dtype)
    flat = mean + shape @ identity + expression @ basis
    return flat.reshape(*flat.shape[:-1], NUM_LANDMARKS, 3)
