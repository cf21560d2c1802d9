"""What several commands share: the check of a file that is to be written."""

from __future__ import annotations

import os

from schemas.errors import SettingsError


def make_room(path: str) -> None:
    """Make the directory of a file that is about to be written; SettingsError where the file cannot be."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot write to {directory} ({error.strerror}); choose another --out") from error
    if os.path.isdir(path):
        raise SettingsError(f"--out {path} is a directory; give a file")
