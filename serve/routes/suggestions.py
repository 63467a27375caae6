"""`POST /v1/suggestions`: a listing in, tags and a reason out. It never logs a listing's text."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Request

from hangtag.errors import Cancelled
from serve.schemas import REQUEST_EXAMPLES, AnswerBody, SuggestionBody
from serve.state import TheCaller, TheSuggester

log = logging.getLogger("hangtag.serve")

POLL_SECONDS = 0.1
"""How often a client is looked after while its answer is being generated."""

T = TypeVar("T")
router = APIRouter()


@router.post("/v1/suggestions", summary="Suggest tags for a listing")
async def suggest(
    caller: TheCaller,
    body: Annotated[SuggestionBody, Body(openapi_examples=REQUEST_EXAMPLES)],
    request: Request,
    suggester: TheSuggester,
) -> AnswerBody:
    """Every tag of the answer exists in the vocabulary; the explanation quotes the listing only."""
    started = time.perf_counter()
    suggestion = await _while_connected(request, suggester.suggest(body.request(suggester.vocabulary)))
    log.info("%d tags, language %s, %.0f ms", len(suggestion.tags), suggestion.language, 1000 * (time.perf_counter() - started))
    return AnswerBody.of(suggestion)


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled once nobody waits for it. Raises `Cancelled`."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=POLL_SECONDS))[0]:
            if await request.is_disconnected():
                raise Cancelled("the client went away before the answer was ready")
        return task.result()
    finally:
        task.cancel()
