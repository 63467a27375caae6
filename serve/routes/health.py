"""Whether the server is alive and ready. It knows an answer of one tag, and nobody's listing."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from fastapi.responses import Response

from hangtag.errors import HangtagError
from hangtag.listing import Listing
from serve.schemas import HealthBody
from serve.state import TheSuggester
from serve.suggester import SuggestionRequest

PROBE_SECONDS = 10.0
"""How long a ready engine may take for an answer of one tag."""

router = APIRouter()


@router.get("/healthz", summary="Whether the server is alive")
async def healthz() -> HealthBody:
    """Asks the model nothing."""
    return HealthBody(status="alive")


@router.get("/readyz", summary="Whether the engine answers", responses={503: {"model": HealthBody, "description": "Not now."}})
async def readyz(suggester: TheSuggester, response: Response) -> HealthBody:
    """Has the model answer with one tag."""
    language = next(filter(suggester.vocabulary.speaks, suggester.bundle.languages))
    probe = SuggestionRequest(Listing(title="ready?", language=language), max_tags=1, explain=False)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await suggester.suggest(probe)
    except TimeoutError:
        reason = f"the engine gave no answer in {PROBE_SECONDS:g} seconds"
    except HangtagError as error:
        reason = str(error)
    else:
        return HealthBody(status="ready")
    response.status_code = 503
    return HealthBody(status="not ready", reason=reason)
