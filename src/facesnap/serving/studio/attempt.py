"""Whatever goes wrong becomes one line for the person at the screen; a traceback is for the log alone."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from facesnap.core.errors import FaceSnapError
from facesnap.serving.config import first_problem
from facesnap.serving.studio import words

Made = TypeVar("Made")
LOG = logging.getLogger(__name__)


def attempt(work: Callable[[], Made]) -> tuple[Made | None, str]:
    """What ``work`` makes and an empty line, or None and the line that says why not."""
    try:
        return work(), ""
    except Exception as error:
        return None, line_of(error)


def line_of(error: Exception) -> str:
    """What to tell of an error. Only ours are told; of others the log has everything."""
    if isinstance(error, FaceSnapError):
        return sentence(str(error))
    if isinstance(error, ValidationError):
        return sentence(first_problem(error))
    LOG.error("the studio met an unexpected error", exc_info=error)
    return words.INTERNAL


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def warn(line: str) -> None:
    """Show a line for some seconds at the page's corner. Gradio renders it as HTML, so it is escaped here."""
    import gradio as gr

    gr.Warning(html.escape(line), title="Not yet", duration=6)


def inform(line: str) -> None:
    """The same for news that are no trouble."""
    import gradio as gr

    gr.Info(html.escape(line), title="Done", duration=5)
