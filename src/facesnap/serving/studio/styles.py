"""Chips that put words into the prompt and take them out again."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

#: Chip -> words. They follow the prompt after a comma.
STYLES: Final = {
    "Photo": "portrait photo",
    "Pencil": "pencil sketch",
    "Watercolour": "watercolour painting",
    "Oil": "oil painting",
    "Comic": "comic book style",
    "Black and white": "black and white photo",
    "Old photograph": "vintage photo",
    "Neon": "neon portrait",
}
PLACES: Final = {
    "Soft light": "in soft light",
    "Dramatic light": "in dramatic light",
    "Warm light": "in warm light",
    "Park": "outdoors in a park",
    "Street": "on a city street",
    "Beach": "on a beach",
    "Library": "in a library",
    "Studio": "against a studio backdrop",
}
CHIPS: Final = {**STYLES, **PLACES}


def with_words(prompt: str, chosen: Collection[str]) -> str:
    """The prompt with the words of the chosen chips and without those of the others; the rest stays as it is."""
    for chip, words in CHIPS.items():
        there = words_in(prompt, words)
        if chip in chosen and not there:
            prompt = f"{prompt.rstrip().rstrip(',')}, {words}" if prompt.strip() else words
        elif chip not in chosen and there:
            prompt = _place(words).sub("", prompt, count=1).strip().lstrip(",").strip()
    return prompt


def chosen_in(prompt: str, chips: Collection[str]) -> list[str]:
    """Those of the chips whose words stand in a prompt."""
    return [chip for chip in chips if words_in(prompt, CHIPS[chip])]


def words_in(prompt: str, words: str) -> bool:
    """Whether words stand in a prompt as a part of their own, between commas."""
    return _place(words).search(prompt) is not None


def _place(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|,)\s*{re.escape(words)}\s*(?=,|$)", re.IGNORECASE)
