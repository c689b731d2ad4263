"""What a photo is said to show: its sidecar's words, a captioner's, or a sentence that is true of any photo of a face.

Nothing is guessed: without words or a captioner, no caption speaks of hair, age, clothes or anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from facesnap.core.errors import AdapterError, one_line
from facesnap.core.quiet import quiet
from facesnap.core.weights import sha256_12

#: True of every photo that is kept.
TEMPLATES: Final = (
    "a photo of a person",
    "a photograph of a person",
    "a portrait of a person",
    "a portrait photo of a person",
    "a picture of a person's face",
    "a person's face, photographed",
)
#: Most tokens that a captioner writes.
CAPTION_TOKENS: Final = 40


def template_for(sha256: str) -> str:
    """One of :data:`TEMPLATES`, always the same for the same photo."""
    return TEMPLATES[int(sha256[-8:], 16) % len(TEMPLATES)]


class Captioner:
    """An image-to-text model of transformers, such as BLIP; only from files that are already here.

    Attributes:
        identifier: of the model.
    """

    def __init__(self, model: Any, processor: Any, identifier: str, device: str) -> None:
        self._model, self._processor, self._device = model.eval().to(device), processor, device
        self.identifier = identifier

    @classmethod
    def from_pretrained(cls, name: str, device: str = "cpu") -> Captioner:
        """Load a folder, or a hub id whose files are in the cache.

        Raises:
            AdapterError: it isn't here, or is no image-to-text model.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            with quiet("transformers"):
                model = AutoModelForImageTextToText.from_pretrained(name, local_files_only=True, use_safetensors=True)
                processor = cast(Any, AutoProcessor).from_pretrained(name, local_files_only=True)
        except Exception as error:  # transformers raises whatever its loaders stumble on
            reason = one_line(Exception(str(error).strip().split("\n")[0]))
            advice = "give the folder of an image-to-text model such as BLIP, or fetch it into the hub's cache first"
            raise AdapterError(f"the captioner {name} can't be loaded ({reason}): {advice}") from error
        known = Path(name).is_dir()
        return cls(model, processor, f"{Path(name).name}@{sha256_12(name)}" if known else name, device)

    def caption(self, image: np.ndarray) -> str:
        """Words for a picture (H, W, 3) uint8: its likeliest, so always the same; may be empty."""
        import torch

        inputs = self._processor(images=[image], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=CAPTION_TOKENS, do_sample=False)
        words: str = self._processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return " ".join(words.split())


def captions_for(said: Sequence[str], sha256: str, image: np.ndarray, captioner: Captioner | None) -> tuple[str, ...]:
    """A photo's captions: what was said, else what the captioner sees, else a template."""
    if said:
        return tuple(said)
    seen = captioner.caption(image) if captioner else ""
    return (seen or template_for(sha256),)
