"""`Services`: what routes work with, typed, where FastAPI's own state is anything. It knows no route and makes nothing itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hangtag.errors import NotAllowed
from serve.admission import Admission
from serve.auth import Caller, Doorkeeper
from serve.desk import DEADLINE, Desk
from serve.metrics import Metrics
from serve.readiness import Readiness
from serve.shelf import Shelf
from serve.suggester import Suggester
from serve.suggesters import Suggesters
from serve.tracing import Tracing

RETRY_SECONDS = 15.0
"""Until what an engine could not load is tried again."""


class Services:
    """What an application owns, and closes when it stops. `suggester` is the one that the server begins with; whatever answers
    callers asks at the `desk`, where adapters, turns, deadlines and metrics are."""

    def __init__(
        self,
        suggester: Suggester,
        *,
        door: Doorkeeper | None = None,
        shelf: Shelf | None = None,
        admission: Admission | None = None,
        tracing: Tracing | None = None,
        bundles: Path | None = None,
        adapters: Path | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        admission = admission or Admission()
        self.suggester = suggester
        self.door = door or Doorkeeper()
        self.shelf = shelf or Shelf()
        self.tracing = tracing or Tracing()
        self.metrics = Metrics(admission)
        self.suggesters = Suggesters(suggester, self.metrics, bundles=bundles, file=adapters)
        self.readiness = Readiness(suggester)
        self.desk = Desk(self.suggesters, admission, self.metrics, self.tracing, self.readiness, deadline)
        self._retrying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Get the store ready, and serve the adapters of before, now or when that can be. Raises `InvalidSettings`."""
        await self.shelf.start()
        await self.suggesters.restore()
        self._retrying = asyncio.create_task(self._retry())

    async def _retry(self) -> None:
        while self.suggesters.may_come:
            await asyncio.sleep(RETRY_SECONDS)
            await self.suggesters.retry()

    async def close(self) -> None:
        """Free what is held."""
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
        await self.suggesters.close()
        self.shelf.close()
        self.tracing.close()


# dependencies are coroutines, since FastAPI runs functions in threads, and that takes longer than all that they do


async def services_of(request: Request) -> Services:
    """Those of the application that the request came to."""
    services: Services = request.app.state.services
    return services


async def _suggester_of(services: Annotated[Services, Depends(services_of)]) -> Suggester:
    return services.suggester


async def _shelf_of(services: Annotated[Services, Depends(services_of)]) -> Shelf:
    return services.shelf


TheServices = Annotated[Services, Depends(services_of)]
TheSuggester = Annotated[Suggester, Depends(_suggester_of)]
TheShelf = Annotated[Shelf, Depends(_shelf_of)]
"""As parameters of a route."""


_bearer = HTTPBearer(auto_error=False, description="An API key; not needed where the server has none.")


async def _caller(
    request: Request, services: TheServices, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Caller:
    caller = await services.door.admit(given.credentials if given is not None else None)
    request.state.tenant = caller.tenant
    return caller


TheCaller = Annotated[Caller, Depends(_caller)]
"""As a parameter of a route: only callers that are let in get to it."""


async def _callers_suggester(services: TheServices, caller: TheCaller) -> Suggester:
    return services.suggesters.default(caller.tenant).suggester


TheCallersSuggester = Annotated[Suggester, Depends(_callers_suggester)]
"""As a parameter of a route: the one whose vocabulary the caller's tags are of."""


async def _admin(caller: TheCaller) -> Caller:
    if not caller.admin:
        raise NotAllowed("this needs an admin's key (hangtag keys add TENANT --admin)")
    return caller


TheAdmin = Annotated[Caller, Depends(_admin)]
