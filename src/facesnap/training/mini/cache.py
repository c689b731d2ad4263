"""What frozen networks make of a split is computed once and kept, as long as networks and pictures stay the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from facesnap.core.images import write_atomic
from facesnap.training.mini.data import Split


def cached(path: Path | None, stamp: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors by name, read from ``path`` if they were made under the same ``stamp``, else computed and kept there.

    ``path`` None: neither read nor kept. Raises OutputError where the file can't be written.
    """
    if path is None:
        return compute()
    if path.exists():
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("of") == stamp:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    tensors = compute()
    write_atomic(path, save(tensors, {"of": stamp}))
    return tensors


def digest(split: Split) -> str:
    """12 hex digits that stand for a split's pictures: a hash of some of them."""
    return hashlib.sha256(split.world.images[:: max(1, len(split) // 64)].tobytes()).hexdigest()[:12]
