"""`DecayedSums`: sums over events that fade by the power law of forgetting, kept without the events. They know rows and times, no
tags and no users.

In Anderson's base-level learning an event of age t counts t ** -d; here t is the age in hours plus one, so that what happened
just now counts 1. A power law is a mixture of exponentials (t ** -d is the integral of s ** (d - 1) exp(-s t) / Γ(d) over s > 0),
and TERMS of them, their times in geometric progression and their coefficients by least squares of the relative error (in the way
of Beylkin & Monzón, "Approximation by exponential sums revisited", 2010), are within ERROR of it for a century. A sum of
exponentials can be carried forward without its events: what comes late is added as it would have been in its time, and sums of
parts add up. Petrov's hybrid (2006), which keeps the latest events and smears the others evenly over time, can do neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

DECAY = 0.5
"""Exponent of the power law, Anderson's d."""

TERMS = 16
ERROR = 0.001
"""Bound of the relative error of each event's share, for ages up to OLDEST_HOURS."""

OLDEST_HOURS = 1_000_000.0
SHORTEST, LONGEST = 0.4, 8e6
"""Hours in which the fastest and the slowest term fall to 1/e."""

HOUR = 3_600_000_000
"""Microseconds: times are whole ones since 1970, UTC."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def power_law(hours: Floats) -> Floats:
    """What events of these ages count, exactly; an age below 0, of a clock that is fast, counts as 0."""
    return np.asarray((np.maximum(hours, 0.0) + 1.0) ** -DECAY, dtype=np.float64)


@cache
def _rates() -> Floats:
    """(TERMS,), per hour."""
    return np.asarray(1.0 / np.geomspace(SHORTEST, LONGEST, TERMS), dtype=np.float64)


@cache
def _coefficients() -> Floats:
    """(TERMS,): the mixture of exponentials that is nearest to `power_law`."""
    ages = np.asarray([0.0, *np.geomspace(0.01, OLDEST_HOURS, 2_000)])
    terms = np.exp(-ages[:, None] * _rates()) / power_law(ages)[:, None]
    return np.asarray(np.linalg.lstsq(terms, np.ones(len(ages)), rcond=None)[0], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class DecayedSums:
    """R sums as they stood at the time `at` (µs), that of the latest event; `terms` is (R, TERMS)."""

    at: int
    terms: Floats

    @classmethod
    def empty(cls) -> DecayedSums:
        """No sums."""
        return cls(0, np.zeros((0, TERMS)))

    def __len__(self) -> int:
        return len(self.terms)

    def add(self, rows: Integers, weights: Floats, times: Integers, *, size: int) -> DecayedSums:
        """With `weights` at `times` (µs) added to `rows`, all (events,) and in any order; `size` rows in all, at least as many as
        there are. The order changes nothing but the rounding."""
        if not len(rows):
            return DecayedSums(self.at, np.pad(self.terms, ((0, size - len(self)), (0, 0))))
        latest = int(times.max())
        at = max(self.at, latest) if len(self) else latest
        terms = np.zeros((size, TERMS))
        terms[: len(self)] = self.terms * np.exp((self.at - at) / HOUR * _rates()) if len(self) else 0.0
        shares = weights[:, None] * np.exp(((times - at) / HOUR)[:, None] * _rates())
        np.add.at(terms, rows, shares)
        return DecayedSums(at, terms)

    def values(self, now: int) -> Floats:
        """(R,): the sums at `now` (µs); earlier than `at` counts as `at`."""
        faded = np.exp(min(0.0, (self.at - now) / HOUR) * _rates()) * _coefficients()
        found: Floats = self.terms @ faded
        return found
