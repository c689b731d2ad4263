"""How Gradio is told to serve the studio: nothing leaves this machine, and uploads lie where ours lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from facesnap.core.errors import MissingExtraError, OutputError, one_line

if TYPE_CHECKING:
    from facesnap.serving.config import ServeConfig

#: Gradio reads these when it is imported or started. Its page would otherwise send usage data, and keep a history of
#: runs, which on a shared computer shows one person's pictures to the next.
SETTINGS: Final = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def check_gradio() -> None:
    """Import Gradio with our settings. MissingExtraError where it isn't installed."""
    os.environ.update(SETTINGS)
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise MissingExtraError("the studio needs Gradio: pip install 'facesnap[ui]'") from None


def files_folder(config: ServeConfig) -> Path:
    """Make the folder where Gradio keeps uploads and what it shows, readable by this user alone.

    What a killed run left is deleted. Gradio is told by its environment variable: it has one folder in a process.

    Raises:
        OutputError: it can't be made.
    """
    folder = config.data / "studio"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for file in folder.glob("*/*"):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"can't use {folder}: {one_line(error)}") from error
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def options(config: ServeConfig) -> dict[str, Any]:
    """What ``mount_gradio_app`` (and ``Blocks.launch``) must be told beside the Blocks."""
    from facesnap.serving.studio.looks import css, head, theme

    return {
        "theme": theme(),
        "css": css(),
        "head": head(config.limits),
        "footer_links": [],
        "run_history": False,
        "show_error": False,
        "max_file_size": config.limits.upload_bytes,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "enable_monitoring": False,
        # Its app would offer a description of every event under /docs, over ours.
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
    }
