"""`KeyFile`: API keys in a file, by their hashes, and to which tenant each belongs. It knows no HTTP.

A key is `ht_`, an id of 8 hexadecimal digits and 256 random bits. With so many bits a single SHA-256 can't be guessed back, and
looking a key up is cheap enough for every request; the id finds the one hash to compare with, in constant time.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hangtag.errors import InvalidInput, InvalidSettings, UnknownKey
from hangtag.files import whole

log = logging.getLogger("hangtag.serve")

LOCAL_TENANT = "default"
"""Everybody, where there are no keys."""

FORMAT = 1
_KEY = re.compile(r"ht_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NOBODY = "0" * 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. `sha256` is of the whole key, which is known only to whom it was given. `admin` may load adapters and
    see metrics. `rate` is how often it may ask, such as 100/second; "" for the server's own limit. `revoked` is when, or ""."""

    id: str
    tenant: str
    sha256: str
    created: str
    admin: bool = False
    rate: str = ""
    revoked: str = ""


class KeyFile:
    """The keys of a file, read again whenever it changes: a key that is revoked is refused from the next request on."""

    def __init__(self, path: Path) -> None:
        """Raises `InvalidSettings` for a file that is not there or is none."""
        self.path = path
        self._keys: Mapping[str, Key] = {}
        self._trouble = ""
        self._stamp = self._stamped()
        self._keys = read_keys(path)

    def find(self, secret: str) -> Key:
        """The key that is written so. Raises `UnknownKey`, for one that was revoked too."""
        self._refresh()
        match = _KEY.fullmatch(secret)
        key = self._keys.get(match[1]) if match else None
        expected = key.sha256 if key is not None else _NOBODY
        if not hmac.compare_digest(_hash(secret), expected) or key is None or key.revoked:
            raise UnknownKey("the API key is not known, or it was revoked; ask for a new one")
        return key

    def _refresh(self) -> None:
        """A file that breaks while the server runs changes nothing: the keys that were good stay good. One that can't be read is
        tried again at each request, since it may say that a key is good no longer."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        try:
            self._keys = read_keys(self.path)
            self._trouble = ""
        except InvalidSettings as error:
            if str(error) != self._trouble:
                log.error("the keys stay as they were: %s", error)
            self._trouble = str(error)
            if isinstance(error.__cause__, OSError):
                return
        self._stamp = stamp

    def _stamped(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino


def read_keys(path: Path) -> dict[str, Key]:
    """The keys of a file by id, in the order in which they were given out. Raises `InvalidSettings`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"the format is not {FORMAT}")
        keys = {record["id"]: Key(**record) for record in data["keys"]}
        for key in keys.values():
            if not all(isinstance(value, bool if name == "admin" else str) for name, value in asdict(key).items()):
                raise TypeError(f"a value of the key {key.id} is of the wrong type")
    except FileNotFoundError as error:
        raise InvalidSettings(f"{path}: no keys here; make one: hangtag keys add TENANT", field="keys") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidSettings(f"{path}: these are no API keys: {type(error).__name__}: {error}", field="keys") from error
    return keys


def add_key(path: Path, tenant: str, *, admin: bool = False, rate: str = "") -> tuple[Key, str]:
    """A new key and how it is written, which is kept nowhere; makes the file. Raises `InvalidInput`, `InvalidSettings`."""
    if not _TENANT.fullmatch(tenant):
        raise InvalidInput(f"{tenant!r} is no name for a tenant; use a-z, 0-9, . _ - (63 at most)", field="tenant")
    if tenant == LOCAL_TENANT:
        raise InvalidInput(f"{tenant!r} is who asks a server without keys; give the tenant another name", field="tenant")

    def add(keys: dict[str, Key]) -> tuple[Key, str]:
        id = next(id for id in iter(lambda: secrets.token_hex(4), "") if id not in keys)
        secret = f"ht_{id}_{secrets.token_urlsafe(32)}"
        keys[id] = Key(id, tenant, _hash(secret), _now(), admin, rate)
        return keys[id], secret

    return _change(path, add)


def revoke_key(path: Path, id: str) -> Key:
    """The key, which is good for nothing from now on. Raises `InvalidInput` for an unknown id, `InvalidSettings`."""

    def revoke(keys: dict[str, Key]) -> Key:
        if id not in keys:
            raise InvalidInput(f"there is no key {id!r}; hangtag keys list shows their ids", field="id")
        keys[id] = replace(keys[id], revoked=keys[id].revoked or _now())
        return keys[id]

    return _change(path, revoke)


def _change(path: Path, change: Callable[[dict[str, Key]], T]) -> T:
    """What `change` makes of the keys, written whole or not at all, by one process at a time, for the eyes of the file's owner,
    who stays the owner whoever changes it. Raises `OutputError`."""
    with _locked(path):
        owner = path.stat() if path.exists() else None
        keys = read_keys(path) if owner is not None else {}
        result = change(keys)
        content = {"format": FORMAT, "keys": [asdict(key) for key in keys.values()]}
        with whole(path) as partial:
            partial.touch(0o600)
            if owner is not None:
                os.chown(partial, owner.st_uid, owner.st_gid)
            partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return result


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
