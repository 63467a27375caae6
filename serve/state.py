"""`Services`: what routes work with, typed, where FastAPI's own state is anything. It knows no route and makes nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hangtag.errors import NotAllowed
from serve.auth import Caller, Doorkeeper
from serve.suggester import Suggester


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """What an application owns, and closes when it stops."""

    suggester: Suggester
    door: Doorkeeper = field(default_factory=Doorkeeper)

    async def close(self) -> None:
        """Free what is held."""
        await self.suggester.engine.close()


def services_of(request: Request) -> Services:
    """Those of the application that the request came to."""
    services: Services = request.app.state.services
    return services


def _suggester_of(request: Request) -> Suggester:
    return services_of(request).suggester


TheServices = Annotated[Services, Depends(services_of)]
TheSuggester = Annotated[Suggester, Depends(_suggester_of)]
"""As parameters of a route."""


_bearer = HTTPBearer(auto_error=False, description="An API key; not needed where the server has none.")


async def _caller(services: TheServices, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> Caller:
    return await services.door.admit(given.credentials if given is not None else None)


TheCaller = Annotated[Caller, Depends(_caller)]
"""As a parameter of a route: only callers that are let in get to it."""


def _admin(caller: TheCaller) -> Caller:
    if not caller.admin:
        raise NotAllowed("this needs an admin's key (hangtag keys add TENANT --admin)")
    return caller


TheAdmin = Annotated[Caller, Depends(_admin)]
