"""What clients ask and are answered, as plain values that check themselves."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from facesnap.core.errors import UsageError
from facesnap.core.pose import CENTRE, MAX_ANGLE, SCALE, SCALE_RANGE, Pose
from facesnap.core.types import Camera
from facesnap.serving.config import DEFAULT_MODEL, Limits

#: Largest seed: what every JSON reader, browsers' among them, keeps exactly.
MAX_SEED = 2**53 - 1

#: What an id looks like; nothing else becomes part of a path.
ID_PATTERN = r"^[A-Za-z0-9_-]{16}$"

Id = Annotated[str, Field(pattern=ID_PATTERN, examples=["q3mG0fJx7Zk2Vb1c"])]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CameraRequest(_Strict):
    """A framing relative to the picture's size, see :meth:`facesnap.core.types.Camera.relative`."""

    scale: float = Field(gt=0.0, le=0.5, description="picture heights per centimetre")
    cx: float = Field(ge=-1.0, le=2.0, description="picture widths")
    cy: float = Field(ge=-1.0, le=2.0, description="picture heights")
    inverse_distance: float = Field(default=0.0, ge=0.0, le=0.05, description="1/cm; 0 is orthographic")


class PoseRequest(_Strict):
    """Where a head looks, what its face does, and how it sits in the picture; see :class:`facesnap.Pose`."""

    yaw: float = Field(
        default=0.0, description=f"degrees, +-{MAX_ANGLE['yaw']:g}; positive brings the left cheek to the camera"
    )
    pitch: float = Field(default=0.0, description=f"degrees, +-{MAX_ANGLE['pitch']:g}; positive looks up")
    roll: float = Field(
        default=0.0, description=f"degrees, +-{MAX_ANGLE['roll']:g}; positive tips to the left shoulder"
    )
    expression: dict[str, float] = Field(
        default={},
        description="weights in [0, 1] of ARKit's names, or of presets such as smile",
        examples=[{"smile": 0.8}],
    )
    gaze: tuple[float, float] | None = Field(default=None, description="yaw and pitch of the eyes in the head, degrees")
    scale: float = Field(
        default=SCALE,
        description=f"face height as a share of the shorter side, {SCALE_RANGE[0]:g} to {SCALE_RANGE[1]:g}",
    )
    centre: tuple[float, float] = Field(default=CENTRE, description="of the face, shares of width and height")
    camera: CameraRequest | None = Field(
        default=None, description="all of a framing; then scale and centre have no say"
    )

    @model_validator(mode="after")
    def _check(self) -> PoseRequest:
        try:
            self.pose()
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    def pose(self) -> Pose:
        """The same as core's plain value. UsageError (which a request that was made can't raise any more)."""
        values = {name: getattr(self, name) for name in PoseRequest.model_fields if name != "camera"}
        return Pose(**values, camera=None if self.camera is None else Camera(**self.camera.model_dump()))

    @staticmethod
    def of(pose: Pose) -> PoseRequest:
        """Inverse of :meth:`pose`."""
        return PoseRequest.model_validate(pose.to_json())


#: Names of :data:`facesnap.models.savings.SPEEDS`.
Speed = Literal["exact", "balanced", "fast"]


class GenerationRequest(_Strict):
    """Portraits of one person. What is None is the model's own default."""

    identity: Id
    prompt: str = Field(min_length=1, examples=["a portrait of a person in a red jacket"])
    negative_prompt: str = ""
    pose: PoseRequest | None = Field(default=None, description="none is that of the photos the identity was made from")
    model: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=80)
    num_images: int = Field(default=1, ge=1)
    num_inference_steps: int | None = Field(default=None, ge=1)
    guidance_scale: float | None = Field(default=None, ge=0.0, le=50.0)
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="of the first picture, the others' follow")
    width: int | None = Field(default=None, ge=1, description="pixels")
    height: int | None = Field(default=None, ge=1, description="pixels")
    identity_scale: float = Field(default=1.0, ge=-2.0, le=3.0)
    landmark_scale: float = Field(default=1.0, ge=0.0, le=3.0)
    speed: Speed = Field(default="exact", description="how much work is left out")
    carry: list[str] | None = Field(
        default=None, max_length=8, description="what of hair and beard is said; none is both"
    )

    @model_validator(mode="after")
    def _check(self) -> GenerationRequest:
        if not self.prompt.strip():
            raise ValueError("the prompt is empty: say what the portrait shows")
        return self

    def check(self, limits: Limits) -> None:
        """What a server's limits say of it.

        Raises:
            UsageError: more than it allows; names the bound.
        """
        _bound("num_images", self.num_images, limits.pictures)
        _bound("num_inference_steps", self.num_inference_steps, limits.steps)
        check_size(self.width, self.height, limits)
        for name in ("prompt", "negative_prompt"):
            _bound(f"characters in {name}", len(getattr(self, name)), limits.prompt_chars)

    def shared_key(self) -> tuple[Any, ...]:
        """What must be equal in jobs that are painted in one batch."""
        carried = None if self.carry is None else tuple(sorted(self.carry))
        return (
            *(self.model, self.width, self.height, self.num_inference_steps, self.guidance_scale),
            *(self.identity_scale, self.landmark_scale, self.speed, carried),
        )


class PreviewRequest(_Strict):
    """A landmark map before anything is sampled."""

    identity: Id
    pose: PoseRequest | None = None
    width: int | None = Field(default=None, ge=1, description="pixels; none is the model's own")
    height: int | None = Field(default=None, ge=1, description="the same")
    model: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=80)

    def check(self, limits: Limits) -> None:
        """UsageError for a size beyond the server's limits."""
        check_size(self.width, self.height, limits)


class JobState(StrEnum):
    """Where a job is in its life."""

    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"
    interrupted = "interrupted"

    @property
    def final(self) -> bool:
        """Whether nothing follows it."""
        return self not in (JobState.queued, JobState.running)


class JobStatus(BaseModel):
    """A job as its client sees it; times are seconds since 1970.

    Attributes:
        step: denoising steps that are done, of ``steps``; both 0 before it runs.
        position: place in the queue, 0 is next; None for what isn't queued.
        error: one line, for what failed or was interrupted.
        seeds: one per picture.
        pictures: how many there are to fetch.
        reports: likeness, see :class:`facesnap.pipelines.call.result.LikenessReport`; None before it is done.
        expires: when it is deleted by itself; None for what isn't finished.
    """

    id: str
    state: JobState
    client: str
    created: float
    started: float | None = None
    finished: float | None = None
    step: int = 0
    steps: int = 0
    position: int | None = None
    error: str | None = None
    request: GenerationRequest
    seeds: list[int]
    pictures: int = 0
    reports: list[dict[str, Any]] | None = None
    expires: float | None = None


class IdentityInfo(BaseModel):
    """What may be told of a person; ``name`` is a free label, times are seconds since 1970."""

    id: str
    created: float
    photos: int
    name: str
    consent: bool
    model: str
    expires: float


class ModelInfo(BaseModel):
    """A model that pictures can be made with. What only loading it tells is None until it is loaded.

    Attributes:
        loaded: whether it is in memory; if not, the first who names it waits for it.
        width: of its pictures in pixels, where a request doesn't say.
        height: the same.
        multiple: width and height are multiples of this, from 8 times it on.
        has_pose: whether its adapter follows landmarks.
        hashes: first 12 hex digits of the SHA-256 of each part's weights.
    """

    name: str
    base: str
    adapter: str | None
    loaded: bool
    width: int | None = None
    height: int | None = None
    multiple: int | None = None
    default_steps: int | None = None
    default_guidance: float | None = None
    has_pose: bool | None = None
    hashes: dict[str, str] | None = None


class LoadedModelInfo(ModelInfo):
    """The same of a model that is loaded: nothing is None."""

    loaded: Literal[True] = True
    width: int
    height: int
    multiple: int
    default_steps: int
    default_guidance: float
    has_pose: bool
    hashes: dict[str, str]


def check_size(width: int | None, height: int | None, limits: Limits) -> None:
    """UsageError for a side longer than allowed."""
    _bound("width", width, limits.side)
    _bound("height", height, limits.side)


def _bound(name: str, value: int | None, most: int) -> None:
    if value is not None and value > most:
        raise UsageError(f"{name}: {value} is more than this server allows: use at most {most}")
