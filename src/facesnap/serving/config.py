"""What a server is told when it starts: where it listens, which models it has, what it allows, what it keeps."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facesnap.core.errors import UsageError

MEBI: Final = 1024 * 1024

#: Name of the model that ``base`` and ``adapter`` describe.
DEFAULT_MODEL: Final = "default"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limits(_Strict):
    """What a client may ask for; all of it is said in the errors.

    Attributes:
        upload_bytes: of one photo or identity file.
        upload_pixels: of one photo.
        photos: of one person.
        queue: jobs that wait, of everyone.
        queue_per_client: jobs that wait, of one client.
        pictures: of one job.
        steps: denoising steps of one job.
        side: largest width and height of a picture, in pixels.
        prompt_chars: characters of a prompt, and of a negative prompt.
        request_seconds: how long a request may take that waits for an answer.
        job_seconds: how long a job may be painted.
        batch: pictures painted at once.
        requests_per_minute: of one client.
        generations_per_minute: the same, of those that start a job.
        studio_bytes: of all files that the studio holds at a time; where there are more, it takes no uploads.
    """

    upload_bytes: int = Field(default=12 * MEBI, ge=1)
    upload_pixels: int = Field(default=40_000_000, ge=1)
    photos: int = Field(default=8, ge=1)
    queue: int = Field(default=64, ge=1)
    queue_per_client: int = Field(default=16, ge=1)
    pictures: int = Field(default=8, ge=1)
    steps: int = Field(default=100, ge=1)
    side: int = Field(default=1024, ge=64)
    prompt_chars: int = Field(default=2000, ge=1)
    request_seconds: float = Field(default=60.0, gt=0)
    job_seconds: float = Field(default=600.0, gt=0)
    batch: int = Field(default=4, ge=1)
    requests_per_minute: int = Field(default=120, ge=1)
    generations_per_minute: int = Field(default=60, ge=1)
    studio_bytes: int = Field(default=512 * MEBI, ge=1)


class Expiry(_Strict):
    """How long things are kept: results by age and by their total size (the oldest go first), identities by age."""

    result_hours: float = Field(default=24.0, gt=0)
    result_bytes: int = Field(default=2048 * MEBI, ge=1)
    identity_hours: float = Field(default=24.0 * 7, gt=0)


class ModelSource(_Strict):
    """One model, as :meth:`facesnap.FaceSnap.from_pretrained` takes it."""

    base: str = "mini"
    adapter: str | None = None
    face_encoder: str | None = None
    image_encoder: str | None = None
    base_config: str | None = None


class RaySettings(_Strict):
    """A Ray cluster that paints instead of this process.

    Attributes:
        address: ``host:port`` of the cluster that this machine is a node of, or ``auto``; None starts one here.
        replicas: processes that paint, each with the models of its own.
        autoscaling: Ray Serve's own settings for as many as are needed, instead of ``replicas``: ``min_replicas``,
            ``max_replicas``, ``upscale_delay_s`` ... A batch is one ongoing request.
        num_cpus: that one of them needs; also the threads it computes with.
        num_gpus: the same, a share of one if it is below 1; None is 1 in a cluster that has any, unless ``device`` is
            ``cpu``.
        lookers: processes that look at photos and draw maps, on the CPU, whatever is being painted.
    """

    address: str | None = None
    replicas: int = Field(default=1, ge=1)
    autoscaling: dict[str, Any] | None = None
    num_cpus: float = Field(default=1.0, ge=0)
    num_gpus: float | None = Field(default=None, ge=0)
    lookers: int = Field(default=1, ge=1)


class ServeConfig(_Strict):
    """All of a server's settings.

    Attributes:
        host: the address it listens on; any but this machine's own needs a ``token``.
        port: the same; 0 takes a free one.
        data: folder of the database, identities and results.
        token: what clients must show; None asks for nothing.
        base: of the model named ``default``.
        adapter: the same.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16``, ``float16``.
        models: further ones by name; each is loaded when it is first asked for, and stays.
        limits: what clients may ask for.
        expiry: how long things are kept.
        watermark: whether pictures get the invisible mark.
        safety_checker: whether a base's own checker judges every picture; one that has none is then refused.
        ui: whether the studio is served beside the API.
        ray: the cluster that paints; None is this process.

    Raises:
        UsageError: a host that others reach, and no token (when made by :meth:`of`, for any wrong value).
    """

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    data: Path = Field(default_factory=lambda: data_folder())
    token: str | None = Field(default=None, min_length=8)
    base: str = "mini"
    adapter: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    models: dict[str, ModelSource] = {}
    limits: Limits = Limits()
    expiry: Expiry = Expiry()
    watermark: bool = True
    safety_checker: bool = False
    ui: bool = True
    ray: RaySettings | None = None

    @model_validator(mode="after")
    def _check(self) -> ServeConfig:
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"host {self.host} can be reached from other machines: give a token that clients must show,"
                " or stay with 127.0.0.1"
            )
        if DEFAULT_MODEL in self.models:
            raise UsageError(f"the model named {DEFAULT_MODEL} is that of base and adapter: name this one otherwise")
        return self

    @staticmethod
    def of(values: Mapping[str, Any]) -> ServeConfig:
        """Settings from plain values, such as a file's.

        Raises:
            UsageError: an unknown name, or a value out of its range (named).
        """
        try:
            return ServeConfig.model_validate(dict(values))
        except ValidationError as error:
            raise UsageError(f"setting {first_problem(error)}") from None

    def sources(self) -> dict[str, ModelSource]:
        """Every model by name, the default one first."""
        return {DEFAULT_MODEL: ModelSource(base=self.base, adapter=self.adapter), **self.models}


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, on one line: where it is, and what. The value isn't repeated."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ")
    return f"{where}: {what[:1].lower() + what[1:]}" if where else what


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def data_folder() -> Path:
    """``facesnap/serve`` among the user's data: ``$XDG_DATA_HOME``, else ``~/.local/share``. It may not exist yet."""
    named = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification wants relative paths ignored.
    base = named if os.path.isabs(named) else os.path.expanduser("~/.local/share")
    return Path(base) / "facesnap" / "serve"
