"""`Event` and `InterestProfile`: what a user did, as time-decayed weights over tags. It knows no store and no model.

The weight of a tag is its base-level activation (Anderson's ACT-R, as Kowald et al. use it for tag recommendation):
ln(sum over events of w * age ** -d), here without the logarithm so that negative events can count against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import log1p

import numpy as np
from numpy.typing import NDArray

from hangtag.errors import InvalidHistory
from hangtag.prior import TagPrior
from hangtag.vocabulary import TagVocabulary

EVENT_WEIGHTS: Mapping[str, float] = {"view": 1.0, "like": 2.0, "cart": 3.0, "purchase": 4.0, "dislike": -3.0}
DECAY = 0.5
"""Exponent of the power-law decay, Anderson's d."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did with a product that has `tags` (ids). `at` has a time zone. Raises `InvalidHistory`."""

    type: str
    at: datetime
    tags: tuple[str, ...] = ()
    product: str = ""

    def __post_init__(self) -> None:
        if self.type not in EVENT_WEIGHTS:
            raise InvalidHistory(f"unknown event type {self.type!r}; use one of {', '.join(EVENT_WEIGHTS)}", field="type")
        if self.at.tzinfo is None:
            raise InvalidHistory(f"the time {self.at.isoformat()} has no zone; write it as {self.at.isoformat()}Z", field="at")


@dataclass(frozen=True, slots=True)
class InterestProfile:
    """Weight of each tag (by index) that the user's events speak for (> 0) or against (< 0)."""

    weights: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Iterable[Event], vocabulary: TagVocabulary, *, now: datetime) -> InterestProfile:
        """Sum of w * age ** -DECAY over the events, age in hours and at least one. Later events than `now` and tags that
        the vocabulary lacks raise `InvalidHistory`."""
        weights: dict[int, float] = defaultdict(float)
        for event in events:
            hours = (now - event.at).total_seconds() / 3600
            if hours < 0:
                raise InvalidHistory(
                    f"the event at {event.at.isoformat()} lies in the future; the time is {now.isoformat()}", field="at"
                )
            for tag_id in event.tags:
                if tag_id not in vocabulary:
                    raise InvalidHistory(f"the event at {event.at.isoformat()} names the unknown tag {tag_id!r}", field="tags")
                weights[vocabulary.index(tag_id)] += EVENT_WEIGHTS[event.type] * max(hours, 1.0) ** -DECAY
        return cls(dict(weights))

    def top(self, count: int) -> list[int]:
        """The `count` tags with the largest positive weight, best first; equal weights in the vocabulary's order."""
        liked = [tag for tag, weight in self.weights.items() if weight > 0]
        return sorted(liked, key=lambda tag: (-self.weights[tag], tag))[:count]

    def within(self, left: NDArray[np.bool_]) -> InterestProfile:
        """The interests in the tags that `left`, (tags of the vocabulary,), is true for."""
        return InterestProfile({tag: weight for tag, weight in self.weights.items() if left[tag]})

    def summary(self, vocabulary: TagVocabulary, language: str, *, count: int = 5) -> list[str]:
        """Labels of the top tags, for the prompt: what the user is interested in, without any event."""
        written = vocabulary.written(language)
        return [written[tag] for tag in self.top(count)]

    def prior(self) -> TagPrior:
        """sign(w) * ln(1 + |w|): interests count less and less the more of the same there is."""
        return TagPrior({tag: log1p(weight) if weight > 0 else -log1p(-weight) for tag, weight in self.weights.items()})
