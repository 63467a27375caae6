"""`Event` and `InterestProfile`: what a user did, as time-decayed weights over tags. It knows no store and no model.

The weight of a tag is its base-level activation (Anderson's ACT-R, as Kowald et al. use it for tag recommendation, BLL):
ln(sum over events of w * age ** -d), here without the logarithm so that negative events can count against; `prior` takes it.
`hangtag.decay` has the power law, and keeps the same sums without the events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import log, log1p

import numpy as np
from numpy.typing import NDArray

from hangtag.decay import HOUR, power_law
from hangtag.errors import InvalidHistory
from hangtag.prior import TagPrior
from hangtag.vocabulary import TagVocabulary

EVENT_WEIGHTS: Mapping[str, float] = {
    "view": 1.0,
    "like": 2.0,
    "accept": 2.0,
    "cart": 3.0,
    "purchase": 4.0,
    "reject": -2.0,
    "dislike": -3.0,
}
"""`accept` and `reject` are of tags that were suggested, the others of products."""

CONVINCING = 0.5
"""ln(1 + w) of an interest that is named where interests count half: a view within the last hour, a purchase within 36 hours."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Since 1970, UTC; exact, where a float of seconds is not."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(time: int) -> datetime:
    """What `microseconds` made a number, in UTC."""
    return _EPOCH + timedelta(microseconds=time)


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
        try:
            self.at.astimezone(UTC)
        except OverflowError:
            raise InvalidHistory(f"the time {self.at.isoformat()} lies outside the years 1 to 9999 of UTC", field="at") from None


@dataclass(frozen=True, slots=True)
class InterestProfile:
    """Weight of each tag (by index) that the user's events speak for (> 0) or against (< 0)."""

    weights: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Iterable[Event], vocabulary: TagVocabulary, *, now: datetime) -> InterestProfile:
        """Exactly: the sum of w * (age + 1) ** -DECAY over the events, age in hours. Later events than `now` and tags that the
        vocabulary lacks raise `InvalidHistory`."""
        rows, shares, times = [], [], []
        for event in events:
            if event.at > now:
                raise InvalidHistory(
                    f"the event at {event.at.isoformat()} lies in the future; the time is {now.isoformat()}", field="at"
                )
            for tag_id in event.tags:
                if tag_id not in vocabulary:
                    raise InvalidHistory(f"the event at {event.at.isoformat()} names the unknown tag {tag_id!r}", field="tags")
                rows.append(vocabulary.index(tag_id))
                shares.append(EVENT_WEIGHTS[event.type])
                times.append(microseconds(event.at))
        if not rows:
            return cls()
        hours = (microseconds(now) - np.array(times, dtype=np.int64)) / HOUR
        weights: dict[int, float] = defaultdict(float)
        for tag, share in zip(rows, (np.array(shares) * power_law(hours)).tolist(), strict=True):
            weights[tag] += share
        return cls(dict(weights))

    def __add__(self, other: InterestProfile) -> InterestProfile:
        tags = {**self.weights, **other.weights}
        return InterestProfile({tag: self.weights.get(tag, 0.0) + other.weights.get(tag, 0.0) for tag in tags})

    def top(self, count: int) -> list[int]:
        """The `count` tags with the largest positive weight, best first; equal weights in the vocabulary's order."""
        liked = [tag for tag, weight in self.weights.items() if weight > 0]
        return sorted(liked, key=lambda tag: (-self.weights[tag], tag))[:count]

    def strongest(self, count: int) -> InterestProfile:
        """The `count` interests that say most, for or against."""
        if len(self.weights) <= count:
            return self
        kept = sorted(self.weights, key=lambda tag: (-abs(self.weights[tag]), tag))[:count]
        return InterestProfile({tag: self.weights[tag] for tag in kept})

    def within(self, left: NDArray[np.bool_]) -> InterestProfile:
        """The interests in the tags that `left`, (tags of the vocabulary,), is true for."""
        return InterestProfile({tag: weight for tag, weight in self.weights.items() if left[tag]})

    def convincing(self, share: float) -> InterestProfile:
        """The interests to be named where interests count `share`, above 0 and up to 1: those with ln(1 + w) of at least
        CONVINCING * (1 - share) / share. At 1 all that speak for a tag; the smaller the share, the stronger one has to be."""
        least = CONVINCING * (1 - share) / share
        return InterestProfile({tag: weight for tag, weight in self.weights.items() if weight > 0 and log1p(weight) >= least})

    def weighted(self, factors: Mapping[int, float]) -> InterestProfile:
        """Each weight times the tag's factor (1 where there is none), such as its `rarity`."""
        return InterestProfile({tag: weight * factors.get(tag, 1.0) for tag, weight in self.weights.items()})

    def summary(self, vocabulary: TagVocabulary, language: str, *, count: int = 5) -> list[str]:
        """Labels of the top tags, for the prompt: what the user is interested in, without any event."""
        written = vocabulary.written(language)
        return [written[tag] for tag in self.top(count)]

    def prior(self) -> TagPrior:
        """sign(w) * ln(1 + |w|): interests count less and less the more of the same there is."""
        return TagPrior({tag: log1p(weight) if weight > 0 else -log1p(-weight) for tag, weight in self.weights.items()})


def rarity(having: int, users: int) -> float:
    """Inverse document frequency in (0, 1], users as documents: (1 + ln((users + 1) / (having + 1))) / (1 + ln(users + 1)). 1 for
    a tag that nobody has; one that everybody has counts the less, the more users there are."""
    return (1 + log((users + 1) / (having + 1))) / (1 + log(users + 1))
