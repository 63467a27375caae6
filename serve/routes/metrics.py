"""`GET /metrics`: the server's own metrics and those of the library under the engine. It knows texts, no meaning of any."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from serve.engines.engine import ServingEngine
from serve.state import TheAdmin, TheServices

router = APIRouter()


@router.get("/metrics", response_class=PlainTextResponse, summary="Metrics in Prometheus' text format")
async def metrics(_: TheAdmin, services: TheServices) -> PlainTextResponse:
    """`hangtag:` are the server's, `vllm:` the engine's."""
    engine = services.suggester.engine
    beneath = await engine.metrics() if isinstance(engine, ServingEngine) else ""
    return PlainTextResponse(services.metrics.text() + beneath, media_type=CONTENT_TYPE_PLAIN_0_0_4)
