"""Names that come from outside: of tenants, users and products, checked, and how users are called in the store. It knows no
table.

With a key users are stored under HMAC-SHA256 of tenant and user: whoever reads the database without the key learns no user's
id, and can't tell that users of two tenants are the same person. The same key has to be given ever after.
"""

from __future__ import annotations

import hashlib
import hmac

from hangtag.errors import InvalidInput
from hangtag.text import first_control
from serve.store.tables import MOST_NAME


def checked_name(name: str, what: str, error: type[InvalidInput], *, field: str | None = None) -> str:
    """The name, if it is one: 1 to MOST_NAME characters, no control characters, line feeds among them. Raises `error`."""
    field = field or what
    if not name.strip():
        raise error(f"the {what} is empty", field=field)
    if len(name) > MOST_NAME:
        raise error(f"the {what} has {len(name):,} characters, at most {MOST_NAME} are allowed", field=field)
    if not (name.isascii() and name.isprintable()):
        offset = first_control(name)
        offset = next((at for at, each in enumerate(name) if each in "\n\r\t"), None) if offset is None else offset
        if offset is not None:
            raise error(f"the {what} has a control character at offset {offset}; remove it", field=field)
    return name


class UserNames:
    """How users are called in the store; without a key as they are called outside."""

    def __init__(self, key: str | None = None) -> None:
        self._key = key.encode() if key else None

    def stored(self, tenant: str, user: str) -> str:
        """The name of the tenant's user in the store."""
        if self._key is None:
            return user
        return hmac.new(self._key, f"{tenant}\0{user}".encode(), hashlib.sha256).hexdigest()
