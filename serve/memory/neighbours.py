"""What the nearest remembered listings say about the tags of a listing: cosines, a ridge regression over them, and votes. It
knows vectors and tags by number, no index and no words of tags.

With K the cosines among the m neighbours, k theirs with the listing and Y (m, T) which has which tag, the ridge score of the tags
is k (K + RIDGE I)^-1 Y: kernel ridge regression on the neighbourhood (the local learning of Bottou & Vapnik 1992, with
Gaussian-process regression's weights). Listings that say the same twice then count about once, which a vote can't do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from serve.memory.terms import BUCKETS, MOST_COUNTED, WIDTH, Packed, columns, counts

RIDGE = 1.0
VOTERS = 20
"""Nearest listings that vote, each with its cosine."""

LOGS = 1 + np.log(np.maximum(np.arange(MOST_COUNTED + 1), 1))
"""1 + ln(count)."""

Floats = NDArray[np.float64]
Rarity = Callable[[Packed], Floats]
"""Of columns; see `serve.memory.terms`."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """m remembered listings, the nearest first: their cosines with the listing (m,) and with each other (m, m)."""

    near: Floats
    among: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What neighbours say about tags, by number, ascending; all columns have shape (tags,).

    `ridge`: see above. `vote`: share of the VOTERS' cosines. `cubes`: share of all cosines to the third. `nearest`: cosine of
    the nearest listing with the tag. `first`: whether the nearest of all has it. `covered`: the share in 0..1 of the listing that
    neighbours explain, k (K + RIDGE I)^-1 k."""

    tags: NDArray[np.int64]
    ridge: Floats
    vote: Floats
    cubes: Floats
    nearest: Floats
    first: Floats
    covered: float

    def faded(self, share: float) -> Said:
        """The same said with less emphasis: all columns times a share in 0..1."""
        columns = {name: getattr(self, name) * share for name in ("ridge", "vote", "cubes", "nearest", "first")}
        return replace(self, **columns)


def neighbourhood(
    listing: Packed, others: Sequence[Packed], rarity: Rarity, letters: float
) -> tuple[Neighbourhood, NDArray[np.int64]]:
    """The neighbourhood of a listing among others, and which of them it is made of, in its order; those
    that share nothing are left out. `letters` is their share in 0..1 of a cosine."""
    cosines = _cosines([listing, *others], rarity, letters)
    near = cosines[0, 1:]
    order = np.argsort(-near, kind="stable")
    order = order[near[order] > 0]
    return Neighbourhood(near[order], cosines[np.ix_(order + 1, order + 1)]), order


def say(neighbours: Neighbourhood, tags: Sequence[Sequence[int]]) -> Said:
    """What they say, given the tags of each."""
    near, flat = neighbours.near, np.array([tag for group in tags for tag in group], dtype=np.int64)
    voter = np.repeat(np.arange(len(near)), [len(group) for group in tags])
    found, place = np.unique(flat, return_inverse=True)

    def summed(weights: Floats) -> Floats:
        return np.bincount(place, weights[voter], len(found)).astype(np.float64)

    nearest = np.zeros(len(found))
    np.maximum.at(nearest, place, near[voter])
    votes: Floats = near * (np.arange(len(near)) < VOTERS)
    cubes: Floats = near**3
    with one_thread():
        voices: Floats = np.asarray(np.linalg.solve(neighbours.among + RIDGE * np.eye(len(near)), near))
    return Said(
        tags=found,
        ridge=summed(voices),
        vote=summed(votes / max(votes.sum(), 1e-9)),
        cubes=summed(cubes / max(cubes.sum(), 1e-9)),
        nearest=nearest,
        first=np.isin(found, flat[voter == 0]).astype(np.float64),
        covered=float(voices @ near),
    )


def one_thread() -> AbstractContextManager[object]:
    """numpy's linear algebra within, in the calling thread alone. Matrices of a hundred listings are done before other threads
    have begun, and where cores are busy, waiting for these takes a hundred times as long."""
    limits: AbstractContextManager[object] = _openblas().limit(limits=1)
    return limits


@cache
def _openblas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")


def _cosines(listings: Sequence[Packed], rarity: Rarity, letters: float) -> Floats:
    """Between all listings, of (1 + ln count) * rarity; words and letters have length 1 each before they are joined in the given
    proportion. Shape (listings, listings)."""
    terms = np.concatenate(listings)
    owner = np.repeat(np.arange(len(listings)), [len(packed) for packed in listings])
    found = columns(terms)
    place, different = _numbered(found)
    weights = LOGS[counts(terms)] * rarity(different)[place]
    part = 2 * owner + (found >= BUCKETS)  # of a listing: its words, its letters
    squares = np.bincount(part, weights**2, 2 * len(listings))
    shares = np.where(squares > 0, np.tile([1 - letters, letters], len(listings)), 0)
    shares /= np.maximum(np.repeat(shares.reshape(-1, 2).sum(axis=1), 2), 1e-9)  # a listing may have only one of them
    weights *= np.sqrt(shares / np.maximum(squares, 1e-9))[part]
    shared = np.bincount(place, minlength=len(different)) > 1  # what only one listing has lengthens it, no more
    rows = np.zeros((len(listings), int(shared.sum())), dtype=np.float32)
    kept = np.flatnonzero(shared[place])
    rows.reshape(-1)[owner[kept] * rows.shape[1] + (np.cumsum(shared) - 1)[place[kept]]] = weights[kept]
    with one_thread():
        cosines: Floats = (rows @ rows.T).astype(np.float64)
    lengths = np.bincount(owner, weights**2, len(listings))
    np.fill_diagonal(cosines, lengths)
    return cosines


class _Slots(threading.local):
    """A number for every column, of each thread its own; what stands there is left from before."""

    def __init__(self) -> None:
        self.numbers = np.empty(WIDTH, dtype=np.int32)


_slots = _Slots()


def _numbered(found: Packed) -> tuple[NDArray[np.int64], Packed]:
    """Numbers for columns, equal for equal ones, and the columns by number. Each writes its place into the slot of its column,
    and those that read the same there are equal: sorting takes five times as long."""
    here = np.arange(len(found), dtype=np.int32)
    _slots.numbers[found] = here
    winner = _slots.numbers[found]
    is_first = winner == here
    return (np.cumsum(is_first) - 1)[winner], found[is_first]
