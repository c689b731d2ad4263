"""A look at unseen people while training goes on: the loss on a fixed batch, and portraits, judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesnap.faces.align import arcface_matrix
from facesnap.training.adapter.base import Base
from facesnap.training.adapter.config import TrainConfig
from facesnap.training.adapter.drawing import Drawer, Plan, on_device, plan, stacked
from facesnap.training.adapter.judges import ClipJudge, FaceJudge, as_tensor
from facesnap.training.adapter.lanes import Lanes, Target
from facesnap.training.adapter.objective import ADDED, FaceNets, Frozen, residuals, total_loss
from facesnap.training.adapter.precompute import Half

#: Share of guidance that acts on the face, as the product has it.
IDENTITY_GUIDANCE = 0.5
#: Rows of the fixed batch.
FIXED = 32
#: Rows that are sampled at once.
TOGETHER = 4


@dataclass(frozen=True)
class Validation:
    """The fixed set, and who judges.

    ``targets``: a photo per person, with others of the same person.
    """

    config: TrainConfig
    base: Base
    frozen: Frozen
    drawer: Drawer
    targets: list[Target]
    face: FaceJudge
    clip: ClipJudge
    half: Half

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        base: Base,
        frozen: Frozen,
        drawer: Drawer,
        lanes: Lanes,
        judges: tuple[FaceJudge, ClipJudge],
        half: Half,
    ) -> Validation | None:
        """None where the data has nobody in ``val``; ``lanes``: of that split, with pictures."""
        chosen: dict[str, Target] = {}
        for target in (
            islice(lanes.stream(0, 0), min(lanes.photos, 20 * config.watch.validate_people)) if lanes.photos else ()
        ):
            person = target.photo.example.person
            if person not in chosen and len(chosen) < config.watch.validate_people:
                chosen[person] = target
        if not chosen:
            return None
        whole = {f"{name}_dropout": 0.0 for name in ("text", "token", "landmark", "all")}
        settings = config.objective.model_copy(update={**whole, "timestep_power": 0.0, "id_batch": 0})
        plain = replace(drawer, settings=settings)
        return cls(config, base, frozen, plain, list(chosen.values()), *judges, half)

    @property
    def judges(self) -> str:
        """Their names."""
        return f"{self.face.name}, {self.clip.name}"

    @torch.no_grad()
    def run(self, nets: FaceNets) -> tuple[dict[str, float], np.ndarray]:
        """Figures, and a grid of pictures: a row per person of reference, map, portrait, the target itself.

        ``facesim_reference``, ``facesim_other``: the judge's cosine of portraits with the reference and with the
        target, another photo of the person (no detector looks at the portraits: they are aligned by the landmarks
        that they were asked for); ``facesim_real``: of these two photos, what could be reached. ``clip_t``: of
        portraits with their prompts; ``clip_t_real``: of the photos.
        """
        nets.eval()
        figures = {f"{name}_loss": value for name, value in self._losses(nets).items()}
        portraits, maps = self._portraits(nets)
        references = [target.others[0].example for target in self.targets]
        targets = [target.photo.example for target in self.targets]
        real = as_tensor(np.stack([example.image for example in targets]))
        matrices = torch.from_numpy(np.stack([arcface_matrix(e.points5) for e in targets])).float()
        theirs = torch.from_numpy(np.stack([arcface_matrix(e.points5) for e in references])).float()
        shown = as_tensor(np.stack([example.image for example in references]))
        drawn = self.face.vectors(portraits, matrices)
        reference, other = self.face.vectors(shown, theirs), self.face.vectors(real, matrices)
        prompts = [example.captions[0] for example in targets]
        figures |= {
            "facesim_reference": float((drawn * reference).sum(1).mean()),
            "facesim_other": float((drawn * other).sum(1).mean()),
            "facesim_real": float((reference * other).sum(1).mean()),
            "clip_t": self.clip.agreement(portraits, prompts),
            "clip_t_real": self.clip.agreement(real, prompts),
        }
        nets.train()
        return figures, _grid([shown, maps, portraits, real])

    def _losses(self, nets: FaceNets) -> dict[str, float]:
        """Of a batch that is the same each time: everybody, at all timesteps in turn."""
        schedule = self.base.schedule
        decided = plan(self.drawer.settings, self.config.seed, 0, FIXED, len(schedule))
        totals: dict[str, list[float]] = {}
        nobody = torch.zeros(0, dtype=torch.long)
        for first in range(0, FIXED, TOGETHER):
            rows = [self._row(decided, row) for row in range(first, min(FIXED, first + TOGETHER))]
            batch = on_device(stacked(rows), self.frozen.device)
            with self.half():
                losses = total_loss(nets, self.frozen, schedule, self.drawer.settings, batch, nobody)
            for name, value in losses.items():
                totals.setdefault(name, []).append(float(value))
        return {name: sum(totals[name]) / len(totals[name]) for name in ("diff", "noisiest_quarter") if name in totals}

    def _row(self, decided: Plan, row: int) -> dict[str, Any]:
        target = self.targets[row % len(self.targets)]
        return self.drawer.row(replace(target, others=target.others[:1]), decided, row, [self.config.seed, 0])

    def _portraits(self, nets: FaceNets) -> tuple[Tensor, Tensor]:
        """Portraits and maps (people, 3, S, S) in [0, 1]; each time from the same noise."""
        decided = plan(self.drawer.settings, self.config.seed, 1, len(self.targets), len(self.base.schedule))
        pictures, maps = [], []
        for first in range(0, len(self.targets), TOGETHER):
            rows = range(first, min(len(self.targets), first + TOGETHER))
            batch = on_device(stacked([self._row(decided, row) for row in rows]), self.frozen.device)
            with self.half():
                clean = self.sampled(nets, batch)
                pictures.append(self.frozen.decoded(clean).float().cpu())
            maps.append(batch["maps"].cpu())
        return torch.cat(pictures), torch.cat(maps)

    def sampled(self, nets: FaceNets, batch: dict[str, Tensor]) -> Tensor:
        """Latents of a portrait per row, by the base's own scheduler, guided as the product guides."""
        scheduler, scale = self.base.load_scheduler(), self.config.watch.guidance_scale
        scheduler.set_timesteps(self.config.watch.num_inference_steps, device=self.frozen.device)
        guided, count = scale > 1, len(batch["noise"])
        tokens = nets.mixer(batch["f_id"], batch["f_clip"])
        null = nets.mixer.null_tokens(count)
        null = null + (1 - IDENTITY_GUIDANCE) * (tokens - null)
        states, maps = batch["encoder_hidden_states"], batch["maps"]
        added: dict[str, Tensor] = {name: batch[name] for name in ADDED if name in batch}
        if guided:
            empty = {name: state.to(states) for name, state in self.drawer.empty.items()}
            tokens, maps = torch.cat([null, tokens]), maps.repeat(2, 1, 1, 1)
            states = torch.cat([empty["text"].expand_as(states), states])
            if added:
                pooled = added["text_embeds"]
                added = {
                    "text_embeds": torch.cat([empty["pooled"].expand_as(pooled), pooled]),
                    "time_ids": added["time_ids"].repeat(2, 1),
                }
        latents: Tensor = batch["noise"] * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            noisy = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, timestep)
            at = timestep.expand(len(noisy)).to(noisy.device)
            with nets.ffrnet.attend_to(tokens):
                given = residuals(nets.ffrnet, noisy, at, maps, added)
            predicted = self.frozen.predict(noisy, at, states, given, added).float()
            if guided:
                without, with_it = predicted.chunk(2)
                predicted = without + scale * (with_it - without)
            latents = scheduler.step(predicted, timestep, latents).prev_sample
        return latents


def _grid(columns: list[Tensor], side: int = 256) -> np.ndarray:
    """Columns of (people, 3, S, S) in [0, 1] as one picture (H, W, 3) uint8, each at most ``side`` wide."""
    side = min(side, columns[0].shape[-1])
    small = [F.interpolate(column.float(), (side, side), mode="area") for column in columns]
    rows = torch.cat(small, dim=3).permute(0, 2, 3, 1).flatten(0, 1)
    return np.asarray((rows.clamp(0, 1) * 255).round().byte().numpy())
