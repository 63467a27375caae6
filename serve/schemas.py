"""What goes over the wire: requests, answers and errors as JSON, with examples for the documentation. They know their own form
and the domain values they stand for, no status code.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hangtag.errors import HangtagError, InvalidHistory
from hangtag.history import EVENT_WEIGHTS, Event, InterestProfile
from hangtag.history_formats import event_of, with_ids
from hangtag.listing import Listing
from hangtag.rules import MOST_EXCLUSIVE
from hangtag.suggestion import Suggestion
from hangtag.tag_rules import TagRules
from hangtag.vocabulary import TagVocabulary
from serve.suggester import SuggestionRequest

ENGLISH_EXAMPLE: dict[str, Any] = {
    "title": "Linen camp shirt, relaxed fit",
    "description": "A breathable shirt for hot days, woven from European flax.",
    "attributes": {"material": "linen", "fit": "relaxed"},
    "max_tags": 5,
}
CHINESE_EXAMPLE: dict[str, Any] = {
    "title": "高品质蓝牙耳机，降噪效果显著",
    "language": "zh",
    "history": [{"type": "like", "at": "2026-11-20T18:30:00Z", "tags": ["耳塞式耳机", "无线"]}],
}
RULES_EXAMPLE: dict[str, Any] = {
    "title": "Linen camp shirt, cotton lining",
    "rules": {
        "banned": ["category/shoes"],
        "facet_limits": {"material": 1},
        "exclusions": [["season/summer", "material/cotton"]],
    },
}
REQUEST_EXAMPLES: dict[str, Any] = {
    "english": {"summary": "A listing in English", "value": ENGLISH_EXAMPLE},
    "chinese": {"summary": "A title in Chinese, and what the user liked", "value": CHINESE_EXAMPLE},
    "rules": {"summary": "With rules of the merchant", "value": RULES_EXAMPLE},
}
ANSWER_EXAMPLE: dict[str, Any] = {
    "tags": [
        {"id": "category/headphones", "label": "头戴式耳机", "facet": "category", "confidence": 0.97, "auto": True},
        {"id": "feature/noise-cancelling", "label": "主动降噪", "facet": "feature", "confidence": 0.81, "auto": False},
    ],
    "explanation": "文中提到“蓝牙耳机”和“降噪”。",
    "language": "zh",
    "model": "hangtag-mini@1",
    "vocabulary": {"name": "hangtag-mini", "hash": "9f2c4d…"},
    "calibrated": True,
    "promise": 0.9,
    "notices": [],
}


MOST_NAMED = 10_000
MOST_GROUPS = 100


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EventBody(_Wire):
    """Something the user did."""

    type: str = Field(description=f"One of: {', '.join(EVENT_WEIGHTS)}.")
    at: str = Field(description="When, ISO 8601 with a zone.", json_schema_extra={"format": "date-time"})
    tags: list[str] = Field(default=[], description="Tags of the product, by label or id.")
    product: str = ""

    def event(self, vocabulary: TagVocabulary) -> Event:
        """Raises `InvalidHistory`."""
        return with_ids(event_of(self.model_dump()), vocabulary)


Ids = Annotated[list[str], Field(max_length=MOST_NAMED)]
Group = Annotated[list[str], Field(max_length=MOST_EXCLUSIVE)]


class RulesBody(_Wire):
    """Which tags may stand in this answer, and which together. Tags are named by their ids."""

    banned: Ids = Field(default=[], description="Tags that never come.")
    only: Ids | None = Field(default=None, description="The only tags that may come; left out: all.")
    facet_limits: dict[str, int] = Field(default={}, max_length=MOST_GROUPS, description="Facet: the most tags of it.")
    exclusions: Annotated[list[Group], Field(max_length=MOST_GROUPS)] = Field(
        default=[], description="Groups of tags of which at most one may come."
    )
    parent_or_child: bool = Field(default=False, description="Whether a tag and its parent never both come.")

    def rules(self) -> TagRules:
        """The rules in domain terms."""
        return TagRules(
            banned=tuple(self.banned),
            only=None if self.only is None else tuple(self.only),
            facet_limits=self.facet_limits,
            exclusions=tuple(map(tuple, self.exclusions)),
            parent_or_child=self.parent_or_child,
        )


class SuggestionBody(_Wire):
    """A listing to be tagged: a title, a description or attributes, at least one of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENGLISH_EXAMPLE, CHINESE_EXAMPLE]})

    title: str = ""
    description: str = ""
    attributes: dict[str, str] = Field(default={}, description="Names and values.")
    language: str | None = Field(default=None, description="BCP 47; left out: as the text looks.")
    min_tags: int = 1
    max_tags: int | None = Field(default=None, description="Left out: five, or as many as there is room for.")
    explain: bool = Field(default=True, description="Whether to say why.")
    history: list[EventBody] = Field(default=[], description="What the user did, in any order.")
    rules: RulesBody = Field(default=RulesBody(), description="What the merchant allows.")

    def request(self, vocabulary: TagVocabulary) -> SuggestionRequest:
        """The request in domain terms. Raises `InvalidListing`, `InvalidHistory`."""
        return SuggestionRequest(
            listing=Listing(self.title, self.description, tuple(self.attributes.items()), self.language),
            profile=self._profile(vocabulary),
            min_tags=self.min_tags,
            max_tags=self.max_tags,
            explain=self.explain,
            rules=self.rules.rules(),
        )

    def _profile(self, vocabulary: TagVocabulary) -> InterestProfile:
        events = []
        for position, body in enumerate(self.history):
            try:
                events.append(body.event(vocabulary))
            except InvalidHistory as error:
                place = f"history[{position}]"
                raise InvalidHistory(f"{place}: {error}", field=f"{place}.{error.field}") from error
        return InterestProfile.from_events(events, vocabulary, now=datetime.now(UTC))


_BODIES: dict[Any, type[_Wire]] = {"history": EventBody, "rules": RulesBody}
"""What stands in a field of `SuggestionBody`, for its errors."""


class TagBody(_Wire):
    """A suggested tag."""

    id: str
    label: str = Field(description="As written in the answer's language.")
    facet: str
    confidence: float = Field(description="Probability that a merchant accepts the tag, 0..1.")
    auto: bool = Field(description="Whether it is so sure that it belongs to the tags of `promise`.")


class VocabularyBody(_Wire):
    """Which tags could be suggested: equal hashes, equal tags."""

    name: str
    hash: str


class AnswerBody(_Wire):
    """The suggested tags, the most important first, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER_EXAMPLE]})

    tags: list[TagBody]
    explanation: str = Field(description="Empty if none was asked for.")
    language: str
    model: str
    vocabulary: VocabularyBody
    calibrated: bool = Field(description="Whether confidences were fitted to rows with known tags; else they only compare.")
    promise: float | None = Field(description="The share of tags with `auto` that is right, as promised; null: nothing is.")
    notices: list[str] = Field(description="What the reader should know about this answer.")

    @classmethod
    def of(cls, suggestion: Suggestion) -> AnswerBody:
        """The wire form of a suggestion."""
        return cls(
            tags=[
                TagBody(id=found.tag.id, label=found.label, facet=found.tag.facet, confidence=found.confidence, auto=found.auto)
                for found in suggestion.tags
            ],
            explanation=suggestion.explanation,
            language=suggestion.language,
            model=suggestion.model,
            vocabulary=VocabularyBody(name=suggestion.vocabulary_name, hash=suggestion.vocabulary_hash),
            calibrated=suggestion.is_calibrated,
            promise=suggestion.promise,
            notices=list(suggestion.notices),
        )


class HealthBody(_Wire):
    """Whether it is alive or ready; `reason` says why not."""

    status: str
    reason: str = ""


class ErrorDetail(_Wire):
    """What was wrong, and where in the request, if that is known."""

    type: str
    message: str
    field: str | None = None


class ErrorBody(_Wire):
    """The one form that every error has."""

    error: ErrorDetail

    @classmethod
    def of(cls, error: HangtagError) -> ErrorBody:
        """The wire form of a domain error."""
        return cls(error=ErrorDetail(type=type(error).__name__, message=str(error), field=error.field))

    @classmethod
    def of_validation(cls, errors: Sequence[Any]) -> ErrorBody:
        """The wire form of what pydantic found, the first of it; never with the input itself."""
        first, others = errors[0], len(errors) - 1
        place = first["loc"][1:] if first["loc"][:1] == ("body",) else first["loc"]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        message = first["msg"]
        if first["type"] == "extra_forbidden":
            body = _BODIES.get(place[0] if len(place) > 1 else "", SuggestionBody)
            message = f"unknown field {field!r}; use {', '.join(body.model_fields)}"
        elif first["type"] == "json_invalid":
            message, field = f"not valid JSON at character {place[0]}: {first['ctx']['error']}", ""
        elif not place and first["type"] in ("missing", "model_attributes_type"):
            message = "the body is not a JSON object with the content type application/json"
        more = f" (and {others} more)" if others else ""
        detail = f"{field}: {message}" if field and first["type"] != "extra_forbidden" else message
        return cls(error=ErrorDetail(type="InvalidRequest", message=detail + more, field=field or None))
