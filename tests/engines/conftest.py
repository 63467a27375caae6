"""Codecs over a tokenizer of words, fake servers, and the engine over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest

from hangtag.answer import AnswerCodec
from serve.engines.fleet import Fleet
from serve.engines.home import HomeLoop
from serve.engines.remote import RemoteEngine
from serve.engines.server import Server
from tests.engines.fake_vllm import FakeVllm
from tests.fakes import codec_of, vocabulary_of

CONTEXT = 512


@pytest.fixture(scope="session")
def codec() -> AnswerCodec:
    return codec_of(vocabulary_of("linen", "linen shirt", "shirt", "wool", "cotton", "shoes"), ["linen", "shirt", "wool"])


@pytest.fixture
def connect() -> Iterator[Callable[..., RemoteEngine]]:
    """Makes an engine over fake servers, which are http://0, http://1 and so on; None is one that is down."""
    engines: list[RemoteEngine] = []

    def made(*servers: FakeVllm | None, check_seconds: float = 3600.0) -> RemoteEngine:
        home = HomeLoop("test")

        async def start() -> Fleet:
            transports = [Wire(server) for server in servers]
            fleet = Fleet(
                [Server(f"http://{number}", transport=transport) for number, transport in enumerate(transports)],
                CONTEXT,
                check_seconds=check_seconds,
            )
            await fleet.start()
            return fleet

        engines.append(RemoteEngine(home.wait(start()), home, CONTEXT))
        return engines[-1]

    yield made
    for engine in engines:
        asyncio.run(engine.close())


class Wire(httpx.AsyncBaseTransport):
    """To a server, while it is there."""

    def __init__(self, server: FakeVllm | None) -> None:
        self._server = server
        self._transport = httpx.ASGITransport(server.app) if server is not None else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._server is None or self._transport is None or not self._server.is_there:
            raise httpx.ConnectError("connection refused")
        return await self._transport.handle_async_request(request)
