"""The judges: a face recogniser and a CLIP that measure, and that nothing was conditioned or trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPModel

from facesnap.core.errors import AdapterError, UsageError
from facesnap.core.weights import mini_folder, read_json, sha256_12
from facesnap.faces.align import align
from facesnap.faces.encode import FaceEncoder, FaceRecogniser

#: Tensors smaller than this may be equal by chance of design (zeros, ones, scales) and prove nothing.
TELLING_SIZE = 4096


class FaceJudge:
    """A face recogniser of its own weights: pictures and their five points in, unit embeddings out."""

    def __init__(self, encoder: FaceRecogniser, folder: Path) -> None:
        self.encoder, self.folder = encoder, folder

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None, device: str = "cpu") -> FaceJudge:
        """Load the judge (default: mini's ``judge_face``); AdapterError when it isn't there."""
        folder = Path(folder) if folder else mini_folder() / "judge_face"
        return cls(FaceEncoder.from_pretrained(folder, device=device), folder)

    @property
    def signature(self) -> str:
        """``name@hash``, as the report prints it."""
        return self.encoder.identifier

    def embed(self, image: np.ndarray, points5: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB and its five points (5, 2) in pixels -> (D,) float32 unit vector."""
        return np.asarray(self.encoder.encode([align(image, points5)])[0], dtype=np.float32)


class ClipJudge:
    """A stock transformers CLIPModel folder with its tokenizer; images and prompts to unit vectors.

    Images are resized (bicubic, shorter side) and centre-cropped to the model's size and normalised by the constants
    of its ``preprocessor_config.json``, as CLIP's own processor does it (Radford et al., 2021).
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        if not (folder / "config.json").is_file():
            raise AdapterError(f"no CLIP judge at {folder}: config.json is missing")
        self.folder, self.device = folder, device
        constants = read_json(folder / "preprocessor_config.json")
        self.mean = torch.tensor(constants["image_mean"], dtype=torch.float32).view(1, 3, 1, 1)
        self.std = torch.tensor(constants["image_std"], dtype=torch.float32).view(1, 3, 1, 1)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.model = model.to(device).eval()
        self.size = int(model.config.vision_config.image_size)
        self.max_tokens = int(model.config.text_config.max_position_embeddings)

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None, device: str = "cpu") -> ClipJudge:
        """Load the judge (default: mini's ``judge_clip``); AdapterError when it isn't there."""
        return cls(Path(folder) if folder else mini_folder() / "judge_clip", device)

    @property
    def signature(self) -> str:
        """``name@hash``, as the report prints it."""
        return f"judge_clip@{sha256_12(self.folder / 'model.safetensors')}"

    def fits(self, prompt: str) -> bool:
        """Whether the judge reads the whole prompt."""
        return len(self.tokenizer(prompt, verbose=False).input_ids) <= self.max_tokens

    @torch.inference_mode()
    def image_features(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(H, W, 3) uint8 RGB pictures of any sizes -> (B, D) float32 unit vectors."""
        pixels = torch.from_numpy(np.stack([_square(image, self.size) for image in images]))
        pixels = (pixels.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std
        return _unit(self.model.get_image_features(pixel_values=pixels.to(self.device)).pooler_output)

    @torch.inference_mode()
    def text_features(self, prompts: Sequence[str]) -> np.ndarray:
        """Prompts -> (B, D) float32 unit vectors.

        Raises:
            UsageError: a prompt longer than the judge reads; a cut one would not measure what was asked.
        """
        for prompt in prompts:
            if not self.fits(prompt):
                raise UsageError(
                    f"the prompt has more than the {self.max_tokens} tokens that the judge reads: {prompt}"
                )
        tokens = self.tokenizer(list(prompts), padding=True, return_tensors="pt")
        return _unit(self.model.get_text_features(**tokens.to(self.device)).pooler_output)


def check_independent(signature: str, folder: Path, encoders: Mapping[str, str], folders: Iterable[Path]) -> None:
    """Refuse a judge that is one of the conditioning networks: it would flatter what it conditioned.

    Args:
        signature: the judge's ``name@hash``.
        folder: the judge's weights.
        encoders: what the adapter records it was made with (part -> ``name@hash``).
        folders: the conditioning networks' folders, where at hand; then no large tensor may be shared either.

    Raises:
        UsageError: it is one of them; both are named.
    """
    own = signature.rpartition("@")[2]
    for part, encoder in encoders.items():
        if encoder.rpartition("@")[2] == own:
            raise UsageError(f"{signature} can't judge: it is the adapter's own {part} encoder ({encoder})")
    fingerprints = tensor_fingerprints(folder)
    for other in folders:
        if fingerprints & tensor_fingerprints(other):
            raise UsageError(f"{signature} can't judge: it shares weights with {other}, which conditions the model")


def tensor_fingerprints(folder: Path) -> frozenset[str]:
    """Hashes of all large, non-constant tensors (in half precision, so that storage type doesn't hide a copy)."""
    found = set()
    for file in sorted(folder.rglob("*.safetensors")):
        for tensor in load_file(file).values():
            if tensor.numel() >= TELLING_SIZE and tensor.is_floating_point() and tensor.float().std() > 0:
                found.add(hashlib.sha256(tensor.half().contiguous().numpy().tobytes()).hexdigest())
    return frozenset(found)


def _square(image: np.ndarray, size: int) -> np.ndarray:
    """Shorter side to ``size`` (bicubic), then the middle: (size, size, 3) uint8."""
    picture = Image.fromarray(image)
    scale = size / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def _unit(features: torch.Tensor) -> np.ndarray:
    return np.asarray(torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy())
