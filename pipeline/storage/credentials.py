"""Whether this machine has what jobs of Google's need: asked before any work, for the clients try for minutes."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from schemas.errors import SettingsError, one_line


def check_google(what: str) -> None:
    """SettingsError where Google's clients or the application default credentials are missing."""
    auth = _package("google.auth", what, "gcp")
    _package("google.cloud.storage", what, "gcp")
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return
    failures = importlib.import_module("google.auth.exceptions")
    try:
        auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except failures.GoogleAuthError as error:
        raise SettingsError(
            f"{what} need Google credentials: {one_line(error)} "
            "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from error


def _package(name: str, what: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(f"{what} need the package {name}; pip install 'apache-beam[{extra}]'") from error
