"""What goes over the wire to and from the store: events, listings, feedback and all that is held of a user, as JSON. They know
their own form and the domain values they stand for.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hangtag.errors import InvalidFeedback, InvalidInput, InvalidListing, InvalidVocabulary
from hangtag.history import EVENT_WEIGHTS
from hangtag.history_formats import event_of, with_ids
from hangtag.listing import Listing
from hangtag.lookup import tag_named
from hangtag.vocabulary import TagVocabulary
from serve.store import Feedback, Held, Product, Purged, Recorded, Taken, UserEvent
from serve.wire import Listed, Texts, Wire

EVENT_EXAMPLE: dict[str, Any] = {
    "user": "u-81",
    "product": "S42",
    "type": "purchase",
    "at": "2026-11-22T18:30:00Z",
    "idempotency_key": "order-7001-1",
}
LISTING_EXAMPLE: dict[str, Any] = {
    "id": "S42",
    "title": "Linen camp shirt, relaxed fit",
    "attributes": {"fit": "relaxed"},
    "tags": ["Linen", "Shirts"],
}
FEEDBACK_EXAMPLE: dict[str, Any] = {
    "suggestion": "5f0c2b9e61d34c1f8a7be0d1c2f3a4b5",
    "accepted": ["Shirts"],
    "rejected": ["Wool"],
    "added": ["Linen"],
}


class UserEventBody(Wire):
    """Something a user did with a product."""

    user: str = Field(description="Whoever it was, by any name that stays the same.")
    type: str = Field(description=f"One of: {', '.join(EVENT_WEIGHTS)}.")
    at: str = Field(description="When, ISO 8601 with a zone.", json_schema_extra={"format": "date-time"})
    product: str = Field(default="", description="Its tags are those of the catalogue, or of earlier suggestions.")
    tags: Listed[str] = Field(default=[], description="By label or id; left out: the product's.")
    idempotency_key: str = Field(default="", description="Events of a user with one key count once; left out: equal ones do.")

    def event(self, vocabulary: TagVocabulary) -> UserEvent:
        """In domain terms. Raises `InvalidHistory`."""
        given = {"type": self.type, "at": self.at, "product": self.product, "tags": self.tags}
        return UserEvent(self.user, with_ids(event_of(given), vocabulary), self.idempotency_key)


class EventsBody(Wire):
    """Many events, all of them taken in or none."""

    events: Listed[UserEventBody]


class ListingBody(Wire):
    """A product of the catalogue."""

    id: str
    title: str = ""
    description: str = ""
    attributes: Texts = Field(default={}, description="Names and values.")
    language: str | None = Field(default=None, description="BCP 47; left out: as the text looks.")
    tags: Listed[str] = Field(default=[], description="The merchant's own, by label or id.")
    in_stock: bool = True

    def product(self, vocabulary: TagVocabulary) -> Product:
        """In domain terms. Raises `InvalidListing`."""
        listing = Listing(self.title, self.description, tuple(self.attributes.items()), self.language, self.id)
        return Product(listing, _ids(self.tags, vocabulary, "tags", InvalidListing), self.in_stock)

    @classmethod
    def of(cls, product: Product) -> ListingBody:
        """The wire form of a product; tags by id."""
        listing = product.listing
        return cls(
            id=listing.id,
            title=listing.title,
            description=listing.description,
            attributes=dict(listing.attributes),
            language=listing.language,
            tags=list(product.tags),
            in_stock=product.in_stock,
        )


class ListingsBody(Wire):
    """Many listings, all of them taken in or none."""

    listings: Listed[ListingBody]


def _one_or_many(field: str) -> Discriminator:
    def which(given: Any) -> str:
        return "many" if isinstance(given, dict) and field in given else "one"

    return Discriminator(which)


OneOrManyEvents = Annotated[Annotated[UserEventBody, Tag("one")] | Annotated[EventsBody, Tag("many")], _one_or_many("events")]
OneOrManyListings = Annotated[Annotated[ListingBody, Tag("one")] | Annotated[ListingsBody, Tag("many")], _one_or_many("listings")]


class FeedbackBody(Wire):
    """What became of a suggestion; a tag that is in none of the lists was not looked at. Later feedback replaces earlier."""

    suggestion: str = Field(description="The `id` of its answer.")
    accepted: Listed[str] = Field(default=[], description="Suggested tags that are right, by label or id.")
    rejected: Listed[str] = Field(default=[], description="Suggested tags that are wrong.")
    added: Listed[str] = Field(default=[], description="Right tags that were not suggested.")

    def feedback(self, vocabulary: TagVocabulary, suggested: Collection[str]) -> Feedback:
        """In domain terms; an id that was suggested is one, whatever vocabulary the tag was of. Raises `InvalidFeedback`."""

        def ids(name: str) -> tuple[str, ...]:
            given: list[str] = getattr(self, name)
            others = [tag for tag in given if tag not in suggested]
            found = iter(_ids(others, vocabulary, name, InvalidFeedback))
            return tuple(tag if tag in suggested else next(found) for tag in given)

        return Feedback(**{name: ids(name) for name in Feedback.__slots__})


class TakenBody(Wire):
    """How many events were new, and how many had come before."""

    added: int
    repeated: int

    @classmethod
    def of(cls, taken: Taken) -> TakenBody:
        """The wire form."""
        return cls(added=taken.added, repeated=taken.repeated)


class StoredBody(Wire):
    """How many listings are in the catalogue now, and how many of them help with new ones from now on."""

    stored: int
    remembered: int
    notices: list[str]


class DoneBody(Wire):
    """That it was done."""

    done: Literal[True] = True
    notices: list[str]


class GoneBody(Wire):
    """How much was deleted."""

    events: int
    users: int
    suggestions: int

    @classmethod
    def of(cls, purged: Purged) -> GoneBody:
        """The wire form."""
        return cls(events=purged.events, users=purged.users, suggestions=purged.suggestions)


class HeldEventBody(Wire):
    """An event as it is held: tags by id."""

    type: str
    at: datetime
    product: str
    tags: list[str]


class HeldSuggestionBody(Wire):
    """A suggestion with the user's interests in it, and what became of it; tags by id."""

    id: str
    at: datetime
    product: str
    title: str
    description: str
    attributes: dict[str, str]
    language: str | None
    suggested: list[str]
    accepted: list[str]
    rejected: list[str]
    added: list[str]

    @classmethod
    def of(cls, recorded: Recorded, feedback: Feedback | None) -> HeldSuggestionBody:
        """The wire form."""
        listing = recorded.listing
        said = {name: list(getattr(feedback, name, ())) for name in Feedback.__slots__}
        return cls(
            id=recorded.id,
            at=recorded.at,
            product=listing.id,
            title=listing.title,
            description=listing.description,
            attributes=dict(listing.attributes),
            language=listing.language,
            suggested=list(recorded.suggested),
            **said,
        )


class HeldBody(Wire):
    """All that is held of a user. `interests` are the weights of tags by id, as they are now."""

    user: str
    stored_as: str = Field(description="The name in the database: a keyed hash where the server has a key for users.")
    events: list[HeldEventBody]
    interests: dict[str, float]
    suggestions: list[HeldSuggestionBody]

    @classmethod
    def of(cls, user: str, held: Held) -> HeldBody:
        """The wire form."""
        return cls(
            user=user,
            stored_as=held.name,
            events=[HeldEventBody(type=e.type, at=e.at, product=e.product, tags=list(e.tags)) for e in held.events],
            interests=held.weights,
            suggestions=[HeldSuggestionBody.of(*each) for each in held.suggestions],
        )


def _ids(names: list[str], vocabulary: TagVocabulary, field: str, error: type[InvalidInput]) -> tuple[str, ...]:
    """The ids of what tags are called, each once. Raises `error`."""
    try:
        return tuple(dict.fromkeys(vocabulary.tags[tag_named(name, vocabulary)].id for name in names))
    except InvalidVocabulary as cause:
        raise error(str(cause), field=field) from cause
