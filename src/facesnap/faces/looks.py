"""What hair and beard a person wears on a photograph, in a caption's words, read from E_c's tokens.

E_f and FFRNet carry the face, which stays. Hair and beard are chosen by the prompt; where it says nothing of them,
these words can be added to it (see :mod:`facesnap.pipelines.call.prompts`), so they work with any base that reads text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from facesnap.core.weights import load_module

#: A reading less certain than this is not said.
CERTAIN: Final = 0.5


@dataclass(frozen=True)
class Looks:
    """What can be said of a reference, as phrases that follow "a person with"; empty where nothing can."""

    hair: str = ""
    beard: str = ""


class LooksNet(nn.Module):
    """A layer of attention among E_c's tokens, a few learned queries that gather, and one classifier per attribute.

    E_c was trained on other questions, so its tokens first look round among each other.

    Config: ``appearance_dim``: C of E_c's tokens; ``attributes``: name -> its values; ``phrases``: name -> value ->
    how a caption says it, with ``{c}`` where hair's colour goes.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"queries": 4, "heads": 4, **config, "architecture": "LooksNet"}
        width, queries = int(self.config["appearance_dim"]), int(self.config["queries"])
        self.norm = nn.LayerNorm(width)
        self.mixing = nn.TransformerEncoderLayer(
            width, self.config["heads"], 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.queries = nn.Parameter(torch.randn(queries, width) / width**0.5)
        self.attention = nn.MultiheadAttention(width, self.config["heads"], batch_first=True)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(queries * width, width), nn.GELU(), nn.Dropout(0.1))
        values = self.config["attributes"]
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(known)) for name, known in values.items()})

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """(B, T, C) hidden states of E_c -> attribute -> logits (B, values)."""
        memory = self.mixing(self.norm(tokens))
        gathered, _ = self.attention(self.queries.expand(len(tokens), -1, -1), memory, memory, need_weights=False)
        features = self.hidden(gathered)
        return {name: head(features) for name, head in self.heads.items()}


class LooksReader:
    """The trained network with its words."""

    def __init__(self, network: LooksNet) -> None:
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def from_pretrained(cls, folder: Path) -> LooksReader:
        """Load the reader; AdapterError when it isn't there."""
        return cls(load_module(folder, LooksNet))

    @torch.no_grad()
    def read(self, appearance: np.ndarray) -> Looks:
        """Phrases for a person's ``appearance`` (T, C), an identity's tokens of E_c."""
        logits = self.network(torch.from_numpy(appearance)[None].float())
        found = {name: self._value(name, values[0]) for name, values in logits.items()}
        known = self.network.config["phrases"]
        hair = known["hair_style"].get(found["hair_style"], "")
        colour = known["hair_colour"].get(found["hair_colour"], "")
        return Looks(" ".join(hair.format(c=colour).split()), known["beard"].get(found["beard"], ""))

    def _value(self, name: str, logits: Tensor) -> str:
        """The likeliest value; empty if it is not :data:`CERTAIN`."""
        share, place = logits.softmax(0).max(0)
        return str(self.network.config["attributes"][name][int(place)]) if float(share) > CERTAIN else ""
