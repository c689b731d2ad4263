"""Every error a user can meet, as one tree; each carries the command line's exit code."""

from __future__ import annotations


class FaceSnapError(Exception):
    """Base of all errors that FaceSnap raises on purpose: one line that says what to do."""

    exit_code = 1


class UsageError(FaceSnapError):
    """The request itself is wrong: an unknown option, adapter, or a value out of its range."""

    exit_code = 2


class InputError(FaceSnapError):
    """The request is fine, but an input can't be used: unreadable, no face, face too small."""

    exit_code = 3


class ImageError(InputError):
    """A file that can't be read as a photograph."""


class NoFaceError(InputError):
    """No face was found in a photograph."""


class FaceTooSmallError(InputError):
    """The face is smaller than what the encoders can use."""


class EncoderMismatchError(InputError):
    """An identity file or adapter was made with other encoders than the ones at hand."""


class MissingError(InputError):
    """Something that was asked for by its name isn't there: it never was, or it has expired or been deleted."""


class PromptError(UsageError):
    """An empty prompt, or one longer than the text encoder takes."""


class AdapterError(UsageError):
    """An adapter or base model that can't be found, or that doesn't fit its partner."""


class OutputError(FaceSnapError):
    """An output that can't be written; nothing partial is left behind."""

    exit_code = 4


class BusyError(FaceSnapError):
    """There is too much to do at the moment; the same request may be taken later.

    Attributes:
        retry_after: seconds after which it may be worth another try.
    """

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MissingExtraError(FaceSnapError):
    """An optional dependency is absent; the message names the extra to install."""

    exit_code = 2


def one_line(error: Exception) -> str:
    """What a library's error says, on one line of readable length; without the path, which our messages name."""
    if isinstance(error, FileExistsError | NotADirectoryError):  # "File exists" would sound as if it were in the way
        text = "a part of that path is a file, not a folder"
    elif isinstance(error, UnicodeDecodeError):
        text = "it is not text in UTF-8"
    else:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (" ".join(text.split()) or type(error).__name__)[:300]
