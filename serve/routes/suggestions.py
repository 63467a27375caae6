"""`POST /v1/suggestions`: a listing in, tags and a reason out, whole or as they are decided. It never logs a listing's text."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response

from serve.personal import Visit
from serve.schemas import REQUEST_EXAMPLES, AnswerBody, SuggestionBody
from serve.state import TheCaller, TheServices
from serve.streaming import Tell, streamed, while_connected
from serve.suggester import Suggester, SuggestionRequest

router = APIRouter()

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer; with `stream` events: `tag` for each, then `answer`."}
}


@router.post("/v1/suggestions", summary="Suggest tags for a listing", response_model=AnswerBody, responses=EVENTS)
async def suggest(
    caller: TheCaller,
    services: TheServices,
    request: Request,
    body: Annotated[SuggestionBody, Body(openapi_examples=REQUEST_EXAMPLES)],
    stream: Annotated[bool, Query(description="Whether tags come as they are decided, as server-sent events.")] = False,
) -> AnswerBody | Response:
    """Every tag of the answer exists in the vocabulary; the explanation quotes the listing only."""

    visit = Visit(services.shelf, caller.tenant, body.user)

    async def ask(suggester: Suggester) -> SuggestionRequest:
        return await visit.begin(body.request(suggester.vocabulary), suggester.vocabulary)

    async def answer(tell: Tell | None = None) -> AnswerBody:
        suggestion = await services.desk.suggest(caller, ask, adapter=body.adapter, timeout=body.timeout, tell=tell)
        return AnswerBody.of(*await visit.end(suggestion))

    return await streamed(request, answer) if stream else await while_connected(request, answer())
