"""`POST /v1/events`: what users did. It never logs who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from serve.routes.parts import Parts
from serve.state import TheCaller, TheCallersSuggester, TheShelf
from serve.store_schemas import EVENT_EXAMPLE, EventsBody, OneOrManyEvents, TakenBody

router = APIRouter()

EXAMPLES = {
    "one": {"summary": "One event", "value": EVENT_EXAMPLE},
    "many": {"summary": "Many", "value": {"events": [EVENT_EXAMPLE, {**EVENT_EXAMPLE, "idempotency_key": "order-7001-2"}]}},
}


@router.post("/v1/events", summary="Take in what users did")
async def take_in(
    caller: TheCaller,
    body: Annotated[OneOrManyEvents, Body(openapi_examples=EXAMPLES)],
    suggester: TheCallersSuggester,
    shelf: TheShelf,
) -> TakenBody:
    """One event, or `events`: all of them or none. When this returns, they are in the profiles of their users. Order does not
    matter, and an event that comes again counts once."""
    given = body.events if isinstance(body, EventsBody) else [body]
    parts = Parts("events", len(given), alone=not isinstance(body, EventsBody))
    with parts.told():
        events = parts.each(given, lambda each: each.event(suggester.vocabulary))
        return TakenBody.of(await shelf.add_events(caller.tenant, events))
