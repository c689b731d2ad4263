"""PuLID (arXiv 2404.16022): decoupled attention trained so that the face leaves the rest of the picture alone.

Beside the usual loss there is a short branch: from pure noise and a prompt, a picture in a few steps, once without and
once with the face. The base's cross-attention queries are kept alike (Q without, Q' with the face; K of the text), and
the finished picture is to show the person::

    L_sem = |softmax(K Q'^T / sqrt(d)) Q' - softmax(K Q^T / sqrt(d)) Q|^2,  L_layout = |Q' - Q|^2,
    L_id  = 1 - cos(E_f(picture), f_id)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from facesnap.evaluation.baselines.decoupled import DEVIATIONS, crossing_layers, queries_of
from facesnap.evaluation.baselines.faceid import FaceIDPlus
from facesnap.evaluation.baselines.rival import Parts, Texts, Training
from facesnap.training.losses import NoiseSchedule, identity_loss

#: Steps of the short branch, as in the paper; gradients flow through all of them.
STEPS: Final = 4
#: Rows of a batch that go through it.
ROWS: Final = 4


class PuLID(FaceIDPlus):
    """Tokens of f_id and f_clip by a perceiver whose queries come of f_id; see this module for its losses."""

    name = "pulid"
    paper = "PuLID (arXiv 2404.16022)"
    deviations = (
        "the short branch runs the base itself in 4 steps: there is no distilled one, so its pictures are rough",
        "with and without the face the base sees the same latents at a step, those of the path with the face",
        "one of E_c's layers, not five; eight tokens, two perceiver blocks",
        "all losses from the start, not in phases; L_id weighs as FaceSnap's",
        *DEVIATIONS,
    )
    count = 8
    shortcut = False
    weights: ClassVar[Mapping[str, float]] = {"semantic": 0.6, "layout": 0.1, "id": 0.3}

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.__dict__["unet"] = parts.unet  # beside this module, not in it: its weights aren't ours

    def own_losses(self, training: Training) -> dict[str, Tensor]:
        """Alignment and identity of the short branch."""
        rows = (~training.seen.nobody & (training.texts.words >= 0)).nonzero()[:ROWS, 0]
        if not len(rows):
            return {}
        texts = Texts(training.texts.states[rows], training.texts.words[rows])
        tokens, noise = training.tokens[rows], training.batch["noise"][rows]
        clean, aligned = self.branch(training.schedule, noise, texts, tokens)
        pictures = training.frozen.decoded(clean)
        found = training.frozen.embed(pictures, training.aligned(pictures, rows))
        likeness = identity_loss(found, training.batch["truth"][rows])
        losses = {**aligned, "id": likeness}
        return {name: self.weights[name] * loss for name, loss in losses.items()}

    def branch(
        self, schedule: NoiseSchedule, noise: Tensor, texts: Texts, tokens: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents (B, C, h, w) after :data:`STEPS` deterministic steps with the face, and how far it moved the queries.

        Both paths see the same latents at a step, so that the face alone differs.
        """
        layers, total, noisy = crossing_layers(self.unet), len(schedule), noise
        times = [total - 1 - round(step * total / STEPS) for step in range(STEPS)]
        aligned: list[dict[str, Tensor]] = []
        for time, following in zip(times, [*times[1:], None], strict=True):
            timesteps = torch.full((len(noise),), time, device=noise.device)
            ask = (self.unet, noisy, timesteps, texts, tokens)
            velocity, queries = queries_of(layers, partial(self.attention, *ask))
            with torch.no_grad():
                _, before = queries_of(layers, partial(self.attention, *ask, strength=0.0))
            aligned.append(alignment(layers, queries, before, texts.states))
            clean = schedule.clean_from(noisy, velocity.float(), timesteps)
            if following is not None:
                noisy = _deterministic(schedule, noisy, clean, timesteps, following)
        return clean, {name: torch.stack([each[name] for each in aligned]).mean() for name in aligned[0]}


def alignment(
    layers: Sequence[Any], after: Sequence[Tensor], before: Sequence[Tensor], states: Tensor
) -> dict[str, Tensor]:
    """``semantic`` and ``layout``: means over layers; queries (B, rows, channels) with and without the face."""
    semantic, layout = [], []
    for layer, with_face, without in zip(layers, after, before, strict=True):
        keys = layer.to_k(states)
        semantic.append((_answer(layer, keys, with_face) - _answer(layer, keys, without)).pow(2).mean())
        layout.append((with_face - without).pow(2).mean())
    return {"semantic": torch.stack(semantic).mean(), "layout": torch.stack(layout).mean()}


def _answer(layer: Any, keys: Tensor, queries: Tensor) -> Tensor:
    """What each word gathers of the picture, per head: softmax(K Q^T / sqrt(d)) Q."""
    k, q = layer.head_to_batch_dim(keys), layer.head_to_batch_dim(queries)
    return torch.bmm(layer.get_attention_scores(k, q), q)


def _deterministic(schedule: NoiseSchedule, noisy: Tensor, clean: Tensor, timesteps: Tensor, following: int) -> Tensor:
    """DDIM's step (Song et al. 2021, eq. 12 with sigma 0) from ``timesteps`` (B,) to ``following``."""
    alpha, sigma = schedule.at(timesteps, noisy.ndim)
    noise = (noisy - alpha * clean) / sigma
    return schedule.add_noise(clean, noise, torch.full_like(timesteps, following))
