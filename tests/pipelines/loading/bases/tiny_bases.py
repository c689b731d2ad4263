"""Tiny bases of every kind, as folder and as single file, an adapter for each; and a machine without a network."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import constants
from safetensors.torch import save_file
from tests.models import tiny
from tests.pipelines.loading.bases.original_layout import original

from facesnap.models.checkpoint import AdapterConfig, save_adapter
from facesnap.models.ffrnet import FFRNet
from facesnap.models.mixer import FacialAttributeMixer
from facesnap.pipelines.loading.bases import hub

KINDS = ("sd1", "sd2", "sdxl")


@dataclass(frozen=True)
class Base:
    """``folder``: diffusers'; ``file``: its weights in the original layout; ``config``: its small files alone."""

    folder: Path
    file: Path
    config: Path
    adapter: Path


def build(kind: str, root: Path) -> Base:
    parts = _parts(kind, root)
    if kind == "sdxl":
        made = StableDiffusionXLPipeline(**parts, force_zeros_for_empty_prompt=False, add_watermarker=False)
        made.save_pretrained(root / "folder")
    else:
        StableDiffusionPipeline(**parts).save_pretrained(root / "folder")
    (root / "file").mkdir()
    save_file(original(parts), root / "file" / "model.safetensors")
    copy_small(root / "folder", root / "config")
    save_tiny_adapter(parts["unet"], root / "adapter")
    return Base(root / "folder", root / "file" / "model.safetensors", root / "config", root / "adapter")


def _parts(kind: str, root: Path) -> dict[str, Any]:
    if kind == "sdxl":
        return tiny.sdxl_parts(root / "tokenizer-files")
    parts = tiny.parts(root / "tokenizer-files")
    if kind == "sd2":
        parts["unet"] = tiny.unet(3, use_linear_projection=True, attention_head_dim=(2, 4))
    return parts


def save_tiny_adapter(unet: Any, folder: Path) -> None:
    torch.manual_seed(0)
    net = FFRNet.from_unet(unet, token_width=24, vae_scale_factor=4, zero_init=False)
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(conv.weight, std=1.0)
    mixer = FacialAttributeMixer(8, 12, 24, id_tokens=2, tokens=3, heads=2, decoder_layers=1)
    save_adapter(folder, net, mixer, AdapterConfig.for_unet(unet.config, {}))


def copy_small(source: Path, target: Path) -> Path:
    """What ``hf download --include "*.json" --include "*.txt"`` would fetch of a folder."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", "*.bin")))


def into_cache(folder: Path, name: str, cache: Path) -> Path:
    """A folder as the hub's cache holds it; the snapshot."""
    home, commit = cache / f"models--{name.replace('/', '--')}", "0123456789abcdef0123456789abcdef01234567"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(folder, home / "snapshots" / commit))


class FakeHub:
    """A hub with one repository; files travel into a folder as into the cache's snapshot."""

    def __init__(self, name: str, source: Path, snapshot: Path) -> None:
        self.name, self.source, self.snapshot = name, source, snapshot
        self.travelled: list[str] = []

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
        monkeypatch.setattr(hub, "list_repo_files", self.list_repo_files)
        monkeypatch.setattr(hub, "snapshot_download", self.snapshot_download)
        return self

    def list_repo_files(self, name: str) -> list[str]:
        assert name == self.name
        return [path.relative_to(self.source).as_posix() for path in self.source.rglob("*") if path.is_file()]

    def snapshot_download(self, name: str, allow_patterns: list[str]) -> str:
        for file in self.list_repo_files(name):
            target = self.snapshot / file
            if any(fnmatch(file, pattern) for pattern in allow_patterns) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((self.source / file).read_bytes())
                self.travelled.append(file)
        return str(self.snapshot)


def cut_off(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """No network, the hub switched off, and a cache of one's own."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
