"""What every base's binding shares: FaceSnap around a stock ControlNet pipeline, whose loop stays as it is."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from facesnap.core.errors import AdapterError
from facesnap.models.ffrnet import FFRNet

if TYPE_CHECKING:
    from facesnap.models.mixer import FacialAttributeMixer


class FaceBinding:
    """Put before a stock ControlNet pipeline whose ``controlnet`` is an FFRNet, alone or among others."""

    controlnet: Any
    mixer: FacialAttributeMixer

    @classmethod
    def stock_options(cls) -> set[str]:
        """Names of what the stock pipeline's call takes."""
        stock = next(base for base in cls.__mro__ if not issubclass(base, FaceBinding))
        return set(inspect.signature(stock.__call__).parameters) - {"self", "kwargs"}

    @property
    def ffrnet(self) -> FFRNet:
        """The pipeline's FFRNet."""
        nets = [self.controlnet, *getattr(self.controlnet, "nets", ())]
        for net in nets:
            if isinstance(net, FFRNet):
                return net
        raise AdapterError("this pipeline has no FFRNet: load it with an adapter")

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        face_tokens: Tensor,
        null_tokens: Tensor | None = None,
        num_images_per_prompt: int = 1,
        **options: Any,
    ) -> Any:
        """The stock pipeline's call, in one pass, with a face.

        Args:
            prompt: as in the stock pipeline; ``image`` (among the options) is the landmark map.
            face_tokens: ``f_mix`` (1 or prompts, N, W) of the mixer.
            null_tokens: (1, N, W) for the unguided half, see :meth:`FFRNet.attend_to`.
            num_images_per_prompt: as in the stock pipeline.
            options: everything else that the stock pipeline takes, by name.
        """
        tokens = face_tokens.expand(_prompts(prompt, options.get("prompt_embeds")), -1, -1)
        with self.ffrnet.attend_to(tokens, null_tokens, num_images_per_prompt):
            call: Any = super().__call__  # type: ignore[misc]
            return call(prompt=prompt, num_images_per_prompt=num_images_per_prompt, **options)


def _prompts(prompt: str | Sequence[str] | None, embeddings: Tensor | None) -> int:
    if prompt is None:
        return 1 if embeddings is None else len(embeddings)
    return 1 if isinstance(prompt, str) else len(prompt)
