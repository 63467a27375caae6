"""The HTTP edge as a whole: routers put together, and the one table from domain errors to status codes. It knows no model and
never logs a listing's text; nothing happens before `create_app`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from hangtag.errors import (
    AdapterConflict,
    BatchTooLong,
    Cancelled,
    DeadlineExceeded,
    EngineError,
    HangtagError,
    InvalidBundle,
    InvalidCalibration,
    InvalidInput,
    InvalidMemory,
    ListingTooLong,
    NotAllowed,
    OutputError,
    Overloaded,
    StoreUnavailable,
    UnknownAdapter,
    UnknownItem,
    UnknownKey,
)
from serve.access import Access
from serve.body_limit import BodyLimit
from serve.loopback import check_name
from serve.routes import adapters, catalogue, events, feedback, health, metrics, page, recommendations, suggestions, users
from serve.schemas import ErrorBody, ErrorDetail
from serve.state import Services

log = logging.getLogger("hangtag.serve")

CLIENT_CLOSED_REQUEST = 499
STATUS: tuple[tuple[type[HangtagError], int], ...] = (
    (ListingTooLong, 413),
    (BatchTooLong, 413),
    (UnknownAdapter, 404),
    (UnknownItem, 404),
    (AdapterConflict, 409),
    (InvalidInput, 422),
    (InvalidBundle, 422),
    (InvalidCalibration, 422),
    (UnknownKey, 401),
    (NotAllowed, 403),
    (Overloaded, 429),
    (StoreUnavailable, 503),
    (InvalidMemory, 503),
    (OutputError, 507),
    (EngineError, 503),
    (DeadlineExceeded, 504),
    (Cancelled, CLIENT_CLOSED_REQUEST),
)
"""The first that fits; whatever is not here is a bug, 500."""

ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "No API key, or one that is not known."},
    413: {"model": ErrorBody, "description": "The listing, or the body, is too long."},
    422: {"model": ErrorBody, "description": "The request is wrong; the message says what and where."},
    429: {"model": ErrorBody, "description": "Too much at once; Retry-After says when there is room."},
    503: {"model": ErrorBody, "description": "The engine, the store or the memory failed."},
    504: {"model": ErrorBody, "description": "The answer was not ready in time."},
}


ADAPTER_ERRORS: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorBody, "description": "The key is not an admin's."},
    404: {"model": ErrorBody, "description": "No such adapter."},
    409: {"model": ErrorBody, "description": "Not as things stand: a name that was another's, or somebody's default."},
}


def create_app(services: Services, *, is_local: bool = False) -> FastAPI:
    """The application around services, which it owns: they are closed at shutdown. One that `is_local` answers only to this
    machine's own names."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await services.start()
            yield
        finally:
            await services.close()

    app = FastAPI(
        title="hangtag",
        summary="Tags for product listings, from your vocabulary only",
        version="1",
        lifespan=lifespan,
        dependencies=[Depends(check_name)] if is_local else [],
    )
    app.state.services = services
    app.include_router(suggestions.router, responses=ERRORS)
    app.include_router(adapters.router, responses=ERRORS | ADAPTER_ERRORS)
    app.include_router(metrics.router, responses=ERRORS)
    for kept in (events, catalogue, feedback, recommendations, users):
        app.include_router(kept.router, responses=ERRORS)
    app.include_router(health.router)
    app.include_router(page.router)
    app.add_middleware(BodyLimit)
    app.add_middleware(Access, tracing=services.tracing)
    app.add_exception_handler(HangtagError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    return app


async def _domain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HangtagError)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    log.log(logging.ERROR if status >= 500 else logging.INFO, "%d %s", status, type(error).__name__)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, StoreUnavailable):
        headers["Retry-After"] = "1"
    return _response(status, ErrorBody.of(error), headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    known = getattr(request.scope.get("route"), "body_field", None)
    return _response(422, ErrorBody.of_validation(error.errors(), known.field_info.annotation if known is not None else None))


async def _http_error(_: Request, error: Exception) -> Response:
    """What the framework refuses by itself; a body that it can't read at all is invalid input like any other."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        detail = ErrorDetail(type="InvalidRequest", message="the body can't be read as JSON in UTF-8")
        return _response(422, ErrorBody(error=detail))
    name = "BodyTooLong" if error.status_code == 413 else HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return _response(error.status_code, ErrorBody(error=ErrorDetail(type=name, message=error.detail)), error.headers)


async def _bug(_: Request, error: Exception) -> Response:
    return _response(500, ErrorBody.of_defect())


def _response(status: int, body: ErrorBody, headers: Any = None) -> Response:
    """As JSON; lone surrogates, which a message may quote and UTF-8 does not have, become JSON's escapes."""
    content = json.dumps(body.model_dump(), ensure_ascii=False).encode(errors="backslashreplace")
    return Response(content, status, headers, media_type="application/json")
