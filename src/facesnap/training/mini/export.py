"""How mini's parts are written: half precision, in the folders that stock diffusers and transformers read."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from diffusers import DPMSolverMultistepScheduler

from facesnap.core.weights import save_whole, write_json
from facesnap.models.autoencoder import PatchAutoencoder

#: mini's scheduler: v-prediction, zero terminal SNR, DPM-Solver++ in 20 steps from the very last timestep.
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


def write_base(out: Path) -> None:
    """``model_index.json`` and the scheduler, so that stock diffusers loads ``base/`` as a StableDiffusionPipeline."""
    save_whole(out / "base" / "scheduler", DPMSolverMultistepScheduler(**SCHEDULER).save_pretrained)
    parts = {
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": [PatchAutoencoder.__module__, PatchAutoencoder.__name__],
        **{absent: [None, None] for absent in ("feature_extractor", "image_encoder", "safety_checker")},
    }
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.0", "requires_safety_checker": False}
    write_json(out / "base" / "model_index.json", {**index, **parts})


def save_half(model: Any, folder: Path) -> None:
    """``save_pretrained`` in half precision, leaving the model as it was. Raises OutputError."""
    save_whole(folder, copy.deepcopy(model).half().save_pretrained)
