"""`Readiness`: whether the engine answers, asked no more than is needed. It knows an answer of one tag, and nobody's listing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from hangtag.errors import HangtagError
from hangtag.listing import Listing
from serve.compiling import shared_languages
from serve.suggester import Suggester, SuggestionRequest

PROBE_SECONDS = 10.0
"""How long a ready engine may take for an answer of one tag."""

FRESH_SECONDS = 2.0
"""How long what was found holds: whoever asks more often, and anybody can, costs nothing more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` says why the engine is not ready, "" if it is."""

    reason: str
    at: float


class Readiness:
    """Of one engine, which is asked through a suggester; callers who come together share a question."""

    def __init__(self, suggester: Suggester) -> None:
        self._suggester = suggester
        self._latest: Finding | None = None
        self._asking: asyncio.Task[Finding] | None = None

    def answered(self) -> None:
        """A caller was answered, which is proof enough: an engine that is busy is not asked besides."""
        self._latest = Finding("", time.monotonic())

    async def reason(self) -> str:
        """Why the engine is not ready, "" if it is."""
        if self._latest is not None and time.monotonic() - self._latest.at < FRESH_SECONDS:
            return self._latest.reason
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return (await asyncio.shield(self._asking)).reason

    async def _ask(self) -> Finding:
        language = shared_languages(self._suggester.bundle, self._suggester.vocabulary)[0]
        probe = SuggestionRequest(Listing(title="ready?", language=language), max_tags=1, explain=False)
        reason = ""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._suggester.suggest(probe)
        except TimeoutError:
            reason = f"the engine gave no answer in {PROBE_SECONDS:g} seconds"
        except HangtagError as error:
            reason = str(error)
        self._latest = Finding(reason, time.monotonic())
        return self._latest
