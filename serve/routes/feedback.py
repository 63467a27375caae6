"""`POST /v1/feedback`: what became of a suggestion. It never logs a listing's text."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from serve.learning import corrected, learn
from serve.state import TheCaller, TheCallersSuggester, TheShelf
from serve.store_schemas import FEEDBACK_EXAMPLE, DoneBody, FeedbackBody

router = APIRouter()


@router.post("/v1/feedback", summary="Say which suggested tags are right")
async def give(
    caller: TheCaller,
    body: Annotated[FeedbackBody, Body(openapi_examples={"feedback": {"summary": "Feedback", "value": FEEDBACK_EXAMPLE}})],
    suggester: TheCallersSuggester,
    shelf: TheShelf,
) -> DoneBody:
    """Later feedback on a suggestion replaces earlier. The memory learns the tags of the listing; where a user's interests were
    in the suggestion, they like what is right and not what was rejected."""
    vocabulary = suggester.vocabulary
    made = await shelf.use(lambda store: store.suggestion(caller.tenant, body.suggestion))
    feedback = body.feedback(vocabulary, made.suggested)
    recorded = await shelf.use(lambda store: store.give_feedback(caller.tenant, body.suggestion, feedback))
    product = await shelf.use(lambda store: corrected(store, caller.tenant, recorded, feedback, vocabulary))
    return DoneBody(notices=(await learn(suggester.memory, caller.tenant, [product]))[1] if product is not None else [])
