"""What a call asks for, put in order and checked before anything is sampled."""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Final

import numpy as np
import torch

from facesnap.core.errors import UsageError
from facesnap.models.controls import FaceControls, finite, finite_all
from facesnap.models.savings import Savings, savings_of
from facesnap.pipelines.adapters import FaceAdapter
from facesnap.pipelines.bindings.binding import stock_options
from facesnap.pipelines.bindings.roads import PLAIN_ROADS, ROADS

#: Stock options that the facade gives by itself, or under another name.
_OWN: Final = frozenset({"prompt", "image", "control_image", "mask_image", "strength", "return_dict"})

_CONTROLS: Final = frozenset(field.name for field in dataclasses.fields(FaceControls))

#: What pictures may come as.
_OUTPUTS: Final = ("pil", "np", "pt", "latent")

#: Diffusers' name of ``landmark_scale``.
_LANDMARK_SCALE: Final = "controlnet_conditioning_scale"

#: Stock options that can't work here, and why.
_REFUSED: Final = {
    "prompt_2": "both text encoders read the same prompt: leave it out, or give prompt_embeds",
    "negative_prompt_2": "both text encoders read the same negative prompt: leave it out, or give prompt_embeds",
    "padding_mask_crop": "the picture is cut before: leave it out (small_faces makes small faces anew, larger)",
}

#: Why an adapter doesn't take an option that it gives by itself.
_SET_BY_ADAPTER: Final = "this adapter puts the face there: leave it out"


@dataclasses.dataclass(frozen=True)
class Noise:
    """Where the noise of each picture comes from.

    Attributes:
        seeds: one per picture, those of one prompt side by side; None each where a generator is given.
        generator: the user's own, one for all or one per picture.
    """

    seeds: Sequence[int | None]
    generator: torch.Generator | Sequence[torch.Generator] | None = None

    def only(self, index: int) -> Noise:
        """That of one picture."""
        one = self.generator
        return Noise([self.seeds[index]], [one[index]] if isinstance(one, Sequence) else one)

    def generators(self) -> Any:
        """As diffusers' pipelines take them."""
        if self.generator is not None:
            return self.generator
        # On the CPU, so that a seed's noise doesn't depend on the device that samples.
        return [torch.Generator("cpu").manual_seed(int(seed or 0)) for seed in self.seeds]


def take_controls(options: Mapping[str, Any]) -> tuple[FaceControls, dict[str, Any]]:
    """The knobs of :class:`FaceControls` among a call's options (``landmark_scale`` under diffusers' name, too), and
    the rest.
    """
    options = dict(options)
    if _LANDMARK_SCALE in options:
        if "landmark_scale" in options:
            raise UsageError(f"{_LANDMARK_SCALE} is another name of landmark_scale: give one of them")
        given = options.pop(_LANDMARK_SCALE)
        if isinstance(given, list | tuple):
            raise UsageError(f"{_LANDMARK_SCALE} is FFRNet's alone: one number; other ControlNets take control_scales")
        options["landmark_scale"] = finite(_LANDMARK_SCALE, given)
    knobs = {name: value for name, value in options.items() if name in _CONTROLS}
    return FaceControls(**knobs), {name: value for name, value in options.items() if name not in _CONTROLS}


def take_speed(speed: Any, adapter: FaceAdapter) -> Savings:
    """The savings of a speed. UsageError for none that is known, and for an adapter without FFRNet, which has none."""
    savings = savings_of(speed)
    if adapter.control_scale is None and savings != Savings():
        raise UsageError("this adapter has no FFRNet, and nothing to save: leave out speed")
    return savings


def merged(defaults: Mapping[str, Any], options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a call over an adapter's defaults; what is ``given`` by name goes first, unless it is None."""
    return {**defaults, **options, **{name: value for name, value in given.items() if value is not None}}


def check_options(road: Any, options: Mapping[str, Any], set_by_adapter: frozenset[str]) -> None:
    """Diffusers ignores names that it doesn't know, so that a slip of the pen would go unnoticed.

    Args:
        road: the class of the call's pipeline.
        options: of the call.
        set_by_adapter: those of the stock pipeline that its adapter gives.

    Raises:
        UsageError: an option that neither FaceSnap nor the pipeline's stock class takes, or one that can't work.
    """
    reasons = {**_REFUSED, **dict.fromkeys(set_by_adapter, _SET_BY_ADAPTER)}
    known = stock_options(road) - _OWN
    for name in sorted(set(options) & known & set(reasons)):
        if options[name] is not None:
            raise UsageError(f"{name}: {reasons[name]}")
    if options.get("output_type", "pil") not in _OUTPUTS:
        raise UsageError(f"output_type={options['output_type']!r}: use one of {', '.join(_OUTPUTS)}")
    if unknown := sorted(set(options) - known):
        if any(unknown[0] in stock_options(other) - _OWN for roads in (*ROADS, *PLAIN_ROADS) for other in roads):
            raise UsageError(f"{unknown[0]} is an option of another road than this call's, or of another base")
        raise UsageError(
            f"unknown option {unknown[0]}: use one of {', '.join(sorted(known - set(reasons) | _CONTROLS))}"
        )
    if "guidance_scale" in options:
        finite("guidance_scale", options["guidance_scale"])


def check_control_images(images: Any, scales: Any) -> None:
    """UsageError for one picture in the place of a list, and for weights that are no finite numbers."""
    if isinstance(images, str) or hasattr(images, "size") or hasattr(images, "__fspath__"):
        raise UsageError("control_images is a list, one picture per ControlNet beside FFRNet: put it in brackets")
    if scales is not None:
        finite_all("control_scales", scales)


def steps_of(options: Mapping[str, Any]) -> int:
    """Denoising steps of a call's options. UsageError for less than one, or no whole number."""
    for name in ("timesteps", "sigmas"):
        if options.get(name) is not None:
            return len(options[name])
    steps = whole("num_inference_steps", options["num_inference_steps"])
    if steps < 1:
        raise UsageError(f"num_inference_steps={steps} must be at least 1")
    return steps


def least_strength(steps: int) -> float:
    """The least strength at which one of ``steps`` is left: diffusers takes ``int(steps * strength)`` of them."""
    least = 1.0 / steps
    while int(steps * least) < 1:
        least = math.nextafter(least, 1.0)
    return least


def check_strength(strength: float, steps: int) -> None:
    """UsageError for one so low that no step would be left; names the least."""
    if int(steps * strength) < 1:
        shown = math.ceil(1000 * least_strength(steps)) / 1000
        raise UsageError(f"strength={strength:g} leaves none of {steps} step(s): use {shown:g} or more, or more steps")


def noise_of(seed: Any, generator: Any, each: int, prompts: int = 1) -> Noise:
    """Seeds, or generators, of ``each`` pictures per prompt.

    Args:
        seed: of the first picture, the others' follow; or a list of one per picture; None draws one.
        generator: in its place: a ``torch.Generator``, or a list of one per picture.
        each: pictures per prompt.
        prompts: how many.

    Raises:
        UsageError: no picture, both, another number of them than pictures, or a seed out of range.
    """
    count = _pictures(each) * prompts
    if generator is None:
        return Noise(seeds_of(seed, each, prompts))
    if seed is not None:
        raise UsageError("seed and generator both say which noise: give one of them")
    given = list(generator) if isinstance(generator, list | tuple) else [generator]
    if not all(isinstance(one, torch.Generator) for one in given):
        raise UsageError("generator must be a torch.Generator, or a list of one per picture")
    if isinstance(generator, torch.Generator):
        return Noise([None] * count, generator)
    if len(given) != count:
        raise UsageError(f"{len(given)} generators given for {count} picture(s): give one, or one for each")
    return Noise([None] * count, given)


def seeds_of(seed: Any, each: int, prompts: int = 1) -> list[int]:
    """Seeds of ``each`` pictures per prompt: those given, or one after the other from the first, which is drawn where
    none is given.

    Raises:
        UsageError: no picture, or a seed out of range.
    """
    count = _pictures(each) * prompts
    if isinstance(seed, list | tuple | np.ndarray):
        if len(seed) != count:
            raise UsageError(f"{len(seed)} seeds given for {count} picture(s): give one, or one for each")
        seeds = [whole("seed", one) for one in seed]
    else:
        first = secrets.randbelow(2**31) if seed is None else whole("seed", seed)
        if first + count > 2**63:
            raise UsageError(f"seed={first} is too large: use at most {2**63 - count} for {count} picture(s)")
        seeds = [first + i for i in range(count)]
    for one in seeds:
        if not 0 <= one < 2**63:
            raise UsageError(f"seed={one} must not be negative" if one < 0 else f"seed={one} is too large")
    return seeds


def _pictures(each: Any) -> int:
    if whole("num_images_per_prompt", each) < 1:
        raise UsageError(f"at least one picture must be made, not {each}")
    return int(each)


def whole(name: str, value: Any) -> int:
    """A whole number. UsageError (named) for anything else."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name}={value!r} must be a whole number")
    return int(value)
