"""FaceSnap: one photo of a person and a prompt in, portraits of that person out.

Names are imported when they are first used, so that ``import facesnap`` stays quick and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facesnap.core.errors import FaceSnapError
    from facesnap.core.identity import Identity
    from facesnap.core.pose import Pose
    from facesnap.landmarks.predict import LandmarkPredictor
    from facesnap.models.ffrnet import FFRNet
    from facesnap.models.mixer import FacialAttributeMixer
    from facesnap.models.savings import Savings
    from facesnap.pipelines.call.subjects import Subject
    from facesnap.pipelines.facade import FaceSnap
    from facesnap.pipelines.passes.many import Portrait
    from facesnap.pipelines.passes.small_faces import SmallFaces

__version__ = "0.1.0"

__all__ = [
    "FFRNet",
    "FaceSnap",
    "FaceSnapError",
    "FacialAttributeMixer",
    "Identity",
    "LandmarkPredictor",
    "Portrait",
    "Pose",
    "Savings",
    "SmallFaces",
    "Subject",
    "__version__",
]

_HOMES = {
    "FFRNet": "facesnap.models.ffrnet",
    "FaceSnap": "facesnap.pipelines.facade",
    "FaceSnapError": "facesnap.core.errors",
    "FacialAttributeMixer": "facesnap.models.mixer",
    "Identity": "facesnap.core.identity",
    "LandmarkPredictor": "facesnap.landmarks.predict",
    "Portrait": "facesnap.pipelines.passes.many",
    "Pose": "facesnap.core.pose",
    "Savings": "facesnap.models.savings",
    "SmallFaces": "facesnap.pipelines.passes.small_faces",
    "Subject": "facesnap.pipelines.call.subjects",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
