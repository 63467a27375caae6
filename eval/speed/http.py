"""Requests to a server on this machine, with little enough code that it is not what is measured. It knows HTTP/1.1, no route."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Connection:
    """Requests one after the other on a connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """To this machine. Raises `OSError`."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and the body's JSON (None where it is empty). Raises `OSError`, `EOFError` for a connection that breaks."""
        content = json.dumps(body).encode() if body is not None else b""
        head = (
            f"{method} {path} HTTP/1.1",
            "host: localhost",
            "content-type: application/json",
            f"content-length: {len(content)}",
        )
        self._writer.write("\r\n".join((*head, "", "")).encode() + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int((answer.partition("content-length:")[2] or "0").split("\r\n")[0])
        found = await self._reader.readexactly(length)
        return int(answer.split(" ", 2)[1]), json.loads(found) if found else None

    def close(self) -> None:
        """Without a word."""
        self._writer.close()
