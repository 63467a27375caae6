"""`/v1/adapters`: bundles that are served, brought in, made somebody's default and taken away while requests run. It knows their
names; where they are is the operator's to say.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from serve.auth import Caller
from serve.schemas import VocabularyBody
from serve.state import TheAdmin, TheCaller, TheServices
from serve.suggesters import Served, Suggesters
from serve.wire import Listed, Wire

router = APIRouter(prefix="/v1/adapters")

MOST_TENANTS = 1000


class LoadBody(Wire):
    """A bundle to serve."""

    bundle: str = Field(description="Its directory's name in the server's directory of bundles.")
    tenants: Listed[str] = Field(default=[], max_length=MOST_TENANTS, description="For whom; empty: for all.")
    default: bool = Field(default=False, description="Whether it answers their requests that name no adapter, from now on.")


class DefaultBody(Wire):
    """Whose default an adapter becomes."""

    tenants: Listed[str] = Field(default=[], max_length=MOST_TENANTS, description="Empty: of all who have none of their own.")


class AdapterBody(Wire):
    """A bundle that is served. Its name is what answers give as `model`."""

    name: str
    vocabulary: VocabularyBody
    languages: list[str]
    default: bool = Field(description="Whether it answers your requests that name no adapter.")
    bundle: str | None = Field(description="Its directory; null for what the server began with. For admins.")
    tenants: list[str] | None = Field(description="Who may use it, empty: all. For admins.")

    @classmethod
    def of(cls, served: Served, suggesters: Suggesters, caller: Caller) -> AdapterBody:
        """As the caller may see it."""
        suggester = served.suggester
        return cls(
            name=served.name,
            vocabulary=VocabularyBody(name=suggester.vocabulary.name, hash=suggester.vocabulary.hash),
            languages=list(suggester.bundle.languages),
            default=suggesters.default(caller.tenant) is served,
            bundle=served.directory or None if caller.admin else None,
            tenants=sorted(served.tenants) if caller.admin else None,
        )


class AdaptersBody(Wire):
    """All that a caller may use."""

    adapters: list[AdapterBody]


@router.get("", summary="The adapters that you may use")
async def adapters(caller: TheCaller, services: TheServices) -> AdaptersBody:
    """In the order in which they were loaded."""
    served = services.suggesters.of(caller)
    return AdaptersBody(adapters=[AdapterBody.of(one, services.suggesters, caller) for one in served])


@router.post("", status_code=201, summary="Serve a bundle")
async def load(caller: TheAdmin, services: TheServices, body: LoadBody) -> AdapterBody:
    """Its adapter, prompt, vocabulary and calibration come together. Nothing waits for it, and nothing is dropped."""
    served = await services.suggesters.load(body.bundle, body.tenants)
    if body.default:
        await services.suggesters.make_default(served.name, body.tenants)
    return AdapterBody.of(served, services.suggesters, caller)


@router.put("/{name}/default", summary="Make an adapter the default, also to roll back")
async def make_default(name: str, caller: TheAdmin, services: TheServices, body: DefaultBody) -> AdapterBody:
    """Requests that begin later get it; those that run keep what they began with."""
    served = await services.suggesters.make_default(name, body.tenants)
    return AdapterBody.of(served, services.suggesters, caller)


@router.delete("/{name}", status_code=204, summary="Serve a bundle no longer")
async def unload(name: str, _: TheAdmin, services: TheServices) -> Response:
    """Answers when the last request that uses it is done."""
    await services.suggesters.unload(name)
    return Response(status_code=204)
