"""How tests of the HTTP edge ask: within the process, and of a real server in a thread."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from serve.app import create_app
from serve.state import Services

PATH = "/v1/suggestions"
LISTING = {"title": "Linen shirt", "max_tags": 2}


@asynccontextmanager
async def asking(services: Services, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has started, in this event loop."""
    app = create_app(services)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://hangtag", **options) as client,
    ):
        yield client


@contextmanager
def served(app: FastAPI, **options: Any) -> Iterator[tuple[uvicorn.Server, str]]:
    """A real server in a thread and its address; it is stopped at the end."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield server, f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()
    assert not thread.is_alive()


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {secret}"}


def error_of(response: httpx.Response) -> dict[str, Any]:
    """What is wrong, in the one form that every error has."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"type", "message", "field"}
    error: dict[str, Any] = body["error"]
    return error


def events_of(text: str) -> list[tuple[str, Any]]:
    """The server-sent events of a text, by name; comments are passed over."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it is so, or something is wrong."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def until(condition: Callable[[], bool]) -> None:
    """`wait_for` beside other tasks."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
