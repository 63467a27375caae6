"""Whether the server is alive and ready. It knows what it is told, and asks no model itself."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from serve.engines.engine import ServingEngine
from serve.schemas import HealthBody
from serve.state import TheServices

router = APIRouter()


@router.get("/healthz", summary="Whether the server is alive")
async def healthz() -> HealthBody:
    """Asks the model nothing."""
    return HealthBody(status="alive")


@router.get("/readyz", summary="Whether the engine answers", responses={503: {"model": HealthBody, "description": "Not now."}})
async def readyz(services: TheServices, response: Response) -> HealthBody:
    """Has the model answer with one tag, unless it answered somebody just now."""
    engine = services.suggester.engine
    troubles = [*services.suggesters.troubles(), *(engine.troubles() if isinstance(engine, ServingEngine) else ())]
    reason = await services.readiness.reason()
    if reason:
        response.status_code = 503
    return HealthBody(status="not ready" if reason else "ready", reason=reason, troubles=troubles)
