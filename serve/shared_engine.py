"""`SharedEngine`: an engine as one suggester sees it, among several that use it. It knows which adapter and whose cache, and no
prompt.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from serve.engines.engine import Engine, Generation, GenerationRequest, pieces_of
from serve.metrics import Metrics, Tokens


@dataclass(frozen=True, slots=True)
class SharedEngine:
    """Sends every request with the adapter and the salt, and counts it. Others use the engine too: closing closes nothing."""

    engine: Engine
    metrics: Metrics
    adapter: str | None = None
    cache_salt: str = ""

    async def generate(self, request: GenerationRequest) -> Generation:
        """See `Engine`."""
        begun = time.perf_counter()
        generation = await self.engine.generate(self._own(request))
        self._count(request, len(generation.ids), generation.cached, begun)
        return generation

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
        """See `StreamingEngine`."""
        begun, tokens, cached = time.perf_counter(), 0, None
        async with aclosing(pieces_of(self.engine, self._own(request))) as pieces:
            async for piece in pieces:
                if not tokens:
                    self.metrics.first_token()
                tokens += len(piece.ids)
                cached = piece.cached if cached is None else cached
                yield piece
        self._count(request, tokens, cached, begun)

    async def close(self) -> None:
        """Closes nothing."""

    def _own(self, request: GenerationRequest) -> GenerationRequest:
        return replace(request, adapter=self.adapter, cache_salt=self.cache_salt)

    def _count(self, request: GenerationRequest, generated: int, cached: int | None, begun: float) -> None:
        self.metrics.generated(Tokens(len(request.prompt), generated, cached), time.perf_counter() - begun)
