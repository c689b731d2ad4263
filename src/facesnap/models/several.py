"""FFRNet beside other ControlNets, as one network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diffusers import ControlNetModel
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

# Diffusers' folder loader looks the base class up in the module that model_index.json names.
from diffusers.models.modeling_utils import ModelMixin as ModelMixin

from facesnap.core.weights import read_config
from facesnap.models.ffrnet import FFRNet


class FaceControlNets(MultiControlNetModel):  # type: ignore[misc]
    """Several ControlNets, one of them FFRNet: diffusers' own class would load that one as a stock ControlNet."""

    @classmethod
    def from_pretrained(cls, pretrained_model_path: str | os.PathLike[str], **options: Any) -> FaceControlNets:
        """Load what :meth:`save_pretrained` wrote: ``folder``, ``folder_1`` and so on, each of its own class."""
        nets, folder = [], Path(pretrained_model_path)
        while folder.is_dir():
            kind = FFRNet if read_config(folder).get("_class_name") == FFRNet.__name__ else ControlNetModel
            nets.append(kind.from_pretrained(folder, **options))
            folder = Path(f"{pretrained_model_path}_{len(nets)}")
        if not nets:
            raise OSError(f"no ControlNets at {pretrained_model_path}")
        return cls(nets)
