"""Objects of a store: s3://bucket/key, gs://bucket/key, and file:///path, which takes the same way without a network.

    URL ── one client per bucket and process (obstore) ──► request ──► bytes, sizes, names
              └─ what fails ──► FileNotFoundError, ConnectionError, or StoreError with its HTTP status
                                  └─ transient: tried again with patience, then UnreachableError by name

An object appears whole or not at all, whatever its size. A store has no directories: what lies in one is what its URL
begins. Endpoint, region and credentials come from the environment, by the names that the stores' own tools use.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import SettingsError
from schemas.patience import patiently
from schemas.store_clients import client

Result = TypeVar("Result")

SCHEMES = ("s3", "gs", "file")
PART_BYTES = 16 << 20
"""A larger object is sent in parts of so many bytes, and appears when the store has them all."""
PARTS_AT_ONCE = 4
BLOCK_BYTES = 8 << 20
"""Of a download, asked for at once."""
_STATUS = re.compile(r"status code: (\d{3}) ([A-Z][\w ]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_WRONG_REGION = "redirect"


class StoreError(OSError):
    """A store's answer that is neither the object nor a plain "no such object"."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status
        """Of HTTP; None where the store's client has failed before it asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """What a store says of an object without sending it."""

    size_bytes: int
    version: str
    """Its ETag, which changes with its bytes."""
    generation: str | None = None
    """Google's number of this writing; None in other stores."""


def is_store(path: str) -> bool:
    """Whether `path` is a URL of a store that this module reaches."""
    return path.partition("://")[0] in SCHEMES and "://" in path


def check_url(url: str) -> None:
    """SettingsError where `url` cannot name an object or what begins like a directory."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in SCHEMES:
        raise SettingsError(f"{url} is in no store that this program reaches; give s3://…, gs://… or a local path")
    if not bucket and scheme != "file":
        raise SettingsError(f"{url} names no bucket; write {scheme}://BUCKET/PATH")
    if any(part in ("", ".", "..") for part in key.rstrip("/").split("/")) and key.rstrip("/"):
        raise SettingsError(f"{url} has an empty part or dots between its slashes; write each part once")


def join(url: str, *names: str) -> str:
    """The URL of what lies below another."""
    return "/".join([url.rstrip("/"), *names])


def read(url: str) -> bytes:
    """A whole object; FileNotFoundError where there is none."""
    return _ask(url, lambda store, key: bytes(_obstore().get(store, key).bytes()))


def read_range(url: str, start: int, end: int, version: str | None = None) -> tuple[bytes, StoredObject]:
    """Bytes [start, end) of an object that has more than `start`, as far as it goes, and what the store says of it.

    version: the object must still be this one, else StoreError.
    """
    options: dict[str, Any] = {"range": (start, end), **({"if_match": version} if version else {})}

    def get(store: Any, key: str) -> tuple[bytes, StoredObject]:
        answer = _obstore().get(store, key, options=options)
        return bytes(answer.bytes()), _described(answer.meta)

    return _ask(url, get)


def look(url: str) -> StoredObject | None:
    """Size and version of an object; None where there is none."""
    try:
        return _ask(url, lambda store, key: _described(_obstore().head(store, key)))
    except FileNotFoundError:
        return None


def write(url: str, data: bytes | Path) -> StoredObject:
    """Put an object in place of any other: bytes, or a local file, which is read part by part."""
    size_bytes = data.stat().st_size if isinstance(data, Path) else len(data)

    def put(store: Any, key: str) -> StoredObject:
        whole = size_bytes <= PART_BYTES
        source = data.read_bytes() if isinstance(data, Path) and whole else data
        answer = _obstore().put(
            store, key, source, use_multipart=not whole, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )
        return _described({**answer, "size": size_bytes})

    return _ask(url, put)


def write_instead(url: str, data: bytes, of: StoredObject | None) -> StoredObject | None:
    """Put a small object in place of another that must still be there as it was; None, and nothing written, if not.

    of: None where there must be none. Where a store cannot put on condition of a version, a look goes before.
    """
    mode: Any = "create"
    if of is not None:
        mode = {"e_tag": of.version, **({"version": of.generation} if of.generation else {})}

    def put(store: Any, key: str) -> StoredObject | None:
        from obstore import exceptions

        try:
            answer = _obstore().put(store, key, data, mode=mode, use_multipart=False)
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            return None
        except FileNotFoundError:
            if of is None:
                raise
            return None
        except (NotImplementedError, exceptions.NotSupportedError):
            if of is not None and _described(_obstore().head(store, key)).version != of.version:
                return None
            answer = _obstore().put(store, key, data, use_multipart=False)
        return _described({**answer, "size": len(data)})

    return _ask(url, put)


def below(url: str) -> dict[str, StoredObject]:
    """Name, from behind `url` and its slash, to object: all that lies below, sorted by name."""

    def listed(store: Any, key: str) -> dict[str, StoredObject]:
        prefix = key.rstrip("/")
        found = {}
        for chunk in _obstore().list(store, prefix or None, chunk_size=1000):
            for meta in chunk:
                name = meta["path"][len(prefix) :].lstrip("/") if prefix else meta["path"]
                if name:
                    found[name] = _described(meta)
        return dict(sorted(found.items()))

    return _ask(url, listed)


def within(url: str) -> dict[str, StoredObject]:
    """As `below`, without what lies deeper than one name: one page of 1,000 names is one request."""

    def listed(store: Any, key: str) -> dict[str, StoredObject]:
        answer = _obstore().list_with_delimiter(store, key.rstrip("/") or None)
        return dict(sorted((meta["path"].rpartition("/")[2], _described(meta)) for meta in answer["objects"]))

    return _ask(url, listed)


def remove(urls: Iterable[str]) -> None:
    """Delete objects of one bucket, many by one request; one that is not there is none."""
    urls = list(urls)
    keys = [_split(url)[1] for url in urls]
    if not keys:
        return

    def delete(store: Any, _: str) -> None:
        if urls[0].startswith("file://"):
            for key in keys:
                if os.path.isfile(f"/{key}"):
                    _obstore().delete(store, key)
        else:
            with suppress(FileNotFoundError):
                _obstore().delete(store, keys)

    _ask(urls[0], delete)


def blocks(url: str) -> Iterator[bytes]:
    """The bytes of an object, all of one version, in blocks of at most BLOCK_BYTES; only one is held."""
    stored = look(url)
    if stored is None:
        raise FileNotFoundError(errno.ENOENT, "no such object", url)
    for start in range(0, stored.size_bytes, BLOCK_BYTES):
        end = min(start + BLOCK_BYTES, stored.size_bytes)
        block, _ = read_range(url, start, end, stored.version)
        yield block


def _ask(url: str, request: Callable[[Any, str], Result]) -> Result:
    """What `request` makes of the client and the key, with patience, and with errors of our own."""

    def attempt() -> Result:
        with _own_errors(url):
            return request(client(_split(url)[0]), _split(url)[1])

    return patiently(attempt, url)


def _split(url: str) -> tuple[str, str]:
    """(scheme and bucket, key)."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _obstore() -> Any:
    import obstore

    return obstore


def _described(meta: Any) -> StoredObject:
    # Google lists ETags without the quotes that it has in headers.
    version = meta.get("e_tag")
    version = f'"{version}"' if version and '"' not in version else version or ""
    return StoredObject(size_bytes=int(meta["size"]), version=version, generation=meta.get("version"))


@contextmanager
def _own_errors(url: str) -> Iterator[None]:
    """obstore's errors, whose words fill pages, as Python's own and `StoreError`."""
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "no such object", url) from None
    except exceptions.PreconditionError:
        raise StoreError("changed while it was read", 412) from None
    except exceptions.BaseError as error:
        raise _own_error(str(error)) from None


def _own_error(text: str) -> OSError:
    found = _STATUS.search(text)
    status = int(found[1]) if found else None
    if _WRONG_REGION in text:
        return StoreError("the bucket is in another region; set AWS_REGION", 301)
    if status is not None:
        return StoreError(_words(text), status)
    if "HTTP error" in text or "Content-Range" in text or "response body" in text:
        return ConnectionError("no whole answer came")
    return StoreError(_words(text))


def _words(text: str) -> str:
    """What matters of obstore's words: status and code, or else its first line."""
    found, code = _STATUS.search(text), _CODE.search(text)
    if found:
        return f"{found[1]} {code[1] if code else found[2]}"
    return " ".join(text.split("Debug source")[0].split())[:200]
