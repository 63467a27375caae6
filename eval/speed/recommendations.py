"""How long recommendations take as a catalogue grows, beside an exact scan of all products. It knows generated products and
times, no store and no user.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from serve.products import ProductIndex, TaggedProduct, recommend, similar

TAGS, TAGS_A_PRODUCT, INTERESTS = 5_000, 10, 60
SKEW = 0.8
"""Exponent of how often tags are given by rank (Zipf): the most frequent one is on about a sixth of all products."""

COUNT = 10
SEEN = 50
DIVERSITY = 0.3
SEED = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one kind of look over all asked."""

    name: str
    median: float
    p99: float


@dataclass(frozen=True, slots=True)
class Grown:
    """A catalogue of a size: how long its index took to build, how much larger the process is, and how long looks take."""

    products: int
    build_s: float
    megabytes: float
    timings: Sequence[Timing]


def run(sizes: Sequence[int], asked: int, tick: Callable[[int], None] = lambda products: None) -> Iterator[Grown]:
    """One catalogue after the other, smallest first."""
    for size in sorted(sizes):
        chance = np.random.default_rng(SEED)
        share = np.arange(1, TAGS + 1).astype(np.float64) ** -SKEW
        share /= share.sum()
        given = chance.choice(TAGS, (size, TAGS_A_PRODUCT), p=share)
        names = [f"tag-{number}" for number in range(TAGS)]
        before, begun = _megabytes(), time.perf_counter()
        index = ProductIndex()
        index.put(_products(given, names))
        built, grown = time.perf_counter() - begun, _megabytes() - before
        users = [_interests(chance, share) for _ in range(asked)]
        yield Grown(size, built, grown, _timings(index, given, names, users))
        tick(size)


def _timings(
    index: ProductIndex, given: NDArray[np.int64], names: Sequence[str], users: Sequence[dict[int, float]]
) -> list[Timing]:
    named = [{names[tag]: weight for tag, weight in user.items()} for user in users]
    seen = [str(number) for number in range(SEEN)]
    products = [TaggedProduct(str(place), _tags(given[place], names)) for place in range(len(users))]
    scan = _Scan(given, index, names)
    looks: dict[str, Callable[[int], object]] = {
        "recommend": lambda place: recommend(index, named[place], COUNT, without=seen),
        "recommend, diverse": lambda place: recommend(index, named[place], COUNT, without=seen, diversity=DIVERSITY),
        "similar": lambda place: similar(index, products[place], COUNT),
        "exact scan (scipy)": lambda place: scan.best(users[place], COUNT),
    }
    return [_timed(name, look, len(users)) for name, look in looks.items()]


class _Scan:
    """The peer: every product scored by one sparse product, the best by partition."""

    def __init__(self, given: NDArray[np.int64], index: ProductIndex, names: Sequence[str]) -> None:
        size = len(given)
        rows = np.repeat(np.arange(size), given.shape[1])
        self._matrix = csr_array((np.ones(given.size, np.float32), (rows, given.ravel())), shape=(size, len(names)))
        self._matrix.data[:] = 1
        self._rarity = np.array([index.rarity(name) for name in names])

    def best(self, interests: dict[int, float], count: int) -> NDArray[np.int64]:
        weights = np.zeros(len(self._rarity), np.float32)
        for tag, weight in interests.items():
            weights[tag] = weight * self._rarity[tag]
        scores = self._matrix @ weights
        return np.argpartition(-scores, count)[:count]


def _timed(name: str, look: Callable[[int], object], count: int) -> Timing:
    look(0)
    spent = []
    for place in range(count):
        begun = time.perf_counter()
        look(place)
        spent.append(1000 * (time.perf_counter() - begun))
    return Timing(name, float(np.median(spent)), float(np.quantile(spent, 0.99)))


def _products(given: NDArray[np.int64], names: Sequence[str]) -> Iterator[TaggedProduct]:
    return (TaggedProduct(str(place), _tags(row, names)) for place, row in enumerate(given))


def _tags(row: NDArray[np.int64], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names[tag] for tag in row.tolist()))


def _interests(chance: np.random.Generator, share: NDArray[np.floating]) -> dict[int, float]:
    tags = np.unique(chance.choice(TAGS, INTERESTS, p=share)).tolist()
    return dict(zip(tags, chance.gamma(1.0, 1.0, len(tags)).tolist(), strict=True))


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
