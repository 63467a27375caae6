"""`POST /v1/events`: what users did. It never logs who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from hangtag.errors import BatchTooLong, InvalidHistory
from serve.state import TheCaller, TheCallersSuggester, TheShelf
from serve.store_schemas import EVENT_EXAMPLE, EventsBody, OneOrManyEvents, TakenBody

MOST_EVENTS = 1_000

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
    if len(given) > MOST_EVENTS:
        message = f"{len(given):,} events at once, at most {MOST_EVENTS:,} are taken; send them in parts"
        raise BatchTooLong(message, field="events")
    events = []
    for position, each in enumerate(given):
        try:
            events.append(each.event(suggester.vocabulary))
        except InvalidHistory as error:
            place = f"events[{position}]"
            raise InvalidHistory(f"{place}: {error}", field=f"{place}.{error.field}") from error
    return TakenBody.of(await shelf.use(lambda store: store.add_events(caller.tenant, events)))
