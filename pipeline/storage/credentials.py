"""Whether this machine may write to a cloud: asked before any work, for the clients themselves try for minutes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from types import ModuleType

from schemas.errors import SettingsError

BEAM_S3_KEY = "--s3_access_key_id"


def check(path: str, beam_options: Sequence[str] = ()) -> None:
    """SettingsError where `path` is in Google's or Amazon's cloud and its clients or credentials are missing here.

    beam_options: options of Beam's own, of which one may bring a key for s3://.
    """
    if path.startswith("gs://"):
        check_google("gs:// paths")
    elif path.startswith("s3://") and not any(option.startswith(BEAM_S3_KEY) for option in beam_options):
        _check_amazon()


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
            f"{what} need Google credentials: {' '.join(str(error).split())} "
            "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from error


def _check_amazon() -> None:
    session = _package("boto3", "s3:// paths", "aws").Session()
    if session.get_credentials() is None:
        raise SettingsError(
            "s3:// paths need Amazon credentials, and there are none here; run `aws configure`, or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def _package(name: str, what: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(f"{what} need the package {name}; pip install 'apache-beam[{extra}]'") from error
