"""A trained contestant as a method of the evaluation: a reference's features, a prompt and a map in, a portrait out.

All contestants are sampled by one loop, mini's own scheduler under classifier-free guidance, from the noise that the
base's stock pipeline would draw for the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from facesnap.core.errors import AdapterError, EncoderMismatchError, NoFaceError
from facesnap.core.weights import load_module, read_config
from facesnap.evaluation.arena.training import parts_of, word_of
from facesnap.evaluation.baselines import CONTESTANTS
from facesnap.evaluation.baselines.rival import Parts, References, Rival, Texts
from facesnap.evaluation.methods import Task
from facesnap.faces.appearance import AppearanceEncoder
from facesnap.training.config import AdapterConfig
from facesnap.training.mini.base import freeze, sample
from facesnap.training.mini.data import to_tensor


@dataclass
class Contestant:
    """See this module; a :class:`facesnap.evaluation.methods.Method`.

    Attributes:
        name: of its column.
        rival: trained.
        unet: the one that it was built for.
        pipeline: the base's stock pipeline, whose text encoder, tokenizer and VAE serve all contestants.
        settings: of its training.
        step: how far that went.
        strength: how much the rival acts.
        seed_offset: added to the task's seed.
        identity_guidance: share of the guidance that acts on the face; None: the rival's own.
    """

    name: str
    rival: Rival
    unet: Any
    pipeline: Any
    settings: AdapterConfig
    step: int
    strength: float = 1.0
    seed_offset: int = 0
    identity_guidance: float | None = None

    @classmethod
    def load(cls, folder: Path, mini: Path, pipeline: Any, appearance: AppearanceEncoder, name: str = "") -> Contestant:
        """Load one from the folder that its training wrote.

        Raises:
            AdapterError: nothing (whole) lies there. EncoderMismatchError: trained with other parts than mini's.
        """
        config = read_config(folder)
        if config.get("name") not in CONTESTANTS:
            raise AdapterError(f"{folder} holds no contestant of the arena")
        for part, there in parts_of(mini).items():
            if config["parts"].get(part) != there:
                raise EncoderMismatchError(f"{folder} was trained with another {part} than {mini / part}")
        device = pipeline.device
        unet = UNet2DConditionModel.from_pretrained(mini / "base" / "unet", torch_dtype=torch.float32)
        freeze(unet, device)
        settings = AdapterConfig.model_validate(config["settings"])
        parts = Parts(unet, appearance, config["face_dim"], settings, config["factor"])
        rival = load_module(folder, lambda _: CONTESTANTS[config["name"]](parts))
        rival.to(device).requires_grad_(False)  # and with it all that it put into the UNet
        return cls(name or config["name"], rival, unet, pipeline, settings, config["step"])

    def at(
        self, name: str, strength: float = 1.0, seed_offset: int = 0, identity_guidance: float | None = None
    ) -> Contestant:
        """The same contestant, acting so much, from other noise, or guided otherwise."""
        return replace(self, name=name, strength=strength, seed_offset=seed_offset, identity_guidance=identity_guidance)

    @torch.no_grad()
    def portray(self, task: Task) -> np.ndarray:
        """(size, size, 3) uint8. NoFaceError where nobody could be enrolled."""
        if task.identity is None:
            raise NoFaceError(task.problem)
        me = task.identity
        seen = References(
            *(self._rows(me.face_embedding), self._rows(me.appearance)),
            torch.zeros(1, dtype=torch.bool, device=self.pipeline.device),
        )
        self.rival.strength = self.strength
        nobody, me_tokens = self.rival.tokens(seen.no_one()), self.rival.tokens(seen)
        share = self.rival.identity_guidance if self.identity_guidance is None else self.identity_guidance
        tokens = torch.cat([nobody if share == 1.0 else torch.lerp(me_tokens, nobody, share), me_tokens])
        texts, maps = self._texts(task.trial.prompt), self._map(task)

        def guided(noisy: Tensor, timesteps: Tensor) -> Tensor:
            if task.guidance_scale <= 1.0:  # as the stock pipeline has it
                alone = Texts(texts.states[1:], texts.words[1:])
                return self.rival.predict(self.unet, noisy, timesteps, alone, tokens[1:], maps[1:])
            both = self.rival.predict(self.unet, noisy.repeat(2, 1, 1, 1), timesteps.repeat(2), texts, tokens, maps)
            unguided, wanted = both.chunk(2)
            return unguided + task.guidance_scale * (wanted - unguided)

        clean = sample(guided, self._noise(task), task.steps)
        scaling = self.pipeline.vae.config.scaling_factor
        picture = self.pipeline.vae.decode(clean / scaling).sample
        made: np.ndarray = self.pipeline.image_processor.postprocess(picture, output_type="np")[0]
        return (made * 255).round().astype(np.uint8)

    def _rows(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)[None].to(self.pipeline.device)

    def _texts(self, prompt: str) -> Texts:
        """Of the empty prompt, and of this one."""
        wanted, empty = self.pipeline.encode_prompt(prompt, self.pipeline.device, 1, True)
        words = torch.tensor([-1, word_of(prompt, self.pipeline.tokenizer)], device=self.pipeline.device)
        return Texts(torch.cat([empty, wanted]), words)

    def _map(self, task: Task) -> Tensor:
        points = task.requested if self.rival.predicts_shape else task.driven
        drawn = self.rival.draw_map(points, (task.size, task.size))
        return to_tensor([drawn, drawn]).to(self.pipeline.device)

    def _noise(self, task: Task) -> Tensor:
        channels, side = self.unet.config["in_channels"], task.size // self.pipeline.vae_scale_factor
        generator = torch.Generator("cpu").manual_seed(task.trial.seed + self.seed_offset)
        noise: Tensor = randn_tensor((1, channels, side, side), generator, self.pipeline.device, torch.float32)
        return noise
