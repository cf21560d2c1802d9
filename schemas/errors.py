"""What can go wrong by a user's doing. Each message is one line: what, the value, the limit, the remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike


def one_line(error: BaseException) -> str:
    """The error's own words on one line, or its class name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


class UserError(ValueError):
    """A wrong argument, file or setting. The command line prints the message alone and exits with `exit_code`."""

    exit_code = 2


class SettingsError(UserError):
    """An option has a value that it cannot have."""


class InputError(UserError):
    """The corpus cannot be found or holds nothing that can be read."""


class UnreachableError(UserError):
    """A server or store did not answer, or broke off, however often it was asked."""

    exit_code = 1


class DatasetError(UserError):
    """A directory is not a finished dataset, or is another run's."""


@contextmanager
def naming(origin: str | PathLike[str]) -> Iterator[None]:
    """Put `origin`, the file or directory that is read, in front of a DatasetError that does not name it."""
    try:
        yield
    except DatasetError as error:
        if str(origin) in str(error):
            raise
        raise type(error)(f"{origin}: {error}") from error


class FormatVersionError(DatasetError):
    """The dataset was written in another format version."""


class ArtifactError(UserError):
    """A byte LM, tokenizer or codebook is missing, foreign or damaged."""


class TooManyRejects(UserError):
    """More documents were set aside than the run allows."""

    exit_code = 1


class VerificationError(UserError):
    """A shard does not decode to its own raw bytes, or its digest is wrong."""

    exit_code = 1


class TrainingError(UserError):
    """A training run cannot go on: its loss is not finite, or the device's memory ran out."""

    exit_code = 1


@contextmanager
def refusing(
    path: str | PathLike[str], kind: type[UserError], remedy: str, *also: type[BaseException]
) -> Iterator[None]:
    """Around the reading of a file: what the system or the content refuses becomes one line that names the file.

    kind: the error to raise, of OSError and ValueError, and of the further classes in `also`. remedy: what the user
    can do. A UserError passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, *also) as error:  # type: ignore[misc]
        reason = getattr(error, "strerror", None) or one_line(error)[:300]
        raise kind(f"{os.fspath(path)} cannot be read ({reason}); {remedy}") from error


def tell(error: UserError | OSError) -> int:
    """Print what a user did, or the system refused, as one line on standard error; the exit status.

    What the line quotes may come from a file that a stranger made: what is no text is shown by its number, so that no
    terminal obeys it. An OSError that names no file is our own mistake, and is raised again.
    """
    if isinstance(error, OSError) and error.filename is None:
        raise error
    words, status = str(error), 1
    if isinstance(error, OSError):
        words = f"{os.fspath(error.filename)}: {error.strerror or one_line(error)}; mend that and run the command again"
    else:
        status = error.exit_code
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)
    print(f"error: {shown}", file=sys.stderr)
    return status
