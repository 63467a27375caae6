"""`Visit`: a suggestion for somebody, with their interests before it and a record of it after. Without the store the answer comes
all the same, and says what it lacks. It knows neither the wire nor tables.
"""

from __future__ import annotations

from dataclasses import replace

from hangtag.errors import InvalidListing, StoreUnavailable
from hangtag.suggestion import Suggestion
from hangtag.vocabulary import TagVocabulary
from serve.shelf import Shelf
from serve.store.names import checked_name
from serve.suggester import SuggestionRequest


class Visit:
    """One request of a tenant for a user, None for nobody in particular. Who is not to be personalised leaves no trace either."""

    def __init__(self, shelf: Shelf, tenant: str, user: str | None) -> None:
        self._shelf = shelf
        self._tenant = tenant
        self._user = user
        self._request: SuggestionRequest | None = None
        self._notices: list[str] = []
        self._is_known = False

    async def begin(self, request: SuggestionRequest, vocabulary: TagVocabulary) -> SuggestionRequest:
        """The request with the user's interests as they are now, beside those that it came with. Raises `InvalidInput` for a name
        that is none."""
        if request.listing.id:
            checked_name(request.listing.id, "product", InvalidListing)
        if not request.personalise:
            self._user = None
        if (user := self._user) is not None:
            try:
                profile = await self._shelf.use(lambda store: store.profile(self._tenant, user, vocabulary))
                request = replace(request, profile=request.profile + profile)
                self._is_known = bool(profile.weights)
            except StoreUnavailable as error:
                self._notices.append(f"answered without the user's interests: {error}")
        self._request = request
        return request

    async def end(self, suggestion: Suggestion) -> tuple[Suggestion, str | None]:
        """The suggestion with what the visit has to say, and the id under which it is kept for feedback; None where it is not."""
        assert self._request is not None, "a visit begins before it ends"
        listing, tags = self._request.listing, [found.tag.id for found in suggestion.tags]
        impersonal = not (self._request.personalise and self._request.profile.weights)
        id = None
        if self._shelf.store is not None:
            try:
                id = await self._shelf.use(
                    lambda store: store.record(
                        self._tenant, listing, tags, self._user, is_known=self._is_known, teaches=impersonal
                    )
                )
                if id is None:
                    self._notices.append("the suggestion is not kept: the user was deleted meanwhile")
            except StoreUnavailable as error:
                self._notices.append(f"the suggestion is not kept, so there can be no feedback on it: {error}")
        return replace(suggestion, notices=(*suggestion.notices, *self._notices)), id
