"""`BodyLimit`: how long a request's body may be, for whatever application stands behind it. It knows no route."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1024 * 1024


class BodyLimit:
    """Refuses bodies over MAX_BODY_BYTES when they are read: by what they say they have, and by what comes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(said) if said.isdigit() and int(said) > MAX_BODY_BYTES else 0

        async def counted() -> Message:
            nonlocal received
            if received <= MAX_BODY_BYTES:
                message = await receive()
                received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body is over {MAX_BODY_BYTES:,} bytes; send less text")
            return message

        await self.app(scope, counted, send)
