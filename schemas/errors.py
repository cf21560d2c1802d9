"""What can go wrong by a user's doing. Each message is one line: what, the value, the limit, the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike


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
    """A training run cannot go on: its loss is not finite."""

    exit_code = 1
