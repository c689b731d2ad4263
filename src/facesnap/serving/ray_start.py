"""The way from settings to a painter on a Ray cluster; nothing of Ray is loaded before :func:`painter_of`."""

from __future__ import annotations

import os
import secrets
import sys

from facesnap.core.lazy import require
from facesnap.serving.config import ServeConfig
from facesnap.serving.painter import Painter


def painter_of(config: ServeConfig) -> Painter | None:
    """Who paints elsewhere; None where the settings name no cluster. The cluster starts when it is first asked.

    Raises:
        MissingExtraError: Ray isn't installed. UsageError: settings that it doesn't take.
    """
    if config.ray is None:
        return None
    if config.ray.address is None:
        _prepare()
    require("ray.serve", "ray")
    from facesnap.serving.ray_app import Cluster

    return Cluster(config).painter()


def _prepare() -> None:
    """What Ray reads from the environment when it is imported, for a cluster of this process alone."""
    if "ray" in sys.modules:  # too late, and half of it would be worse than its own defaults
        return
    kept = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # it calls SIGTERM a failure, with a stack
        # Who is let in at Ray's ports can run any code: none is without a token that only this process' children have,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # and all but the replicas' own are at 127.0.0.1 alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    for name, value in kept.items():
        os.environ.setdefault(name, value)
