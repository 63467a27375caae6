"""`Services`: what routes work with, typed, where FastAPI's own state is anything. It knows no route and makes nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from serve.suggester import Suggester


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """What an application owns, and closes when it stops."""

    suggester: Suggester

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
