"""Typed settings of ``facesnap train``: a YAML file, changed by ``key=value``; unknown keys are refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from facesnap.core.errors import UsageError, one_line
from facesnap.training.config import Strict

Share = float


class DataConfig(Strict):
    """What is read, and how.

    Attributes:
        folder: of ``facesnap data prepare``.
        precomputed: where latents and text states go; None: ``precomputed/`` in ``folder``.
        captions: how many of a photo's captions are encoded, at most.
        pairs: reference and target are different photos of one person; False: the same photo (it learns to copy).
        lanes: how many places of the data are read at once; a batch takes as much of each. A multiple of the number of
            processes, and a divisor of the batch; what a step sees depends on it, and not on how many processes.
        buffer_people: how many people of a lane are held and mixed at once.
        workers: processes that make batches, for each training process; None: as many as the device needs.
        sample_latents: draw latents from the VAE's posterior; False: its mean.
    """

    folder: Path
    precomputed: Path | None = None
    captions: int = Field(default=4, ge=1)
    pairs: bool = True
    lanes: int = Field(default=8, ge=1)
    buffer_people: int = Field(default=32, ge=1)
    workers: int | None = Field(default=None, ge=0)
    sample_latents: bool = True


class NetsConfig(Strict):
    """The mixer and FFRNet.

    Attributes:
        start: what to begin with: an adapter folder, a ControlNet (folder or hub id), or InstantID's folder, whose
            IdentityNet is taken; None: a copy of the base's encoder.
        tokens: N. ``id_tokens``: of f_id. ``token_width``: W; None: the width of the base's text states, or what the
            ControlNet reads. ``heads``, ``decoder_layers``: of the mixer.
        attention: which levels of FFRNet attend to the face; None: as the base's do.
        map_channels: of the landmark map's embedding; None: ControlNet's.
        zero_init: connecting convolutions start at zero, as published; False where the base is small.
        defaults: settings for generation that the adapter recommends, by their names in diffusers.
        export: what its weights are stored as.
    """

    start: str | None = None
    tokens: int = Field(default=16, ge=1)
    id_tokens: int = Field(default=4, ge=1)
    token_width: int | None = Field(default=None, ge=1)
    heads: int = Field(default=8, ge=1)
    decoder_layers: int = Field(default=2, ge=1)
    attention: tuple[bool, ...] | None = None
    map_channels: tuple[int, ...] | None = None
    zero_init: bool = True
    defaults: dict[str, float | int] = Field(default_factory=dict)
    export: Literal["float16", "bfloat16", "float32"] = "float16"


class ObjectiveConfig(Strict):
    """The losses, and what a share of the rows goes without.

    Attributes:
        lambda_id: weight of L_id. ``id_window``: its gate, shares of the noise range. ``id_batch``: on how many rows of
            a batch, at most, spread over it. ``face_encoder``: folder of E_f; None: the embedded model's. It must be
            what made the data's ``f_id``, and let gradients through.
        min_snr_gamma: 0: all timesteps weigh the same. ``timestep_power``: they are drawn with a density of t ** power.
        text_dropout, token_dropout, landmark_dropout: shares of rows without text, without face, with an empty map.
        neither: share of the rows without a face that lose their text, too: what guidance's unguided half sees.
        all_dropout: share of rows without any of the three.
        landmark_jitter: errors of the landmarks, as a share of the picture's side.
        reference_shape: share of maps with the reference's shape in the target's pose, as the product draws them.
    """

    lambda_id: float = Field(default=0.1, ge=0)
    id_window: tuple[Share, Share] = (0.25, 0.9)
    id_batch: int = Field(default=8, ge=0)
    face_encoder: Path | None = None
    min_snr_gamma: float = Field(default=5.0, ge=0)
    timestep_power: float = Field(default=0.0, ge=0)
    text_dropout: Share = Field(default=0.1, ge=0, le=1)
    token_dropout: Share = Field(default=0.1, ge=0, le=1)
    landmark_dropout: Share = Field(default=0.05, ge=0, le=1)
    neither: Share = Field(default=0.5, ge=0, le=1)
    all_dropout: Share = Field(default=0.02, ge=0, le=1)
    landmark_jitter: float = Field(default=0.004, ge=0)
    reference_shape: Share = Field(default=0.5, ge=0, le=1)


class OptimConfig(Strict):
    """Steps and rates.

    ``batch_size``: rows of one optimiser step, over all processes; ``micro_batch_size``: of one pass through the
    networks on one process (None: all of a process' share). What is left is accumulated.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    micro_batch_size: int | None = Field(default=None, ge=1)
    optimizer: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    learning_rate: float = Field(default=1e-5, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = Field(default=500, ge=0)
    decay_fraction: Share = Field(default=0.2, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.9999, ge=0, lt=1)


class ComputeConfig(Strict):
    """``device``: auto or cpu; which card, accelerate says. ``precision``: of the passes; weights stay float32.

    ``gradient_checkpointing``: less memory, about a third more time.
    """

    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["no", "bf16", "fp16"] = "bf16"
    gradient_checkpointing: bool = False


class WatchConfig(Strict):
    """What is kept and told while it trains; steps each, 0 for never.

    Attributes:
        log_every: a line, of means since the last.
        checkpoint_every: a checkpoint; ``keep`` of them stay.
        validate_every: the loss on unseen people, and portraits of ``validate_people`` of them, judged.
        num_inference_steps, guidance_scale: of these portraits.
        judge_face: folder of the recogniser that judges likeness, never the one that conditions; None: the embedded
            model's judge. ``judge_clip``: folder of a CLIP that judges prompts; None: the embedded model's.
        tensorboard: write its files. ``wandb``: name of a project at Weights & Biases; None: not there.
    """

    log_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=1000, ge=0)
    keep: int = Field(default=3, ge=1)
    validate_every: int = Field(default=1000, ge=0)
    validate_people: int = Field(default=8, ge=1)
    num_inference_steps: int = Field(default=20, ge=1)
    guidance_scale: float = Field(default=5.0, ge=0)
    judge_face: Path | None = None
    judge_clip: Path | None = None
    tensorboard: bool = True
    wandb: str | None = None


class TrainConfig(Strict):
    """All of it. ``base``: ``mini``, a diffusers folder, or a hub id; ``output``: folder of the run."""

    output: Path
    base: str
    seed: int = Field(default=0, ge=0)
    resume: bool = True
    data: DataConfig
    nets: NetsConfig = NetsConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig
    compute: ComputeConfig = ComputeConfig()
    watch: WatchConfig = WatchConfig()

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.optim.batch_size % self.data.lanes:
            raise ValueError(
                f"optim.batch_size={self.optim.batch_size} must be a multiple of data.lanes={self.data.lanes}"
            )
        first, last = self.objective.id_window
        if not 0 <= first <= last <= 1:
            raise ValueError(f"objective.id_window={first, last} must lie between 0 and 1, the smaller first")
        return self

    @property
    def precomputed(self) -> Path:
        """Where latents and text states go."""
        return self.data.precomputed or self.data.folder / "precomputed"


def read_config(path: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """A YAML file with changes such as ``optim.steps=2000``, whose values are YAML, too.

    Raises:
        UsageError: no such file, no YAML, an unknown key (with the nearest known), or a value of the wrong kind.
    """
    import yaml

    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"can't read {path}: {one_line(error)}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {one_line(error)}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path} must hold settings (key: value), see configs/")
    for change in changes:
        dotted, equals, text = change.partition("=")
        if not equals:
            raise UsageError(f"{change}: write key=value, for example optim.steps=2000")
        try:
            _set(tree, dotted.strip(), yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise UsageError(f"{change}: its value is no YAML: {one_line(error)}") from error
    return checked(tree)


def checked(tree: Mapping[str, Any]) -> TrainConfig:
    """Settings out of plain values; UsageError as :func:`read_config`."""
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        raise UsageError(_first(error)) from None


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, key = dotted.split(".")
    node = tree
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise UsageError(f"{dotted}: {parent} is a value and has no settings below it")
    node[key] = value


def _first(error: ValidationError) -> str:
    """The first problem as a line; a misspelt key with what may have been meant."""
    found = error.errors()
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys(TrainConfig)
        near = difflib.get_close_matches(where, known, 1) or [
            key for key in known if key.rpartition(".")[2] == str(first["loc"][-1])
        ]
        return f"unknown setting {where}" + (f": did you mean {near[0]}?" if near else f": use {', '.join(known)}")
    if first["type"] == "missing":
        return f"the setting {where} is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"setting {where}: {message[:1].lower()}{message[1:]}" if where else message


def _keys(model: type[BaseModel], before: str = "") -> list[str]:
    """All settings, dotted."""
    keys = []
    for name, field in model.model_fields.items():
        inner = next((k for k in (field.annotation, *get_args(field.annotation)) if _is_model(k)), None)
        keys += _keys(inner, f"{before}{name}.") if inner else [f"{before}{name}"]
    return keys


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
