"""Colours, fonts, layout, and the page's own script. Fonts are the system's: nothing is fetched from elsewhere."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gradio.themes import Base

    from facesnap.serving.config import Limits

_FONT: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_MONO: Final = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

_META: Final = (
    '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
    '<meta name="referrer" content="no-referrer">'
)


def head(limits: Limits) -> str:
    """What is put into the page's head: its script, from the file beside this one, and what that must know."""
    return f"{_META}<script>{{ const LIMIT = {limits.upload_bytes:d};\n{_beside('page.js')}}}</script>"


def theme() -> Base:
    """Gradio's plain theme in our colours."""
    from gradio.themes import Base, Font

    return Base(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=[Font(name) for name in _FONT],
        font_mono=[Font(name) for name in _MONO],
    ).set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="#0b1020",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_background_fill="white",
        input_background_fill_dark="#0f172a",
        input_border_color="*neutral_300",
        input_border_color_dark="#334155",
        checkbox_label_background_fill="white",
        checkbox_label_background_fill_dark="#1e293b",
        checkbox_label_border_color_dark="#334155",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_50",
        button_secondary_background_fill_dark="#1e293b",
        button_secondary_background_fill_hover_dark="#334155",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#334155",
        button_border_width="1px",
        slider_color="*primary_500",
        layout_gap="12px",
    )


def css() -> str:
    """The layout, from the file beside this one."""
    return _beside("looks.css")


def _beside(name: str) -> str:
    return resources.files("facesnap.serving.studio").joinpath(name).read_text(encoding="utf-8")
