"""Clients of stores: one for each bucket and process, with endpoint, region and credentials from the environment.

    s3://   AWS_ENDPOINT_URL, AWS_REGION; keys, web identity, container or instance by obstore, profiles by boto3
    gs://   GOOGLE_APPLICATION_CREDENTIALS, gcloud's defaults or the instance by obstore; STORAGE_EMULATOR_HOST

Whether there are credentials is asked first, for a client without any would ask for a cloud's machine for minutes.
"""

from __future__ import annotations

import importlib.util
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from schemas.errors import SettingsError
from schemas.patience import PATIENCE

AMAZON_NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""Variables of the environment, any of which brings credentials or says that none are needed."""
GOOGLE_NAMES = ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "GOOGLE_SKIP_SIGNATURE")
METADATA_SECONDS = 2.0
"""How long a cloud's own machine may take to say that it is one."""
REQUEST_HOURS = 1

_clients: dict[str, Any] = {}
_owner: int | None = None


def client(bucket: str) -> Any:
    """The process's obstore client for a bucket, s3://NAME or gs://NAME, or file://; SettingsError without credentials.

    A forked child would wait for ever for the threads of its parent's client, so it is refused.
    """
    global _owner
    _owner = _owner or os.getpid()
    if _owner != os.getpid():
        raise RuntimeError("stores are used in a forked process, whose client has no threads; start it by spawn")
    if bucket not in _clients:
        check_credentials(bucket)
        _clients[bucket] = _make_client(bucket)
    return _clients[bucket]


def check_credentials(url: str) -> None:
    """SettingsError where `url` is in Google's or Amazon's cloud and there are no credentials for it here."""
    if url.startswith("gs://"):
        _check_google()
    elif url.startswith("s3://"):
        _check_amazon()


def _make_client(bucket: str) -> Any:
    from obstore import store

    scheme, _, name = bucket.partition("://")
    if scheme == "file":
        return store.LocalStore()
    # `schemas.patience` waits longer; this is for single parts of a long object.
    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1)}
    retry = {"max_retries": 2, "retry_timeout": timedelta(seconds=PATIENCE.timeout_s), "backoff": backoff}
    wait = timedelta(seconds=PATIENCE.timeout_s)
    options = {"connect_timeout": wait, "read_timeout": wait, "timeout": timedelta(hours=REQUEST_HOURS)}
    common: dict[str, Any] = {"client_options": {**options, "allow_http": True}, "retry_config": retry}
    if scheme == "s3":
        return store.S3Store(name, config=_s3_config(), credential_provider=_s3_credentials(), **common)
    return store.GCSStore(name, config=_gcs_config(), credential_provider=_gcs_credentials(), **common)


def _s3_config() -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return {**({"endpoint": endpoint} if endpoint else {}), **({"region": region} if region else {})}


def _s3_credentials() -> Any:
    """None where obstore finds them itself."""
    if not _has_profile():
        return None
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider()


def _has_profile() -> bool:
    """Whether Amazon's credentials are those of a profile, which only its own client (boto3) can read."""
    if any(os.environ.get(name) for name in AMAZON_NAMES) and not os.environ.get("AWS_PROFILE"):
        return False
    files = [os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")]
    files += [os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")]
    return any(os.path.exists(os.path.expanduser(path)) for path in files)


def _check_amazon() -> None:
    if _has_profile():
        if not importlib.util.find_spec("boto3"):
            raise SettingsError("Amazon's credentials are in a profile, which takes boto3 to read; pip install boto3")
        if importlib.import_module("boto3").Session().get_credentials() is not None:
            return
    elif any(os.environ.get(name) for name in AMAZON_NAMES) or _is_amazon_machine():
        return
    raise SettingsError(
        "s3:// paths need Amazon credentials, and there are none here; run `aws configure`, or set AWS_ACCESS_KEY_ID "
        "and AWS_SECRET_ACCESS_KEY"
    )


def _gcs_config() -> Any:
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    if not host:
        return {}
    base = host if "://" in host else f"http://{host}"
    nobody = {"gcs_base_url": base, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    return {"service_account_key": json.dumps(nobody)}


def _gcs_credentials() -> Any:
    """None where obstore finds them itself: service accounts, a user's defaults, an instance."""
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not path or os.environ.get("STORAGE_EMULATOR_HOST"):
        return None
    try:
        kind = json.loads(Path(path).read_bytes()).get("type")
    except (OSError, ValueError, AttributeError):
        return None
    if kind in ("service_account", "authorized_user"):
        return None
    from obstore.auth.google import GoogleCredentialProvider

    return GoogleCredentialProvider()


def _check_google() -> None:
    config = os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud")
    default = os.path.expanduser(os.path.join(config, "application_default_credentials.json"))
    if any(os.environ.get(name) for name in GOOGLE_NAMES) or os.path.exists(default) or _is_google_machine():
        return
    raise SettingsError(
        "gs:// paths need Google credentials, and there are none here; run `gcloud auth application-default login`, or "
        "set GOOGLE_APPLICATION_CREDENTIALS"
    )


def _is_google_machine() -> bool:
    """Whether a machine of Google's cloud, which has credentials for what runs on it, answers."""
    if os.environ.get("NO_GCE_CHECK", "").lower() == "true":
        return False
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    return _answers("GET", f"http://{host}/computeMetadata/v1/", {"Metadata-Flavor": "Google"})


def _is_amazon_machine() -> bool:
    """As `_is_google_machine`, of Amazon's."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    token = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    return _answers("PUT", "http://169.254.169.254/latest/api/token", token)


def _answers(method: str, url: str, headers: dict[str, str]) -> bool:
    import requests

    try:
        return requests.request(method, url, headers=headers, timeout=METADATA_SECONDS).status_code == 200
    except requests.RequestException:
        return False
