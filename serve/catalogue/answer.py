"""`Answer`: what a catalogue keeps of a suggestion, as JSON of its own, so that a journal can be read by later versions. It knows
no table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hangtag.suggestion import Suggestion


@dataclass(frozen=True, slots=True)
class GivenTag:
    """A tag as it was suggested; see `TagSuggestion`."""

    id: str
    label: str
    confidence: float
    auto: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """See `Suggestion`."""

    tags: tuple[GivenTag, ...]
    explanation: str
    model: str
    notices: tuple[str, ...]

    @classmethod
    def of(cls, suggestion: Suggestion) -> Answer:
        """What is kept of a suggestion."""
        tags = tuple(GivenTag(found.tag.id, found.label, round(found.confidence, 4), found.auto) for found in suggestion.tags)
        return cls(tags, suggestion.explanation, suggestion.model, suggestion.notices)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Answer:
        """The answer from JSON's values. Raises `KeyError`, `TypeError`, `ValueError` for values that are none."""
        tags = tuple(
            GivenTag(str(tag["id"]), str(tag["label"]), float(tag["confidence"]), bool(tag["auto"])) for tag in given["tags"]
        )
        return cls(tags, str(given["explanation"]), str(given["model"]), tuple(map(str, given["notices"])))

    def values(self) -> dict[str, Any]:
        """The answer as JSON's values, for `read`."""
        return asdict(self)
