"""Prompts: what a text encoder takes, and what of the reference is said where a prompt is silent of it.

Policy: hair and beard are the prompt's to choose. A prompt that says nothing of hair gets the reference's, as words;
the same of the beard, each by itself. FFRNet and the face tokens have no part in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from facesnap.core.errors import PromptError, UsageError
from facesnap.faces.looks import Looks

#: What can be carried from the reference into a prompt.
CARRIED: Final = ("hair", "beard")

#: Words by which a prompt speaks of hair or beard, whatever it says of them.
SPEAKS_OF: Final[Mapping[str, re.Pattern[str]]] = {
    "hair": re.compile(
        r"\bhair|[- ]haired|\b(bald|(shaved|shaven) head|skinhead|buzz ?cut|crew ?cut|afro|bob|bun|curls?|curly|wavy|"
        r"braid(s|ed)?|(dread)?locs?|dreadlocks|cornrows|ponytail|pigtails?|plaits?|pixie|bangs|fringe|mohawk|mullet|"
        r"wig|blonde?|brunette|redhead(ed)?|ginger|hijab|turban|headscarf|balaclava)\b",
        re.IGNORECASE,
    ),
    "beard": re.compile(
        r"\b(beard(s|ed)?|beardless|m(o)?ustached?|m(o)?ustaches?|goatee|stubble|stubbly|sideburns|whiskers|"
        r"clean[- ]shaven|shaven|facial hair)\b",
        re.IGNORECASE,
    ),
}

#: Whom a prompt may be about: the words are put behind the first of these.
_PERSON: Final = re.compile(
    r"\b(person|man|woman|boy|girl|lady|guy|gentleman|child|kid|teenager|adult)\b(?!['’])( with\b)?", re.IGNORECASE
)


def check_carry(carry: Collection[str]) -> None:
    """UsageError for what can't be carried."""
    if isinstance(carry, str) or (unknown := sorted(set(carry) - set(CARRIED))):
        named = carry if isinstance(carry, str) else unknown[0]
        raise UsageError(f"carry={named!r}: use some of {', '.join(CARRIED)}, as a list")


def with_looks(prompt: str, looks: Looks, carry: Collection[str] = CARRIED) -> str:
    """The prompt, with those of the reference's looks of which it doesn't speak.

    Example:
        >>> with_looks("a person in a red jacket", Looks("short black hair", "a goatee"))
        'a person with short black hair and a goatee in a red jacket'
    """
    words = [getattr(looks, name) for name in CARRIED if name in carry and not SPEAKS_OF[name].search(prompt)]
    said = " and ".join(word for word in words if word)
    if not said:
        return prompt
    place = _PERSON.search(prompt)
    if place is None:
        return f"{prompt.rstrip(' ,.')}, with {said}"
    end = place.end()
    joint = f" {said} and" if place.group(2) else f" with {said}"
    return prompt[:end] + joint + prompt[end:]


#: Characters of what doesn't fit that an error shows.
_SHOWN: Final = 100


def check_prompt(pipeline: Any, text: str, what: str, long_prompts: bool = False) -> None:
    """PromptError where a text is empty, or (unless ``long_prompts``) longer than a text encoder takes."""
    if not isinstance(text, str) or not text.strip():
        raise PromptError(f"the {what} is empty: say what the portrait shows")
    if long_prompts:
        return
    for limit, count in _limits(pipeline):
        if left_out := words_beyond(text, limit, count):
            left_out = left_out if len(left_out) <= _SHOWN else f"{left_out[:_SHOWN]} ..."
            raise PromptError(
                f"the {what} is longer than the text encoder's {limit} tokens: shorten it, or allow"
                f" long_prompts; left out would be: {left_out}"
            )


def fits(pipeline: Any, text: str, long_prompts: bool = False) -> bool:
    """Whether every text encoder takes the whole text; in pieces (``long_prompts``) they take any."""
    return long_prompts or all(count(text) <= limit for limit, count in _limits(pipeline))


def converted(pipeline: Any, text: str, tokenizer: Any) -> str:
    """A text as diffusers hands it to a tokenizer: a textual inversion of several vectors is as many words."""
    convert = getattr(pipeline, "maybe_convert_prompt", None)
    return text if convert is None else str(convert(text, tokenizer))


def words_beyond(text: str, limit: int, count: Callable[[str], int]) -> str:
    """The words at a text's end that don't fit; empty if all do. ``count``: tokens of a text, its marks included."""
    if count(text) <= limit:
        return ""
    words = text.split()
    low, high = 0, len(words)  # the first `low` words fit, the first `high` don't
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(" ".join(words[:middle])) <= limit else (low, middle)
    return " ".join(words[low:]) or text


def text_encoders(pipeline: Any) -> list[tuple[Any, Any, int]]:
    """Tokenizer, encoder and the most tokens (start and end marks included) of each text encoder of a pipeline."""
    pairs = [
        (getattr(pipeline, f"tokenizer{i}", None), getattr(pipeline, f"text_encoder{i}", None)) for i in ("", "_2")
    ]
    return [
        (tokenizer, encoder, min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings)))
        for tokenizer, encoder in pairs
        if tokenizer is not None and encoder is not None
    ]


def _limits(pipeline: Any) -> Iterator[tuple[int, Callable[[str], int]]]:
    """Per text encoder: the most tokens, and what counts a text's, its start and end marks included."""
    for tokenizer, _, limit in text_encoders(pipeline):
        yield limit, _counter(pipeline, tokenizer)


def _counter(pipeline: Any, tokenizer: Any) -> Callable[[str], int]:
    return lambda text: len(tokenizer(converted(pipeline, text, tokenizer), verbose=False).input_ids)
