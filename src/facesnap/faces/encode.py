"""E_f: face recognisers, from an aligned crop to the identity vector ``f_id``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from facesnap.core.errors import AdapterError
from facesnap.core.lazy import require
from facesnap.core.weights import MODEL_NAME, load_module, read_config, sha256_12
from facesnap.faces.align import stack_crops
from facesnap.faces.batches import BATCH, encode_crops
from facesnap.faces.networks import FaceNet, PatchFaceNet, build_network

__all__ = ["FaceEncoder", "FaceNet", "FaceRecogniser", "OnnxFaceEncoder", "PatchFaceNet"]


class FaceRecogniser(Protocol):
    """What every E_f offers; ``identifier`` is ``name@hash`` and goes into identity files and adapters."""

    @property
    def identifier(self) -> str:
        """``name@`` and the first 12 hex digits of the weights' SHA-256."""

    @property
    def dim(self) -> int:
        """D, the length of the vectors."""

    def encode(self, crops: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """(B, 112, 112, 3) RGB uint8 aligned crops -> (B, D) float32 unit vectors."""


class FaceEncoder:
    """A recogniser of ours: frozen, in evaluation mode."""

    def __init__(self, network: nn.Module, identifier: str, dim: int, device: str | torch.device = "cpu") -> None:
        self.network = network.eval().requires_grad_(False).to(device)
        self.identifier = identifier
        self.dim = dim
        self.device = torch.device(device)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> FaceEncoder:
        """Load ``config.json`` (``architecture``, ``name``, ``dim`` ...) and ``model.safetensors``.

        Raises:
            AdapterError: the folder is missing, or its weights don't fit its config.
        """
        folder = Path(folder)
        config = read_config(folder)
        network = load_module(folder, build_network)
        identifier = f"{config.get('name', folder.name)}@{sha256_12(folder / MODEL_NAME)}"
        return cls(network, identifier, int(getattr(network, "config", config)["dim"]), device)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, 112, 112) RGB in [0, 1] -> (B, D) unit vectors; gradients reach ``images`` (for L_id)."""
        embedding: torch.Tensor = self.network(images)
        return embedding

    def encode(self, crops: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """(B, 112, 112, 3) RGB uint8 aligned crops -> (B, D) float32 unit vectors.

        Raises:
            InputError: crops of another shape or type.
        """
        return encode_crops(self.embed, crops, self.device, (self.dim,))


class OnnxFaceEncoder:
    """Any ArcFace-style ONNX file: (B, 3, 112, 112), ``(x - 127.5) / 127.5``, to (B, D). Needs the extra ``onnx``.

    Args:
        path: the ``.onnx`` file. Mind its licence: the usual packs are for research only.
        bgr: the network was trained on BGR pictures (OpenCV's order); part of the identifier.

    Raises:
        MissingExtraError: onnxruntime is absent.
        AdapterError: no such file, or not such a network.
    """

    def __init__(self, path: str | os.PathLike[str], bgr: bool = False) -> None:
        path = Path(path)
        if not path.is_file():
            raise AdapterError(f"no ONNX face encoder at {path}")
        runtime = require("onnxruntime", "onnx")
        try:
            self._session = runtime.InferenceSession(str(path), providers=runtime.get_available_providers())
        except Exception as error:  # onnxruntime's errors share no base class
            raise AdapterError(f"{path} is not an ONNX network that can be read: {_first_line(error)}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or list(inputs[0].shape[1:]) != [3, 112, 112]:
            shapes = ", ".join(str(each.shape) for each in inputs)
            raise AdapterError(f"{path} is not an ArcFace-style network: it takes {shapes}, not (B, 3, 112, 112)")
        self._input, self._output = inputs[0].name, outputs[0].name
        fixed = inputs[0].shape[0]
        self._batch = fixed if isinstance(fixed, int) else BATCH
        self._fixed = isinstance(fixed, int)
        self._bgr = bgr
        self.identifier = f"{path.stem}{'-bgr' if bgr else ''}@{sha256_12(path)}"
        self.dim = self._run(np.zeros((1, 112, 112, 3), dtype=np.uint8)).shape[1]

    def encode(self, crops: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """(B, 112, 112, 3) RGB uint8 aligned crops -> (B, D) float32 unit vectors.

        Raises:
            InputError: crops of another shape or type.
        """
        batch = stack_crops(crops)
        parts = [self._run(batch[i : i + self._batch]) for i in range(0, len(batch), self._batch)]
        vectors = np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))

    def _run(self, batch: np.ndarray) -> np.ndarray:
        """(n, 112, 112, 3) uint8 -> (n, D); a network of fixed batch size gets copies of the last crop as padding."""
        count = len(batch)
        if self._fixed and count < self._batch:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._batch - count, axis=0)])
        pixels = batch[..., ::-1] if self._bgr else batch
        feed = ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(0, 3, 1, 2)
        result: Any = self._session.run([self._output], {self._input: np.ascontiguousarray(feed)})[0]
        return np.asarray(result, dtype=np.float32).reshape(len(batch), -1)[:count]


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
