"""An engine without a model that does all that a server asks of one: it walks to a valid answer, holds it back if it is told to,
and knows what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from hangtag.errors import EngineError, InvalidInput
from hangtag.state import Phase
from serve.engines.engine import Generation, GenerationRequest


class WalkingEngine:
    """Takes the first token that is allowed, each time waiting until the `gate` is open, and fails after `fails_after` tokens.
    One that `abstains` ends its tags as soon as it may."""

    def __init__(self, *, is_open: bool = True, fails_after: int | None = None, abstains: bool = False) -> None:
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()
        self.fails_after = fails_after
        self.abstains = abstains
        self.requests: list[GenerationRequest] = []
        self.adapters: dict[str, Path] = {}
        self.unloaded: list[str] = []
        self.running = self.cancelled = self.closed = 0

    async def generate(self, request: GenerationRequest) -> Generation:
        whole = Generation((), ())
        async for piece in self.stream(request):
            whole += piece
        return whole

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Generation, None]:
        if request.adapter is not None and request.adapter not in self.adapters:
            raise InvalidInput(f"no adapter {request.adapter}")
        self.requests.append(request)
        self.running += 1
        try:
            constraint = request.constraint()
            state, pieces = constraint.start(), 0
            while state.phase is not Phase.DONE:
                await self.gate.wait()
                if pieces == self.fails_after:
                    raise EngineError("out of memory; use a smaller batch")
                tokens = constraint.allowed(state).tokens.tolist()
                token = request.codec.separator_id if self.abstains and request.codec.separator_id in tokens else tokens[0]
                state = constraint.advance(state, token)
                pieces += 1
                yield Generation((token,), (-0.1,), (token,), cached=len(request.prompt) - 1)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def load_adapter(self, name: str, directory: Path) -> None:
        if name in self.adapters or name in self.unloaded:
            raise InvalidInput(f"the name {name} was given before")
        self.adapters[name] = directory

    async def unload_adapter(self, name: str) -> None:
        del self.adapters[name]
        self.unloaded.append(name)

    def troubles(self) -> tuple[str, ...]:
        return ()

    async def metrics(self) -> str:
        return '# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine="0"} 0.0\n'

    async def close(self) -> None:
        self.closed += 1
