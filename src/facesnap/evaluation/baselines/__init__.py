"""The rivals, one file each, and FaceSnap's own ablations: who takes part in the arena."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from facesnap.evaluation.baselines.faceid import FaceID, FaceIDPlus
from facesnap.evaluation.baselines.instantid import InstantID
from facesnap.evaluation.baselines.ip_adapter import IPAdapter
from facesnap.evaluation.baselines.ours import (
    DriversLandmarks,
    FivePoints,
    Ours,
    WithoutClip,
    WithoutFam,
    WithoutId,
    WithoutIdLoss,
)
from facesnap.evaluation.baselines.photomaker import PhotoMaker
from facesnap.evaluation.baselines.pulid import PuLID
from facesnap.evaluation.baselines.rival import Rival

RIVALS: Final[tuple[type[Rival], ...]] = (IPAdapter, FaceID, FaceIDPlus, InstantID, PhotoMaker, PuLID)
ABLATIONS: Final[tuple[type[Rival], ...]] = (
    WithoutFam,
    WithoutClip,
    WithoutId,
    WithoutIdLoss,
    DriversLandmarks,
    FivePoints,
)
ALL: Final[tuple[type[Rival], ...]] = (Ours, *RIVALS, *ABLATIONS)
#: By name, in the order of the tables.
CONTESTANTS: Final[Mapping[str, type[Rival]]] = {each.name: each for each in ALL}
