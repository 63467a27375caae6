"""`Desk`: where a listing is taken in, waits for its turn and is answered in time, counted all the while. Whatever route asks for
suggestions asks here; it knows no HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from hangtag.suggestion import Suggestion, TagSuggestion
from serve.admission import Admission, within
from serve.auth import Caller
from serve.metrics import Metrics
from serve.readiness import Readiness
from serve.suggester import Suggester, SuggestionRequest
from serve.suggesters import Suggesters
from serve.tracing import Tracing

DEADLINE = 60.0
"""Seconds that a request may take in all."""


class Desk:
    """One for a server."""

    def __init__(
        self,
        suggesters: Suggesters,
        admission: Admission,
        metrics: Metrics,
        tracing: Tracing,
        readiness: Readiness,
        deadline: float = DEADLINE,
    ) -> None:
        self.suggesters = suggesters
        self.admission = admission
        self._metrics = metrics
        self._tracing = tracing
        self._readiness = readiness
        self._deadline = deadline

    async def suggest(
        self,
        caller: Caller,
        ask: Callable[[Suggester], Awaitable[SuggestionRequest]],
        *,
        adapter: str | None = None,
        timeout: float | None = None,
        tell: Callable[[TagSuggestion], object] | None = None,
    ) -> Suggestion:
        """The answer to what `ask` makes for the suggester that is to answer: of `adapter`, or of the caller's default. `tell`
        hears each tag as it is decided. Raises what `Suggester.suggest` raises, `UnknownAdapter`, `Overloaded`, and
        `DeadlineExceeded` after `timeout` seconds, or the server's own if they are fewer."""
        seconds = min(timeout or self._deadline, self._deadline)
        until = time.monotonic() + seconds
        with self._metrics.request():
            async with within(seconds):
                # the bundle is held while waiting, so that who was let in is answered even if it is unloaded meanwhile
                with self.suggesters.using(caller, adapter) as suggester:
                    asked = await ask(suggester)
                    async with self.admission.turn(caller.tenant, until) as waited:
                        self._metrics.waited(waited)
                        with self._tracing.span("suggest", model=suggester.bundle.model, waited=waited):
                            suggestion = await _answer(suggester, asked, tell)
            self._readiness.answered()
            self._metrics.suggested(suggestion)
            return suggestion


async def _answer(suggester: Suggester, request: SuggestionRequest, tell: Callable[[TagSuggestion], object] | None) -> Suggestion:
    if tell is None:
        return await suggester.suggest(request)
    async with aclosing(suggester.stream(request)) as found:
        async for each in found:
            if isinstance(each, Suggestion):
                return each
            tell(each)
    raise AssertionError("a stream ends with its answer")
