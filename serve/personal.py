"""What a user is to a suggestion: interests before it, and a record of it after. Without the store the answer comes all the
same, and says what it lacks. It knows neither the wire nor tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hangtag.errors import InvalidListing, StoreUnavailable
from hangtag.suggestion import Suggestion
from serve.shelf import Shelf
from serve.store.names import checked_name
from serve.suggester import Suggester, SuggestionRequest


@dataclass(frozen=True, slots=True)
class Visit:
    """A suggestion for somebody: the request with their interests in it, and what is to be said of that. `user` is whose they
    are, None for nobody in particular, and for somebody who is not to be personalised."""

    tenant: str
    user: str | None
    request: SuggestionRequest
    notices: tuple[str, ...] = ()


async def visit(shelf: Shelf, tenant: str, user: str | None, request: SuggestionRequest, suggester: Suggester) -> Visit:
    """The request with the user's interests as they are now, beside those that it came with. Raises `InvalidInput` for a name
    that is none."""
    if request.listing.id:
        checked_name(request.listing.id, "product", InvalidListing)
    if user is None or not request.personalise:
        return Visit(tenant, None, request)
    try:
        profile = await shelf.use(lambda store: store.profile(tenant, user, suggester.vocabulary))
    except StoreUnavailable as error:
        return Visit(tenant, None, request, (f"answered without the user's interests: {error}",))
    return Visit(tenant, user, replace(request, profile=request.profile + profile))


async def keep(shelf: Shelf, visit: Visit, suggestion: Suggestion) -> tuple[Suggestion, str | None]:
    """The suggestion with the visit's notices, and the id under which it is kept for feedback; None where it is not."""
    notices = [*suggestion.notices, *visit.notices]
    id = None
    if shelf.store is not None:
        tags = [found.tag.id for found in suggestion.tags]
        impersonal = not (visit.request.personalise and visit.request.profile.weights)
        try:
            id = await shelf.use(
                lambda store: store.record(visit.tenant, visit.request.listing, tags, visit.user, teaches=impersonal)
            )
        except StoreUnavailable as error:
            notices.append(f"the suggestion is not kept, so there can be no feedback on it: {error}")
    return replace(suggestion, notices=tuple(notices)), id
