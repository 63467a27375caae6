"""Answers as server-sent events, and work that ends when its client goes away. It knows bodies and connections, no model.

Events: `tag` for every tag as it is decided, then `answer` with everything, or `error` where it fails on the way. An engine that
gives no pieces has its tags come together, with the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel

from hangtag.errors import Cancelled, HangtagError
from hangtag.suggestion import TagSuggestion
from serve.schemas import AnswerBody, ErrorBody, TagBody

log = logging.getLogger("hangtag.serve")

PATIENCE = 15.0
"""Seconds of silence before a sign of life, since proxies end connections that are silent."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nobody on the way may keep an event to itself."""

T = TypeVar("T")
Tell = Callable[[TagSuggestion], object]


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled once nobody waits for it. The body was read before. Raises `Cancelled`."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Cancelled("the client went away before the answer was ready")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def streamed(request: Request, work: Callable[[Tell], Coroutine[Any, Any, AnswerBody]]) -> StreamingResponse:
    """The events of `work`, which tells of tags on its way. What fails before the first event is raised, for a status of its own.
    Raises what the work raises, and `Cancelled`."""
    told: asyncio.Queue[TagSuggestion | None] = asyncio.Queue()
    task = asyncio.create_task(work(told.put_nowait))
    task.add_done_callback(lambda _: told.put_nowait(None))
    try:
        first = await while_connected(request, told.get())
        if first is None:
            task.result()
    except BaseException:
        task.cancel()
        raise
    return StreamingResponse(_events(first, told, task), headers=HEADERS, media_type="text/event-stream")


async def _events(
    first: TagSuggestion | None, told: asyncio.Queue[TagSuggestion | None], task: asyncio.Task[AnswerBody]
) -> AsyncGenerator[bytes, None]:
    try:
        chunk = _event("tag", TagBody.of(first)) if first is not None else None
        while chunk is not None:
            yield chunk
            chunk = await _chunk(told)
        yield _event("answer", task.result())
    except HangtagError as error:
        yield _event("error", ErrorBody.of(error))
    except Exception as error:
        log.exception("a stream failed: %s", type(error).__name__)
        yield _event("error", ErrorBody.of_defect())
    finally:
        task.cancel()


async def _chunk(told: asyncio.Queue[TagSuggestion | None]) -> bytes | None:
    """The next tag, or a sign of life; None when there are no more."""
    try:
        found = await asyncio.wait_for(told.get(), PATIENCE)
    except TimeoutError:
        return KEEPALIVE_COMMENT
    return _event("tag", TagBody.of(found)) if found is not None else None


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _event(name: str, body: BaseModel) -> bytes:
    return format_sse_event(event=name, data_str=body.model_dump_json())
