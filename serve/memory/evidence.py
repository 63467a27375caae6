"""All that is known about a listing's tags, as one table: what neighbours say, what words say, how often a tag is given. It knows
where each column comes from, not what it is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve.candidates import Candidate
from serve.memory.neighbours import Said

CONSIDERED = 100
"""Tags of neighbours that are looked at closely, the likeliest first; those that words suggest are all."""

COLUMNS = (
    "ridge",
    "log ridge",
    "log vote",
    "log cubes",
    "nearest",
    "first",
    "first, by nearness",
    "word",
    "log word",
    "word, by ridge",
    "stated",
    "stated and given",
    "log stated and given",
    "unused",
    "unused, by word",
    "unused and stated",
    "log times used",
)
"""`word` is the score of `serve.candidates`, `unused` a tag that no remembered listing has, "by" a product."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class StatedRates:
    """How often a tag was given where the listing states it: tag id -> (given, stated), of remembered listings."""

    def __init__(self, counts: Mapping[str, tuple[int, int]]) -> None:
        self.counts = dict(counts)
        given, stated = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
        self.mean = (given + 0.3) / (stated + 1)

    def of(self, tag: str, *, given: int = 0, stated: int = 0) -> float:
        """The share of a tag's statements that were meant, drawn towards the mean of all as if two more had been seen. `given`
        and `stated` are taken off first: a listing's own, when it is held out."""
        known = self.counts.get(tag, (given, stated))
        return (known[0] - given + 2 * self.mean) / (known[1] - stated + 2)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Of T tags by number, in no order: `table` has shape (T, COLUMNS). `covered` is the share of the listing that neighbours
    explain."""

    tags: Integers
    table: Floats
    covered: float
    _said: Said
    _beside: Mapping[str, Floats]

    def faded(self, share: float) -> Floats:
        """The table as it would be if what neighbours say counted a share in 0..1 of what it does."""
        return _table(self.tags, self._said.faded(share), self._beside)


def gather(
    said: Said,
    words: Sequence[Candidate],
    times_used: Callable[[Integers], Integers],
    rate: Callable[[int], float],
) -> Evidence:
    """The evidence for what neighbours and words suggest. `times_used` counts remembered listings with each tag, `rate` is
    `StatedRates.of` a tag by number."""
    suggested = np.array([candidate.tag for candidate in words], dtype=np.int64)
    likely = np.argsort(-(2 * said.ridge + said.cubes), kind="stable")[:CONSIDERED]
    tags = np.union1d(said.tags[likely], suggested)

    def of_words(values: Sequence[float]) -> Floats:
        column = np.zeros(len(tags))
        column[np.searchsorted(tags, suggested)] = values
        return column

    beside = {
        "word": of_words([candidate.score for candidate in words]),
        "stated": of_words([float(candidate.stated) for candidate in words]),
        "given": of_words([rate(candidate.tag) if candidate.stated else 0.0 for candidate in words]),
        "used": np.maximum(times_used(tags), 0).astype(np.float64),
    }
    return Evidence(tags, _table(tags, said, beside), said.covered, said, beside)


def _table(tags: Integers, said: Said, beside: Mapping[str, Floats]) -> Floats:
    place = np.searchsorted(tags, said.tags)
    known = np.flatnonzero(np.isin(said.tags, tags))

    def of_neighbours(values: Floats) -> Floats:
        column = np.zeros(len(tags))
        column[place[known]] = values[known]
        return column

    ridge, vote, cubes = (of_neighbours(values) for values in (said.ridge, said.vote, said.cubes))
    nearest, first = of_neighbours(said.nearest), of_neighbours(said.first)
    word, stated, given, used = (beside[name] for name in ("word", "stated", "given", "used"))
    unused = (used == 0).astype(np.float64)
    columns = {
        "ridge": ridge,
        "log ridge": _log(ridge, 0.02),
        "log vote": _log(vote, 0.02),
        "log cubes": _log(cubes, 0.01),
        "nearest": nearest,
        "first": first,
        "first, by nearness": first * nearest,
        "word": word,
        "log word": _log(word, 0.1),
        "word, by ridge": word * ridge,
        "stated": stated,
        "stated and given": given,
        "log stated and given": _log(given, 0.05),
        "unused": unused,
        "unused, by word": unused * word,
        "unused and stated": unused * stated,
        "log times used": np.log(used + 0.5),
    }
    return np.column_stack([columns[name] for name in COLUMNS])


def _log(values: Floats, unit: float) -> Floats:
    """ln(1 + value / unit), 0 below 0: what is small is told apart from nothing, what is large from larger a little."""
    logs: Floats = np.log1p(np.maximum(values, 0) / unit)
    return logs
