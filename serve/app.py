"""The HTTP edge: routes, and the one table from domain errors to status codes. It knows no model and never logs a listing's text;
nothing happens before `create_app`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hangtag.errors import Cancelled, EngineError, HangtagError, InvalidInput, ListingTooLong
from hangtag.listing import Listing
from serve.schemas import REQUEST_EXAMPLES, AnswerBody, ErrorBody, ErrorDetail, HealthBody, SuggestionBody
from serve.suggester import Suggester, SuggestionRequest

log = logging.getLogger("hangtag.serve")

MAX_BODY_BYTES = 1024 * 1024
POLL_SECONDS = 0.1
"""How often a client is looked after while its answer is being generated."""

PROBE_SECONDS = 10.0
"""How long a ready engine may take for an answer of one tag."""

CLIENT_CLOSED_REQUEST = 499
STATUS: tuple[tuple[type[HangtagError], int], ...] = (
    (ListingTooLong, 413),
    (InvalidInput, 422),
    (EngineError, 503),
    (Cancelled, CLIENT_CLOSED_REQUEST),
)
"""The first that fits; whatever is not here is a bug, 500."""

ERRORS: dict[int | str, dict[str, Any]] = {
    413: {"model": ErrorBody, "description": "The listing, or the body, is too long."},
    422: {"model": ErrorBody, "description": "The request is wrong; the message says what and where."},
    503: {"model": ErrorBody, "description": "The engine failed."},
}

T = TypeVar("T")
router = APIRouter()


def create_app(suggester: Suggester) -> FastAPI:
    """The application around a suggester, which it owns: the engine is closed at shutdown."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await suggester.engine.close()

    app = FastAPI(title="hangtag", summary="Tags for product listings, from your vocabulary only", version="1", lifespan=lifespan)
    app.state.suggester = suggester
    app.include_router(router)
    app.add_middleware(BodyLimit)
    app.add_exception_handler(HangtagError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    return app


def _the_suggester(request: Request) -> Suggester:
    suggester: Suggester = request.app.state.suggester
    return suggester


TheSuggester = Annotated[Suggester, Depends(_the_suggester)]


@router.post("/v1/suggestions", responses=ERRORS, summary="Suggest tags for a listing")
async def suggest(
    body: Annotated[SuggestionBody, Body(openapi_examples=REQUEST_EXAMPLES)], request: Request, suggester: TheSuggester
) -> AnswerBody:
    """Every tag of the answer exists in the vocabulary; the explanation quotes the listing only."""
    started = time.perf_counter()
    suggestion = await _while_connected(request, suggester.suggest(body.request(suggester.vocabulary)))
    log.info("%d tags, language %s, %.0f ms", len(suggestion.tags), suggestion.language, 1000 * (time.perf_counter() - started))
    return AnswerBody.of(suggestion)


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


class BodyLimit:
    """Refuses bodies over MAX_BODY_BYTES when they are read: by what they say they have, and by what comes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        received = int(said) if said.isdigit() and int(said) > MAX_BODY_BYTES else 0

        async def counted() -> Message:
            nonlocal received
            if received <= MAX_BODY_BYTES:
                message = await receive()
                received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body is over {MAX_BODY_BYTES:,} bytes; send less text")
            return message

        await self.app(scope, counted, send)


async def _domain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HangtagError)
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    log.log(logging.ERROR if status >= 500 else logging.INFO, "%d %s", status, type(error).__name__)
    return _response(status, ErrorBody.of(error))


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(422, ErrorBody.of_validation(error.errors()))


async def _http_error(_: Request, error: Exception) -> Response:
    """What the framework refuses by itself; a body that it can't read at all is invalid input like any other."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        detail = ErrorDetail(type="InvalidRequest", message="the body can't be read as JSON in UTF-8")
        return _response(422, ErrorBody(error=detail))
    name = "BodyTooLong" if error.status_code == 413 else HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return _response(error.status_code, ErrorBody(error=ErrorDetail(type=name, message=error.detail)), error.headers)


async def _bug(_: Request, error: Exception) -> Response:
    message = "this is a defect of hangtag; the server's log says more"
    return _response(500, ErrorBody(error=ErrorDetail(type="InternalError", message=message)))


def _response(status: int, body: ErrorBody, headers: Any = None) -> Response:
    """As JSON; lone surrogates, which a message may quote and UTF-8 does not have, become JSON's escapes."""
    content = json.dumps(body.model_dump(), ensure_ascii=False).encode(errors="backslashreplace")
    return Response(content, status, headers, media_type="application/json")
