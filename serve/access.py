"""`Access`: around every request, whatever it is: its id, its trace, and its line in the log. It knows routes by their patterns,
never what stands in a path or a query: that may be a user's name.
"""

from __future__ import annotations

import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.logs import request_id
from serve.tracing import Tracing

log = logging.getLogger("hangtag.access")

HEADER = b"x-request-id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNSENT = 0


class Access:
    """Answers have the id that the caller gave in X-Request-ID, or a new one."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self.app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(HEADER.decode(), "")
        # no secret; the system's random numbers would have this thread wait for the others
        identifier = given if _ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        token = request_id.set(identifier)
        status, begun = UNSENT, time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, identifier.encode())]
            await send(message)

        try:
            with self._tracing.request(headers) as known:
                try:
                    await self.app(scope, receive, answer)
                finally:
                    name = f"{scope['method']} {getattr(scope.get('route'), 'path', 'nowhere')}"
                    known(name, status)
                    took = 1000 * (time.perf_counter() - begun)
                    facts = {
                        "route": name,
                        "status": status,
                        "ms": round(took, 1),
                        "tenant": scope.get("state", {}).get("tenant", ""),
                    }
                    log.info("%s %d %.0f ms", name, status, took, extra=facts)
        finally:
            request_id.reset(token)
