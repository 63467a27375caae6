"""What goes over the wire: requests, answers and errors as JSON, with examples for the documentation. They know their own form
and the domain values they stand for, no status code.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from hangtag.errors import HangtagError, InvalidHistory
from hangtag.history import EVENT_WEIGHTS, Event, InterestProfile
from hangtag.history_formats import event_of, with_ids
from hangtag.listing import Listing
from hangtag.rules import MOST_EXCLUSIVE
from hangtag.suggestion import Suggestion, TagSuggestion
from hangtag.tag_rules import TagRules
from hangtag.vocabulary import TagVocabulary
from serve.suggester import LEAST_CONFIDENCE, SuggestionRequest
from serve.wire import Counts, Listed, Texts, Wire

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
    "id": "5f0c2b9e61d34c1f8a7be0d1c2f3a4b5",
    "tags": [
        {
            "id": "category/headphones",
            "label": "头戴式耳机",
            "facet": "category",
            "confidence": 0.97,
            "auto": True,
            "interest": False,
        },
        {
            "id": "feature/noise-cancelling",
            "label": "主动降噪",
            "facet": "feature",
            "confidence": 0.81,
            "auto": False,
            "interest": False,
        },
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
LONGEST_MESSAGE = 1_000


class EventBody(Wire):
    """Something the user did."""

    type: str = Field(description=f"One of: {', '.join(EVENT_WEIGHTS)}.")
    at: str = Field(description="When, ISO 8601 with a zone.", json_schema_extra={"format": "date-time"})
    tags: Listed[str] = Field(default_factory=list, description="Tags of the product, by label or id.")
    product: str = ""

    def event(self, vocabulary: TagVocabulary) -> Event:
        """Raises `InvalidHistory`."""
        return with_ids(event_of(self.model_dump()), vocabulary)


Ids = Annotated[Listed[str], Field(max_length=MOST_NAMED)]
Group = Annotated[Listed[str], Field(max_length=MOST_EXCLUSIVE)]


class RulesBody(Wire):
    """Which tags may stand in this answer, and which together. Tags are named by their ids."""

    banned: Ids = Field(default_factory=list, description="Tags that never come.")
    only: Ids | None = Field(default=None, description="The only tags that may come; left out: all.")
    facet_limits: Counts = Field(default_factory=dict, max_length=MOST_GROUPS, description="Facet: the most tags of it.")
    exclusions: Annotated[Listed[Group], Field(max_length=MOST_GROUPS)] = Field(
        default_factory=list, description="Groups of tags of which at most one may come."
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


class SuggestionBody(Wire):
    """A listing to be tagged: a title, a description or attributes, at least one of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENGLISH_EXAMPLE, CHINESE_EXAMPLE]})

    title: str = ""
    description: str = ""
    attributes: Texts = Field(default_factory=dict, description="Names and values.")
    language: str | None = Field(default=None, description="BCP 47; left out: as the text looks.")
    min_tags: int = 1
    max_tags: int | None = Field(default=None, description="Left out: five, or as many as there is room for.")
    min_confidence: float | None = Field(
        default=None,
        description="Less likely tags do not come, but for the surest `min_tags`."
        f" Left out: {LEAST_CONFIDENCE}, if confidences are calibrated.",
    )
    explain: bool = Field(default=True, description="Whether to say why.")
    product: str = Field(default="", description="The listing's id in the catalogue; events may name it.")
    user: str | None = Field(default=None, description="Whose interests count, as `POST /v1/events` knows them.")
    personalise: float = Field(
        default=1.0, description="How much interests count: 0 not at all, 1 all of them; below only strong ones."
    )
    history: Listed[EventBody] = Field(
        default_factory=list,
        max_length=MOST_NAMED,
        description="What the user did besides, in any order; it is not kept.",
    )
    rules: RulesBody = Field(default_factory=RulesBody, description="What the merchant allows.")
    adapter: str | None = Field(default=None, description="Who answers, as `GET /v1/adapters` names it; left out: your default.")
    timeout: float | None = Field(default=None, gt=0, description="Seconds after which nobody waits; the server has a limit too.")

    def request(self, vocabulary: TagVocabulary) -> SuggestionRequest:
        """The request in domain terms. Raises `InvalidListing`, `InvalidHistory`."""
        return SuggestionRequest(
            listing=Listing(self.title, self.description, tuple(self.attributes.items()), self.language, self.product),
            profile=self._profile(vocabulary),
            personalise=self.personalise,
            min_tags=self.min_tags,
            max_tags=self.max_tags,
            min_confidence=self.min_confidence,
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


class TagBody(Wire):
    """A suggested tag."""

    id: str
    label: str = Field(description="As written in the answer's language.")
    facet: str
    confidence: float = Field(description="Probability that a merchant accepts the tag, 0..1.")
    auto: bool = Field(description="Whether it is so sure that it belongs to the tags of `promise`.")
    interest: bool = Field(default=False, description="Whether it would not be here but for the user's interests.")

    @classmethod
    def of(cls, found: TagSuggestion) -> TagBody:
        """The wire form of a tag."""
        return cls(
            id=found.tag.id,
            label=found.label,
            facet=found.tag.facet,
            confidence=found.confidence,
            auto=found.auto,
            interest=found.owed_to_interests,
        )


class VocabularyBody(Wire):
    """Which tags could be suggested: equal hashes, equal tags."""

    name: str
    hash: str


class AnswerBody(Wire):
    """The suggested tags, the most important first, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER_EXAMPLE]})

    id: str | None = Field(default=None, description="For `POST /v1/feedback`; null where nothing is kept.")
    tags: list[TagBody]
    explanation: str = Field(description="Empty if none was asked for.")
    language: str
    model: str
    vocabulary: VocabularyBody
    calibrated: bool = Field(description="Whether confidences were fitted to rows with known tags; else they only compare.")
    promise: float | None = Field(description="The share of tags with `auto` that is right, as promised; null: nothing is.")
    notices: list[str] = Field(description="What the reader should know about this answer.")

    @classmethod
    def of(cls, suggestion: Suggestion, id: str | None = None) -> AnswerBody:
        """The wire form of a suggestion, and under which id it is kept."""
        return cls(
            id=id,
            tags=[TagBody.of(found) for found in suggestion.tags],
            explanation=suggestion.explanation,
            language=suggestion.language,
            model=suggestion.model,
            vocabulary=VocabularyBody(name=suggestion.vocabulary_name, hash=suggestion.vocabulary_hash),
            calibrated=suggestion.is_calibrated,
            promise=suggestion.promise,
            notices=list(suggestion.notices),
        )


class HealthBody(Wire):
    """Whether it is alive or ready; `reason` says why not, `troubles` what is not in order though it answers."""

    status: str
    reason: str = ""
    troubles: list[str] = Field(default_factory=list)


class ErrorDetail(Wire):
    """What was wrong, and where in the request, if that is known."""

    type: str
    message: str
    field: str | None = None


class ErrorBody(Wire):
    """The one form that every error has."""

    error: ErrorDetail

    @classmethod
    def of(cls, error: HangtagError) -> ErrorBody:
        """The wire form of a domain error; of one that quotes at length the beginning."""
        message = str(error)
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}…"
        return cls(error=ErrorDetail(type=type(error).__name__, message=message, field=error.field))

    @classmethod
    def of_defect(cls) -> ErrorBody:
        """Of an error that is nobody's but ours; it tells nothing of it."""
        message = "this is a defect of hangtag; the server's log says more"
        return cls(error=ErrorDetail(type="InternalError", message=message))

    @classmethod
    def of_validation(cls, errors: Sequence[Any], body: Any = None) -> ErrorBody:
        """The wire form of what pydantic found, the first of it; never with the input itself. `body` is the type of the body."""
        first, others = errors[0], len(errors) - 1
        place = first["loc"][1:] if first["loc"][:1] == ("body",) else first["loc"]
        if place[:1] in (("one",), ("many",)):  # the alternatives of a body, not parts of it
            place = place[1:]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        message = first["msg"]
        if first["type"] == "extra_forbidden":
            message = f"unknown field {field!r}; use {', '.join(_fields_at(body, place[:-1]))}"
        elif first["type"] == "json_invalid":
            message, field = f"not valid JSON at character {place[0]}: {first['ctx']['error']}", ""
        elif not place and first["type"] in ("missing", "model_attributes_type"):
            message = "the body is not a JSON object with the content type application/json"
        more = f" (and {others} more)" if others else ""
        detail = f"{field}: {message}" if field and first["type"] != "extra_forbidden" else message
        return cls(error=ErrorDetail(type="InvalidRequest", message=detail + more, field=field or None))


def _fields_at(body: Any, place: Sequence[str | int]) -> list[str]:
    """The fields that are known at a place of a body of this type."""
    found = _models(body)
    for part in place:
        found = [
            each for model in found if part in model.model_fields for each in _models(model.model_fields[part].annotation)
        ] or found
    return list(dict.fromkeys(name for model in found for name in model.model_fields))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models in a type such as `list[EventBody] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
