"""A server that only its own machine can reach: which addresses are such, and which names it has there. It knows no key.

A page on another site can have a name of its own lead to 127.0.0.1 and then read what a browser on this machine reads there (DNS
rebinding); so a server without keys answers to the names of this machine only.
"""

from __future__ import annotations

import ipaddress
import re

from fastapi import Request

from hangtag.errors import NotAllowed

_HOST = re.compile(r"(\[[0-9a-f:]+\]|[^:]+)(:\d+)?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_name(request: Request) -> None:
    """As a dependency of every route: raises `NotAllowed` where the server is called by a name that is not this machine's own."""
    called = _HOST.fullmatch(request.headers.get("host", ""))
    if called is None or not is_loopback(called[1]):
        raise NotAllowed("without keys this server answers to the names of this machine only, such as localhost")
